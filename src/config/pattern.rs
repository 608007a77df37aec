//! Globs for interface names, as wirelink v1 takes them.

use glob::Pattern;

/// Takes a glob, or returns `None` where it is none.
///
/// Existing files hold those of Go: `[^a]` beside `[!a]`, a backslash that takes the meaning from the next character,
/// and several stars that are one. The result is in the form of the `glob` crate, and reads as itself.
pub(super) fn pattern(text: &str) -> Option<Pattern> {
    let mut translated = String::new();
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\\' => literal(&mut translated, rest.next()?)?,
            '*' if translated.ends_with('*') => {}
            '[' => class(&mut translated, &mut rest)?,
            c => translated.push(c),
        }
    }
    Pattern::new(&translated).ok().filter(|_| !translated.is_empty())
}

/// Adds a sign without its meaning. No interface is called by a backslash, and one that stood here would be read otherwise when the
/// settings are dumped and read again.
fn literal(translated: &mut String, c: char) -> Option<()> {
    match c {
        '\\' => return None,
        '*' | '?' | '[' => translated.extend(['[', c, ']']),
        c => translated.push(c),
    }
    Some(())
}

/// Copies what follows an opening bracket, up to the closing one. No interface is called by a bracket or a backslash,
/// so neither has a meaning of its own there.
fn class(translated: &mut String, rest: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<()> {
    translated.push('[');
    if rest.next_if(|c| *c == '^' || *c == '!').is_some() {
        translated.push('!');
    }
    let before = translated.len();
    loop {
        match rest.next()? {
            '\\' => return None,
            ']' if translated.len() == before => return None,
            ']' => break,
            c => translated.push(c),
        }
    }
    translated.push(']');
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn matches(text: &str, yes: &[&str], no: &[&str]) {
        let read = pattern(text).unwrap_or_else(|| panic!("{text} is refused"));
        let again = pattern(read.as_str()).unwrap_or_else(|| panic!("{} is refused", read.as_str()));
        assert_eq!(again, read, "the form that is dumped reads as itself");
        for name in yes {
            assert!(read.matches(name), "{text} should take {name}");
        }
        for name in no {
            assert!(!read.matches(name), "{text} should not take {name}");
        }
    }

    #[test]
    fn globs_take_what_they_take_in_existing_files() {
        matches("eth0", &["eth0"], &["eth", "eth00", "ETH0"]);
        matches("veth*", &["veth", "veth1a2b"], &["eth0"]);
        matches("veth**", &["veth", "veth1a2b"], &["eth0"]);
        matches("eth?", &["eth0"], &["eth", "eth10"]);
        matches("eth[0-3]", &["eth0", "eth3"], &["eth4", "eth"]);
        matches("eth[^0-3]", &["eth4"], &["eth0", "eth3"]);
        matches("eth[!0-3]", &["eth4"], &["eth0", "eth3"]);
        matches("*", &["lo"], &[]);
    }

    #[test]
    fn a_backslash_takes_the_meaning_from_a_sign() {
        matches("a\\*", &["a*"], &["ab"]);
        matches("a\\*\\*", &["a**"], &["a*"]);
        matches("a\\?", &["a?"], &["ab"]);
        matches("a\\[b", &["a[b"], &["ab"]);
        matches("a\\b", &["ab"], &["a\\b"]);
    }

    #[test]
    fn what_is_no_glob_is_refused() {
        for text in ["", "wg[0-", "wg[", "wg[]", "wg[^]", "wg\\", "wg[\\]]", "wg\\\\"] {
            assert_eq!(pattern(text), None, "{text:?}");
        }
    }
}
