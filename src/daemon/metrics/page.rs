//! The page, and what a browser is told of it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};

macro_rules! style {
    () => {
        include_str!("page/page.css")
    };
}

macro_rules! script {
    () => {
        concat!(
            include_str!("page/words.js"),
            include_str!("page/graph.js"),
            include_str!("page/page.js")
        )
    };
}

/// One document: its style, its script and its picture are in it, and it asks for nothing but what happens.
pub(super) const PAGE: &str = concat!(
    include_str!("page/head.html"),
    "<style>",
    style!(),
    "</style>\n",
    include_str!("page/body.html"),
    "<script>",
    script!(),
    "</script>\n</body>\n</html>\n"
);

/// Returns the policy for the page: only this style and this script, and only this node is asked (CSP Level 3).
pub(super) fn policy() -> String {
    format!(
        "default-src 'none'; style-src '{}'; script-src '{}'; connect-src 'self'; img-src data:; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'",
        hash(style!()),
        hash(script!())
    )
}

fn hash(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(digest(&SHA256, text.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_it_is_in_one_document_and_names_are_never_taken_for_markup() {
        for element in ["<style>", "<script>"] {
            assert_eq!(PAGE.matches(element).count(), 1, "{element}: the policy knows one");
        }
        let without_names = PAGE.replace("http://www.w3.org/2000/svg", "");
        for outside in [
            "http:",
            "https:",
            "\"//",
            "stylesheet",
            "@import",
            "url(",
            " style=\"",
            " onclick=",
        ] {
            assert!(!without_names.contains(outside), "{outside}");
        }
        for markup in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
        ] {
            assert!(!PAGE.contains(markup), "{markup}");
        }
    }
}
