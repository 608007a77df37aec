//! What is known of a member beside its key.

use std::fmt;
use std::sync::Arc;

use super::wire::{Reader, WireError, put_varint, varint_len};

/// Items by key. Equal metadata are equal bytes; unknown keys are kept and passed on.
///
/// They are kept as they are on the wire, which a peer cannot make larger than what it sent, and shared by all copies of a fact.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Metadata(Arc<[u8]>);

const NAME: u8 = b'n';
const BASIC: u8 = b'b';

impl Metadata {
    /// The longest name that is sent, in bytes.
    pub const NAME_LEN: usize = 16;
    /// The most bytes of items that are believed: a name and a flag have 22, and the rest is room for what is to come.
    pub const MAX_LEN: usize = 512;

    /// Describes a member. The name is cut to 16 bytes of printable characters; an empty one is left out.
    pub fn new(name: Option<&str>, basic: bool) -> Self {
        let name = name.map(presentable).filter(|name| !name.is_empty());
        let name = name.map(|name| (NAME, name.into_bytes()));
        Self::from_items(name.into_iter().chain(basic.then(|| (BASIC, vec![1]))))
    }

    /// Returns the name in printable characters, where it has one. What a peer sends may be longer than what we send.
    pub fn name(&self) -> Option<String> {
        let text = std::str::from_utf8(self.get(NAME)?).ok()?;
        Some(presentable(text)).filter(|name| !name.is_empty())
    }

    /// Returns whether the member runs WireGuard without wirelink.
    pub fn is_basic(&self) -> bool {
        self.get(BASIC) == Some(&[1])
    }

    /// Returns all items, the name first, the others by key.
    pub fn items(&self) -> impl Iterator<Item = (u8, &[u8])> {
        let mut rest = Reader::new(&self.0);
        std::iter::from_fn(move || {
            (!rest.is_empty()).then(|| item(&mut rest).expect("it was put together here, or read as a whole"))
        })
    }

    /// Takes items as they are; the last of several with the same key counts.
    pub fn from_items(items: impl IntoIterator<Item = (u8, Vec<u8>)>) -> Self {
        let mut items: Vec<(u8, Vec<u8>)> = items.into_iter().collect();
        items.reverse();
        items.sort_by_key(|(key, _)| place(*key));
        items.dedup_by_key(|(key, _)| *key);
        let mut bytes = Vec::new();
        for (key, value) in items {
            bytes.push(key);
            put_varint(value.len() as u64, &mut bytes);
            bytes.extend_from_slice(&value);
        }
        Self(bytes.into())
    }

    /// Returns how many bytes the items take.
    pub fn items_len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn len(&self) -> usize {
        varint_len(self.0.len()) + self.0.len()
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_varint(self.0.len() as u64, out);
        out.extend_from_slice(&self.0);
    }

    pub(super) fn decode(bytes: &mut Reader<'_>) -> Result<Self, WireError> {
        let mut list = bytes.counted()?;
        let mut items = Vec::new();
        let mut seen = [false; 1 << u8::BITS];
        while !list.is_empty() {
            let (key, value) = item(&mut list)?;
            check(key, value)?;
            if std::mem::replace(&mut seen[usize::from(key)], true) {
                return Err(WireError::MetadataKeyTwice(key));
            }
            items.push((key, value.to_vec()));
        }
        Ok(Self::from_items(items))
    }

    fn get(&self, key: u8) -> Option<&[u8]> {
        self.items().find(|(other, _)| *other == key).map(|(_, value)| value)
    }
}

impl Default for Metadata {
    fn default() -> Self {
        Self::from_items([])
    }
}

impl fmt::Debug for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.items()).finish()
    }
}

/// Returns by what an item is ordered: its key, but the name comes first.
fn place(key: u8) -> (bool, u8) {
    (key != NAME, key)
}

fn item<'a>(bytes: &mut Reader<'a>) -> Result<(u8, &'a [u8]), WireError> {
    Ok((bytes.u8()?, bytes.counted()?.rest()))
}

fn check(key: u8, value: &[u8]) -> Result<(), WireError> {
    match key {
        NAME if std::str::from_utf8(value).is_err() => Err(WireError::NameNotUtf8),
        BASIC if !matches!(value, [0 | 1]) => Err(WireError::BasicFlag),
        _ => Ok(()),
    }
}

/// Keeps what fits a log line: printable characters, at most [`Metadata::NAME_LEN`] bytes.
fn presentable(name: &str) -> String {
    let mut kept = String::new();
    for character in name.trim().chars().filter(|c| is_visible(*c)) {
        if kept.len() + character.len_utf8() > Metadata::NAME_LEN {
            break;
        }
        kept.push(character);
    }
    kept
}

/// Returns whether a character is shown as itself: no control character, and none that changes the direction or hides. A peer must
/// not forge the look of a log.
#[must_use]
pub fn is_visible(character: char) -> bool {
    let hidden = matches!(character, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    !character.is_control() && !hidden
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_cut_between_characters_and_loses_what_is_not_printable() {
        let name = |text| Metadata::new(Some(text), false).name();
        assert_eq!(name("caf\u{e9}-1\n").as_deref(), Some("caf\u{e9}-1"));
        assert_eq!(name("0123456789abcde\u{e9}").as_deref(), Some("0123456789abcde"));
        assert_eq!(name("\x1b\x07"), None);
    }

    #[test]
    fn items_are_one_each_in_one_order() {
        let one = Metadata::from_items([(b'z', vec![1]), (b'n', vec![2]), (b'a', vec![3]), (b'z', vec![4])]);
        let items: Vec<(u8, &[u8])> = one.items().collect();
        assert_eq!(items, [(b'n', &[2][..]), (b'a', &[3]), (b'z', &[4])]);
        assert_eq!(
            one,
            Metadata::from_items([(b'a', vec![3]), (b'z', vec![4]), (b'n', vec![2])])
        );
        assert_eq!(one.items_len(), 9);
    }
}
