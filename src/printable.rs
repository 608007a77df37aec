//! Text from outside, made fit to print: nothing in it steers a terminal ([`clean`]), and nothing in it may be a secret ([`redact`]).
//!
//! Every command writes through a [`Printer`], and every log line passes [`clean`]. Errors that quote input pass [`redact`].

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, Write};

use crate::mesh::believe::fact::value::is_visible;

/// The shortest run of characters of a key's alphabet that counts as one: a key has 43 and a `=`, and may be pasted in part.
const KEY_RUN: usize = 40;
/// The same for a key in hexadecimal, which has 64.
const HEX_RUN: usize = 60;
/// Stands in the place of what may be a secret.
const WITHHELD: &str = "(not shown: it may be a secret)";

/// Replaces characters that a terminal obeys or that hide text by `\u` and their four hexadecimal digits: C0 and C1 controls but line
/// feeds and tabs, and bidirectional and invisible ones.
///
/// JSON means the same afterwards.
#[must_use]
pub fn clean(text: &str) -> Cow<'_, str> {
    escape(text, |c| c == '\n' || c == '\t')
}

/// Does the same, and takes line feeds and tabs for controls, too: one text never looks like two lines.
#[must_use]
pub fn one_line(text: &str) -> Cow<'_, str> {
    escape(text, |_| false)
}

fn escape(text: &str, is_kept: impl Fn(char) -> bool) -> Cow<'_, str> {
    let is_fit = |c: char| is_visible(c) || is_kept(c);
    if text.chars().all(is_fit) {
        return Cow::Borrowed(text);
    }
    let mut fit = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_fit(c) {
            fit.push(c);
        } else {
            // Memory takes any text.
            write!(fit, "\\u{:04x}", u32::from(c)).ok();
        }
    }
    Cow::Owned(fit)
}

/// Replaces every run of characters that may be a key, of 32 bytes in base64 or hexadecimal or the most of one.
#[must_use]
pub fn redact(text: &str) -> Cow<'_, str> {
    let bytes = text.as_bytes();
    let mut shown = String::new();
    let (mut done, mut at) = (0, 0);
    while at < bytes.len() {
        let lengths = [b"+/", b"-_"].map(|marks| run(&bytes[at..], marks));
        let found = lengths.into_iter().filter(|length| is_key(&bytes[at..], *length)).max();
        let Some(length) = found else {
            at += lengths.into_iter().filter(|length| *length > 0).min().unwrap_or(1);
            continue;
        };
        shown.push_str(&text[done..at]);
        shown.push_str(WITHHELD);
        at += length;
        at += bytes[at..].iter().take_while(|byte| **byte == b'=').count();
        done = at;
    }
    if done == 0 {
        return Cow::Borrowed(text);
    }
    shown.push_str(&text[done..]);
    Cow::Owned(shown)
}

/// Returns how many bytes of one alphabet of base64 there are: letters, digits and two marks.
fn run(bytes: &[u8], marks: &[u8]) -> usize {
    let is_of_it = |byte: &&u8| byte.is_ascii_alphanumeric() || marks.contains(byte);
    bytes.iter().take_while(is_of_it).count()
}

/// Returns whether the first bytes may be a key. Random base64 has letters of both cases, which paths and host names seldom have.
fn is_key(bytes: &[u8], length: usize) -> bool {
    let run = &bytes[..length];
    let is_padded = length == 43 && bytes.get(length) == Some(&b'=');
    let is_mixed = run.iter().any(u8::is_ascii_lowercase) && run.iter().any(u8::is_ascii_uppercase);
    let is_hex = run.iter().all(u8::is_ascii_hexdigit);
    is_padded || (length >= KEY_RUN && is_mixed) || (length >= HEX_RUN && is_hex)
}

/// A stream to people or programs, past which nothing goes that steers a terminal.
#[derive(Debug)]
pub struct Printer<W> {
    to: W,
    /// Whether colours pass: what comes from outside has passed [`one_line`] before it is coloured.
    has_colours: bool,
    /// The first bytes of a character that is not whole yet.
    begun: Vec<u8>,
}

impl<W: Write> Printer<W> {
    /// Prints text without colours.
    pub const fn plain(to: W) -> Self {
        Self {
            to,
            has_colours: false,
            begun: Vec::new(),
        }
    }

    /// Prints text in which whole sequences for colours stay (ECMA-48, SGR).
    pub const fn coloured(to: W) -> Self {
        Self {
            to,
            has_colours: true,
            begun: Vec::new(),
        }
    }

