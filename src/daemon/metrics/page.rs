//! The page, and what a browser is told of it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};

/// One file: its style, its script and its picture are in it, and it asks for nothing but what happens.
pub(super) const PAGE: &str = include_str!("page.html");

/// Returns the policy for the page: only this style and this script, and only this node is asked (CSP Level 3).
pub(super) fn policy() -> String {
    format!(
        "default-src 'none'; style-src '{}'; script-src '{}'; connect-src 'self'; img-src data:; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'",
        hash("style"),
        hash("script")
    )
}

/// Returns the hash of what is in the one element of a name.
fn hash(element: &str) -> String {
    let (open, close) = (format!("<{element}>"), format!("</{element}>"));
    let inside = PAGE.split_once(&open).and_then(|(_, rest)| rest.split_once(&close));
    let inside = inside.map(|(inside, _)| inside).unwrap_or_default();
    format!("sha256-{}", STANDARD.encode(digest(&SHA256, inside.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_it_is_in_one_file_and_names_are_never_taken_for_markup() {
        for element in ["<style", "<script"] {
            assert_eq!(PAGE.matches(element).count(), 1, "{element}: the policy knows one");
        }
        for outside in [
            "http:",
            "https:",
            "<link rel=\"stylesheet",
            "@import",
            "url(",
            " style=\"",
            " onclick=",
        ] {
            let found = PAGE.replace("http://www.w3.org/2000/svg", "");
            assert!(!found.contains(outside), "{outside}");
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
        assert_ne!(hash("style"), hash("nothing"));
        assert!(policy().contains(&hash("script")));
    }
}
