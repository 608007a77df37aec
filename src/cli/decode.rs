//! `wirelink decode`: what stands in captured datagrams.

use std::fs::File;
use std::io::{BufRead, BufWriter, Read as _, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use serde_json::{Value as Json, json};
use zeroize::Zeroizing;

use super::{UsageError, go_on};
use crate::config::address_hash;
use crate::mesh::base::identity::{AddressHash, InvalidKey, PrivateKey, PublicKey};
use crate::mesh::believe::auth::{Auth, AuthError};
use crate::mesh::believe::fact::Timed;
use crate::mesh::believe::fact::value::{Metadata, Value};
use crate::mesh::believe::fact::wire::{self, Envelope, Form, MAX_ACCEPTED};

/// The longest line that is read: a datagram in hexadecimal, with room for blanks.
const MAX_LINE: u64 = 4 * 65_536;
/// A key file is 45 bytes; what is much longer is something else.
const MAX_KEY_FILE: u64 = 4096;
/// After so many datagrams the secrets of their senders are forgotten: a capture may name any number of keys.
const FORGET_AFTER: usize = 4096;

/// The arguments of `wirelink decode`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Each line of the output is one JSON object: sender, address, verified, facts; and why, where the
datagram is not verified. A datagram is tagged for one recipient: only its key can verify it.

Example:
  tshark -r capture.pcap -T fields -e udp.payload | wirelink decode --private-key-file key")]
pub struct DecodeArgs {
    /// The private key of the recipient, in a file as `wg genkey` prints it; it is never shown
    #[arg(long, value_name = "FILE")]
    private_key_file: Option<PathBuf>,

    /// Who sent the compact groups, which do not name their sender; a public key
    #[arg(long, value_name = "KEY")]
    sender: Option<PublicKey>,

    /// How addresses follow from keys, all nodes alike: sha1 or blake2s
    #[arg(long, value_name = "HASH", default_value = "sha1", value_parser = address_hash)]
    hash: AddressHash,
}

/// Prints a JSON object for each datagram that `input` holds in hexadecimal, one a line.
///
/// # Errors
/// [`UsageError`] where the key file is none; where a stream cannot be read or written, what failed. What a datagram
/// holds is never an error.
pub fn run(args: &DecodeArgs, mut input: impl BufRead, output: impl Write) -> anyhow::Result<()> {
    let key = args.private_key_file.as_deref().map(read_key).transpose()?;
    let mut auth = key.map(|key| Auth::new(key, args.hash));
    let mut output = BufWriter::new(output);
    for count in 1.. {
        let mut line = Vec::new();
        let read = (&mut input).take(MAX_LINE).read_until(b'\n', &mut line);
        if read.context("standard input cannot be read")? == 0 {
            break;
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        let shown = show(args.hash, args.sender, auth.as_mut(), &line);
        if !go_on(writeln!(output, "{shown}").and_then(|()| output.flush()))
            .context("standard output cannot be written")?
        {
            break;
        }
        if count % FORGET_AFTER == 0 {
            auth.iter_mut().for_each(|auth| auth.retain(|_| false));
        }
    }
    Ok(())
}

/// Reads a private key; neither it nor what stands in its place is shown.
fn read_key(path: &Path) -> anyhow::Result<PrivateKey> {
    let name = path.display();
    let file = File::open(path).map_err(|error| UsageError(format!("{name} cannot be read: {error}")))?;
    let mut text = Zeroizing::new(String::with_capacity(MAX_KEY_FILE as usize + 1));
    let read = file.take(MAX_KEY_FILE + 1).read_to_string(&mut text);
    read.map_err(|error| UsageError(format!("{name} cannot be read: {error}")))?;
    Ok(text
        .parse()
        .map_err(|error: InvalidKey| UsageError(format!("{name} (not shown) is {error}")))?)
}

fn show(hash: AddressHash, named: Option<PublicKey>, auth: Option<&mut Auth>, line: &[u8]) -> Json {
    let Some(datagram) = from_hex(line) else {
        return json!({ "verified": false, "why": "not hexadecimal, or longer than a datagram", "facts": [] });
    };
    match wire::decode(&datagram) {
        Ok(envelope) => show_envelope(hash, named, auth, &envelope),
        Err(error) => json!({ "verified": false, "why": error.to_string(), "facts": [] }),
    }
}

fn show_envelope(
    hash: AddressHash,
    named: Option<PublicKey>,
    mut auth: Option<&mut Auth>,
    envelope: &Envelope<'_>,
) -> Json {
    let Some(sender) = sender(envelope).or(named) else {
        let why = "a compact group: its sender follows from the source address, so name it with --sender";
        return json!({ "verified": false, "why": why, "facts": [] });
    };
    let address = hash.link_local(&sender);
    auth.iter_mut().for_each(|auth| auth.admit([&sender]));
    let verified = match auth {
        // Its tag is for a recipient that the datagram does not name.
        Some(auth) if *auth.public_key() == sender => {
            Err("its sender has this private key, and only its recipient's verifies it".to_owned())
        }
        Some(auth) => auth
            .verify(address, envelope)
            .map(drop)
            .map_err(|error| explain(&error)),
        None => Err("no private key was given".to_owned()),
    };
    let facts = envelope.unverified_facts(&sender);
    let mut shown = json!({ "sender": sender, "address": address, "verified": verified.is_ok() });
    // Where the layout is wrong, that is the reason, whether the tag was looked at or not.
    if let Some(why) = facts.as_ref().err().map(ToString::to_string).or(verified.err()) {
        shown["why"] = why.into();
    }
    shown["facts"] = facts.unwrap_or_default().iter().map(show_fact).collect();
    shown
}

fn sender(envelope: &Envelope<'_>) -> Option<PublicKey> {
    match envelope.form {
        Form::Signed { sender, .. } => Some(sender),
        Form::Compact => None,
    }
}

/// Says more than the daemon does, which knows that it is the recipient.
fn explain(error: &AuthError) -> String {
    match error {
        AuthError::WrongTag => "the tag does not fit: it is for another recipient, or something was changed".to_owned(),
        AuthError::WrongAddress | AuthError::WeakKey | AuthError::Layout(_) => error.to_string(),
    }
}

fn show_fact(timed: &Timed) -> Json {
    let value = match &timed.fact.value {
        Value::Alive(boot_id) => json!(boot_id.to_string()),
        Value::Endpoint(endpoint) => json!(endpoint),
        Value::AllowedIp(prefix) => json!(prefix),
        Value::Member => Json::Null,
        Value::MemberMetadata(metadata) => show_metadata(metadata),
        Value::Digest { buckets, sum } => json!({ "buckets": format!("{buckets:016x}"), "sum": format!("{sum:016x}") }),
        Value::Holdings(sums) => sums.iter().map(|sum| format!("{sum:016x}")).collect(),
        Value::Reset(buckets) => json!(format!("{buckets:016x}")),
        Value::Probes(probes) => json!({ "epoch": probes.epoch, "nat": format!("{:?}", probes.nat) }),
        Value::Heartbeat(beat) => json!({ "number": beat.number, "version": beat.version, "ready": beat.ready }),
        Value::Echo(echo) => json!({
            "number": echo.beat.number,
            "version": echo.beat.version,
            "ready": echo.beat.ready,
            "received": echo.received,
            "microseconds": u64::try_from(echo.at.as_micros()).unwrap_or(u64::MAX),
            "seen": echo.seen.map(|seen| seen.to_string()),
        }),
        Value::Signal(signal) => json!({
            "to": signal.to.to_string(),
            "epoch": signal.epoch,
            "counter": signal.counter,
            "punch": signal.word.is_punch(),
            "ready": signal.word.is_ready(),
            "ports": signal.ports.map(|ports| json!({
                "address": ports.address.to_string(),
                "first": ports.first,
                "count": ports.count,
            })),
        }),
        Value::Denied(denied) => json!({ "denied": denied.denied, "version": denied.version }),
        Value::Withdrawn(hashes) => hashes.iter().map(|hash| format!("{hash:016x}")).collect(),
    };
    json!({
        "attribute": timed.fact.attribute().row().name,
        "subject": timed.fact.subject,
        "ttl": timed.ttl.as_secs(),
        "value": value,
    })
}

fn show_metadata(metadata: &Metadata) -> Json {
    let raw = metadata
        .items()
        .map(|(key, bytes)| (format!("{key:02x}"), to_hex(bytes).into()));
    json!({ "name": metadata.name(), "basic": metadata.is_basic(), "raw": raw.collect::<serde_json::Map<_, _>>() })
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads hexadecimal as capture programs print it: with blanks, colons and a leading `0x` or without.
fn from_hex(line: &[u8]) -> Option<Vec<u8>> {
    let line = line.trim_ascii();
    let line = line.strip_prefix(b"0x").unwrap_or(line);
    let digits: Option<Vec<u8>> = line
        .iter()
        .filter(|byte| !byte.is_ascii_whitespace() && **byte != b':')
        .map(|byte| {
            char::from(*byte)
                .to_digit(16)
                .and_then(|digit| u8::try_from(digit).ok())
        })
        .collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0 && digits.len() / 2 <= 65_536.max(MAX_ACCEPTED))?;
    Some(digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_is_read_as_capture_programs_print_it() {
        for text in ["53000a", "0x53000A\r\n", " 53 00 0a", "53:00:0a"] {
            assert_eq!(from_hex(text.as_bytes()), Some(vec![0x53, 0, 10]), "{text:?}");
        }
        for text in ["5", "5g", "0x0x"] {
            assert_eq!(from_hex(text.as_bytes()), None, "{text:?}");
        }
    }
}
