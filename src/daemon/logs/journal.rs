//! The journal's own protocol (systemd, "Native Journal Protocol"): a datagram for each line, with fields that `journalctl` filters by.

use std::os::unix::net::UnixDatagram;
use std::path::Path;

use tracing::Level;

use super::print;
use super::record::Record;

/// Where the journal listens.
const SOCKET: &str = "/run/systemd/journal/socket";

/// A connection to the journal.
pub(super) struct Journal(UnixDatagram);

impl Journal {
    /// Connects, where there is a journal.
    pub(super) fn open() -> Option<Self> {
        Self::at(Path::new(SOCKET))
    }

    fn at(path: &Path) -> Option<Self> {
        let socket = UnixDatagram::unbound().ok()?;
        socket.connect(path).ok()?;
        Some(Self(socket))
    }

    /// Writes a record; where the journal does not take it, standard error does, which is the journal's, too.
    pub(super) fn write(&self, record: &Record) {
        if self.0.send(&encode(record)).is_err() {
            print(&record.to_string());
        }
    }
}

fn encode(record: &Record) -> Vec<u8> {
    let mut datagram = Vec::new();
    put(&mut datagram, "PRIORITY", priority(record.level));
    put(&mut datagram, "SYSLOG_IDENTIFIER", "wirelink");
    put(&mut datagram, "MESSAGE", &record.message);
    for (name, value) in &record.fields {
        // The names in the program are names of the journal, but for their case.
        put(&mut datagram, &name.to_ascii_uppercase(), value);
    }
    datagram
}

/// Adds a field; a value of several lines has its length before it, in 8 bytes.
fn put(datagram: &mut Vec<u8>, name: &str, value: &str) {
    datagram.extend_from_slice(name.as_bytes());
    if value.contains('\n') {
        datagram.push(b'\n');
        datagram.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        datagram.push(b'=');
    }
    datagram.extend_from_slice(value.as_bytes());
    datagram.push(b'\n');
}

/// Returns a level as syslog counts them (RFC 5424, 6.2.1).
fn priority(level: Level) -> &'static str {
    match level {
        Level::ERROR => "3",
        Level::WARN => "4",
        Level::INFO => "6",
        Level::DEBUG | Level::TRACE => "7",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        Record {
            level: Level::INFO,
            message: "direct link to bob".to_owned(),
            fields: vec![("event", "link-established".to_owned()), ("peer", "bo\nb".to_owned())],
        }
    }

    #[test]
    fn a_record_arrives_with_its_fields() {
        let path = std::env::temp_dir().join(format!("wirelink-journal-{}", std::process::id()));
        let journal = UnixDatagram::bind(&path).expect("a socket");
        Journal::at(&path).expect("a journal").write(&record());
        let mut datagram = [0; 512];
        let length = journal.recv(&mut datagram).expect("a datagram");
        let expected = b"PRIORITY=6\nSYSLOG_IDENTIFIER=wirelink\nMESSAGE=direct link to bob\nEVENT=link-established\n\
            PEER\n\x04\0\0\0\0\0\0\0bo\nb\n";
        assert_eq!(
            datagram[..length].escape_ascii().to_string(),
            expected.escape_ascii().to_string()
        );
        std::fs::remove_file(path).expect("it is there");
    }

    #[test]
    fn where_there_is_no_journal_there_is_no_connection() {
        assert!(Journal::at(Path::new("/nonexistent/socket")).is_none());
    }
}