    fn print(&mut self, text: &str) -> io::Result<()> {
        if !self.has_colours {
            return self.to.write_all(clean(text).as_bytes());
        }
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once("\x1b[") {
            let end = behind
                .bytes()
                .take_while(|byte| byte.is_ascii_digit() || *byte == b';')
                .count();
            let Some(after) = behind[end..].strip_prefix('m') else {
                break;
            };
            write!(self.to, "{}\x1b[{}m", clean(before), &behind[..end])?;
            rest = after;
        }
        self.to.write_all(clean(rest).as_bytes())
    }
}

impl<W: Write> Write for Printer<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut text = std::mem::take(&mut self.begun);
        text.extend_from_slice(bytes);
        let mut rest = &text[..];
        while let Err(error) = str::from_utf8(rest) {
            let (whole, wrong) = rest.split_at(error.valid_up_to());
            self.print(str::from_utf8(whole).unwrap_or_default())?;
            let Some(length) = error.error_len() else {
                self.begun = wrong.to_vec();
                return Ok(bytes.len());
            };
            self.print("\u{fffd}")?;
            rest = &wrong[length..];
        }
        self.print(str::from_utf8(rest).unwrap_or_default())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=";

    fn printed(mut printer: Printer<Vec<u8>>, pieces: &[&[u8]]) -> String {
        pieces
            .iter()
            .for_each(|piece| printer.write_all(piece).expect("memory"));
        String::from_utf8(printer.to).expect("text")
    }

    #[test]
    fn controls_are_shown_as_digits_and_text_is_kept() {
        assert_eq!(
            clean("a\x1b[31m\u{9b}2J\u{202e}\x7f\n\tb"),
            "a\\u001b[31m\\u009b2J\\u202e\\u007f\n\tb"
        );
        assert_eq!(one_line("a\nb\tc\r"), "a\\u000ab\\u0009c\\u000d");
        assert!(matches!(
            clean("caf\u{e9} \u{4e2d}\u{6587} \u{1f600}"),
            Cow::Borrowed(_)
        ));
    }

    #[test]
    fn cleaned_json_means_the_same() {
        let value = "\u{9b}31m \u{202e}evil\u{2066} \u{feff}";
        let json = serde_json::to_string(value).expect("a text");
        let cleaned = clean(&json);
        assert!(
            !cleaned.contains('\u{9b}') && !cleaned.contains('\u{202e}'),
            "{cleaned}"
        );
        assert_eq!(serde_json::from_str::<String>(&cleaned).expect("JSON"), value);
    }

    #[test]
    fn whatever_may_be_a_key_is_withheld() {
        let hex = "c809f3e5317e9575c9b5ed78b638b7ce530dabe85ddab61422024180 1ddf0669".replace(' ', "");
        let url = KEY.replace('+', "-");
        let zero = format!("{}=", "A".repeat(43));
        for key in [KEY, KEY.trim_end_matches('='), &KEY[2..], &hex, &url, &zero] {
            for text in [
                key.to_owned(),
                format!("PrivateKey = {key} # mine"),
                format!("\"{key}\""),
            ] {
                let shown = redact(&text);
                assert!(
                    shown.contains(WITHHELD) && !shown.contains(&key[8..20]),
                    "{text}: {shown}"
                );
            }
        }
        let two = redact(&format!("{KEY},{hex} \u{e9}")).into_owned();
        assert_eq!(two, format!("{WITHHELD},{WITHHELD} \u{e9}"));
    }

    #[test]
    fn names_addresses_and_paths_are_no_keys() {
        for text in [
            "",
            "five",
            "10.0.0.0/33",
            "/var/lib/prometheus/nodeexporter/textfiles/wirelink.text",
            "wireguard-endpoint-of-the-production-network-in-the-east.example.org:51820",
            "2001:db8:1234:5678:9abc:def0:1234:5678",
            "\u{e9}\u{e9}",
        ] {
            assert!(matches!(redact(text), Cow::Borrowed(_)), "{text}");
        }
    }

    #[test]
    fn a_printer_cleans_characters_that_come_in_pieces() {
        let bytes = "\u{9b}\u{e9}".as_bytes();
        let pieces: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(printed(Printer::plain(Vec::new()), &pieces), "\\u009b\u{e9}");
        assert_eq!(printed(Printer::plain(Vec::new()), &[b"a\xffb\n"]), "a\u{fffd}b\n");
    }

    #[test]
    fn colours_pass_only_where_they_are_printed() {
        let text = b"\x1b[1;32mok\x1b[0m \x1b[2J \x1b]0;x\x07";
        assert_eq!(
            printed(Printer::coloured(Vec::new()), &[text]),
            "\x1b[1;32mok\x1b[0m \\u001b[2J \\u001b]0;x\\u0007"
        );
        assert!(!printed(Printer::plain(Vec::new()), &[text]).contains('\x1b'));
    }
}
