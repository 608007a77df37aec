//! `wirelink address`: the link-local address of a key.

use std::io::{BufRead, BufWriter, Write};

use anyhow::Context as _;
use clap::Args;

use super::{UsageError, go_on};
use crate::config::address_hash;
use crate::mesh::base::identity::{AddressHash, PublicKey};

/// The arguments of `wirelink address`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  wirelink address 0Yv3uHJBbSCqnsQdm225IkYhSK5O5r3JkoiUESoWBis=
  wg show wg0 peers | wirelink address -")]
pub struct AddressArgs {
    // A text, not a key: clap would print a wrong one, and it may be a private key.
    /// A public key as `wg` prints it, or - for keys from standard input, one a line
    #[arg(value_name = "PUBLIC_KEY", allow_hyphen_values = true)]
    key: String,

    /// How addresses follow from keys, all nodes alike: sha1 or blake2s
    #[arg(long, value_name = "HASH", default_value = "sha1", value_parser = address_hash)]
    hash: AddressHash,
}

/// Prints the address of the key, or of each key that `input` holds.
///
/// # Errors
/// [`UsageError`] where the argument is no key; where a line is none, or cannot be read or written, what failed.
pub fn run(args: &AddressArgs, input: impl BufRead, output: impl Write) -> anyhow::Result<()> {
    if args.key == "-" {
        return each(args.hash, input, output);
    }
    let key: PublicKey = args
        .key
        .parse()
        .map_err(|error| UsageError(format!("the argument (not shown) is {error}")))?;
    print(args.hash, &key, output).map(drop)
}

fn each(hash: AddressHash, input: impl BufRead, output: impl Write) -> anyhow::Result<()> {
    let mut output = BufWriter::new(output);
    for (index, line) in input.lines().enumerate() {
        let line = line.context("standard input cannot be read")?;
        if line.trim().is_empty() {
            continue;
        }
        let key: PublicKey = match line.parse() {
            Ok(key) => key,
            Err(error) => {
                output.flush().ok();
                anyhow::bail!("standard input, line {} (not shown) is {error}", index + 1);
            }
        };
        if !print(hash, &key, &mut output)? {
            return Ok(());
        }
    }
    go_on(output.flush())
        .map(drop)
        .context("standard output cannot be written")
}

fn print(hash: AddressHash, key: &PublicKey, mut output: impl Write) -> anyhow::Result<bool> {
    go_on(writeln!(output, "{}", hash.link_local(key))).context("standard output cannot be written")
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "0Yv3uHJBbSCqnsQdm225IkYhSK5O5r3JkoiUESoWBis=";

    fn printed(key: &str, input: &str) -> (anyhow::Result<()>, String) {
        let mut output = Vec::new();
        let args = AddressArgs {
            key: key.to_owned(),
            hash: AddressHash::Sha1,
        };
        let result = run(&args, input.as_bytes(), &mut output);
        (result, String::from_utf8(output).expect("addresses are ASCII"))
    }

    #[test]
    fn a_key_gives_its_address() {
        let (result, output) = printed(KEY, "");
        result.expect("the key is one");
        assert_eq!(output, "fe80::cac7:2daa:f7a:aef9\n");
    }

    #[test]
    fn lines_give_theirs_and_empty_ones_none() {
        let (result, output) = printed("-", &format!("{KEY}\n\n {KEY} \r\n"));
        result.expect("all keys are some");
        assert_eq!(output, "fe80::cac7:2daa:f7a:aef9\n".repeat(2));
    }

    #[test]
    fn a_wrong_line_is_named_and_not_shown() {
        let (result, output) = printed("-", &format!("{KEY}\nsecret\n{KEY}\n"));
        let message = result.expect_err("the second line is no key").to_string();
        assert!(message.contains("line 2") && !message.contains("secret"), "{message}");
        assert_eq!(output, "fe80::cac7:2daa:f7a:aef9\n");
    }

    #[test]
    fn a_wrong_argument_is_an_error_of_usage_that_does_not_show_it() {
        let error = printed("secret", "").0.expect_err("no key");
        assert!(
            error.is::<UsageError>() && !error.to_string().contains("secret"),
            "{error}"
        );
    }
}
