//! The bytes of answers that wait for their readers, on the control socket and over HTTP: bounded in sum.
//!
//! If there is no room for another answer, the readers of the oldest one are dropped: a slow client loses, and others do not wait.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use hyper::body::Bytes;
use tokio_util::sync::CancellationToken;

/// The most bytes that wait: the status of 4,096 peers takes a fifth, their metrics the most of it.
pub(super) const MOST: usize = 16 << 20;

/// All texts that wait.
#[derive(Clone, Debug, Default)]
pub(super) struct Held(Arc<Mutex<Ledger>>);

#[derive(Debug, Default)]
struct Ledger {
    bytes: usize,
    next: u64,
    /// In the order of their age.
    texts: BTreeMap<u64, Entry>,
}

#[derive(Debug)]
struct Entry {
    bytes: usize,
    readers: Vec<CancellationToken>,
}

/// A text that waits; it counts until the last clone, and the last piece of it in a buffer, is dropped.
#[derive(Clone, Debug)]
pub(super) struct Text(Arc<Counted>);

#[derive(Debug)]
struct Counted {
    text: Vec<u8>,
    number: u64,
    held: Held,
}

/// A text that does not count any more once nobody reads it.
#[derive(Clone, Debug, Default)]
pub(super) struct WeakText(Weak<Counted>);

impl Held {
    /// Counts a text from now on; where there is no room, older ones lose their readers.
    pub(super) fn hold(&self, text: Vec<u8>) -> Text {
        let mut ledger = self.ledger();
        ledger.make_room(text.len());
        let number = ledger.next;
        ledger.next += 1;
        ledger.bytes += text.len();
        let entry = Entry {
            bytes: text.len(),
            readers: Vec::new(),
        };
        ledger.texts.insert(number, entry);
        drop(ledger);
        let held = self.clone();
        Text(Arc::new(Counted { text, number, held }))
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ledger {
    fn make_room(&mut self, bytes: usize) {
        while self.bytes + bytes > MOST
            && let Some((_, oldest)) = self.texts.pop_first()
        {
            self.bytes -= oldest.bytes;
            oldest.readers.iter().for_each(CancellationToken::cancel);
        }
    }
}

impl Text {
    /// Has a reader dropped when the text has to go.
    pub(super) fn read_by(self, reader: &CancellationToken) -> Self {
        let mut ledger = self.0.held.ledger();
        match ledger.texts.get_mut(&self.0.number) {
            Some(entry) => {
                entry.readers.retain(|known| !known.is_cancelled());
                entry.readers.push(reader.clone());
            }
            // It had to go already.
            None => reader.cancel(),
        }
        drop(ledger);
        self
    }

    /// Returns whether its readers still have room.
    pub(super) fn is_counted(&self) -> bool {
        self.0.held.ledger().texts.contains_key(&self.0.number)
    }

    /// Returns the text for a body over HTTP, which counts as long as it is there.
    pub(super) fn to_bytes(&self) -> Bytes {
        Bytes::from_owner(self.clone())
    }

    pub(super) fn downgrade(&self) -> WeakText {
        WeakText(Arc::downgrade(&self.0))
    }
}

impl WeakText {
    /// Returns the text while somebody still reads it.
    pub(super) fn upgrade(&self) -> Option<Text> {
        self.0.upgrade().map(Text)
    }
}

impl AsRef<[u8]> for Text {
    fn as_ref(&self) -> &[u8] {
        &self.0.text
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut ledger = self.held.ledger();
        if let Some(entry) = ledger.texts.remove(&self.number) {
            ledger.bytes -= entry.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn oldest_text_loses_its_readers_for_room() {
        let held = Held::default();
        let readers: Vec<CancellationToken> = (0..5).map(|_| CancellationToken::new()).collect();
        let third = || held.hold(vec![b'x'; MOST / 3]);
        let texts: Vec<Text> = readers.iter().map(|reader| third().read_by(reader)).collect();
        let is_dropped: Vec<bool> = readers.iter().map(CancellationToken::is_cancelled).collect();
        assert_eq!(is_dropped, [true, true, false, false, false]);
        assert!(held.ledger().bytes <= MOST);
        drop(texts);
        assert_eq!(held.ledger().bytes, 0);
    }

    #[test]
    fn text_counts_once_for_all_who_read_it() {
        let held = Held::default();
        let (one, other) = (CancellationToken::new(), CancellationToken::new());
        let text = held.hold(vec![b'x'; MOST]).read_by(&one).read_by(&other);
        let (weak, body) = (text.downgrade(), text.to_bytes());
        drop(text);
        assert!(weak.upgrade().is_some(), "a body holds it");
        assert_eq!(held.ledger().bytes, MOST);
        let next = held.hold(vec![b'y']);
        assert!(one.is_cancelled() && other.is_cancelled());
        drop((body, next));
        assert!(weak.upgrade().is_none());
        assert_eq!(held.ledger().bytes, 0);
    }

    #[test]
    fn larger_text_than_all_room_is_held_alone() {
        let held = Held::default();
        let reader = CancellationToken::new();
        let _small = held.hold(vec![b'x']).read_by(&reader);
        let large = held.hold(vec![b'x'; MOST + 1]).read_by(&CancellationToken::new());
        assert!(reader.is_cancelled());
        let reader = CancellationToken::new();
        let large = large.read_by(&reader);
        assert!(!reader.is_cancelled());
        drop(large);
        assert_eq!(held.ledger().bytes, 0);
    }
}
