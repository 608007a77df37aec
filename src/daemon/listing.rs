//! The answer to `facts`, written in pieces: a full store takes tens of megabytes as text, and nobody holds all of it.
//!
//! Between two pieces the node goes on, so that each piece is what is believed at its moment.

use std::time::Duration;

use serde::Serialize;

use crate::control::{Fact as Shown, Refused, Rejected, VERSION};
use crate::daemon::view::called;
use crate::mesh::base::identity::PublicKey;
use crate::mesh::base::time::Timestamp;
use crate::mesh::believe::fact::{Fact, Origin};
use crate::mesh::node::Node;
use crate::mesh::show::status::value_of;

/// A piece ends with the entry that makes it as long, in bytes.
const PIECE: usize = 32 * 1024;

/// How far a listing is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listing {
    /// Whom it is about; all, where it is about nobody.
    subject: Option<PublicKey>,
    place: Place,
}

/// The next entry: in one of the three lists of [`Facts`](crate::control::Facts), in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    /// Behind this fact.
    Facts(Option<Fact>),
    /// So many refused prefixes were listed. One that comes or goes meanwhile moves the others.
    Refused(usize),
    /// So many kinds of what was not believed were listed.
    Rejected(usize),
}

impl Listing {
    /// Begins with what is believed about one subject, or about all.
    pub(super) const fn new(subject: Option<PublicKey>) -> Self {
        Self {
            subject,
            place: Place::Facts(None),
        }
    }

    /// Returns the next piece of the text, and how it goes on; `None` behind the last.
    pub(super) fn piece(self, node: &Node, now: Timestamp) -> (Vec<u8>, Option<Self>) {
        let mut text = Vec::with_capacity(PIECE + PIECE / 4);
        let next = self.write(node, now, &mut text);
        (text, next)
    }

    fn write(mut self, node: &Node, now: Timestamp, text: &mut Vec<u8>) -> Option<Self> {
        loop {
            let next = match &self.place {
                Place::Facts(last) => self.facts(node, now, last.as_ref(), text),
                Place::Refused(done) => self.refused(node, *done, text),
                Place::Rejected(done) => self.rejected(node, *done, text),
            };
            self.place = next?;
            if text.len() >= PIECE {
                return Some(self);
            }
        }
    }

    fn facts(&self, node: &Node, now: Timestamp, last: Option<&Fact>, text: &mut Vec<u8>) -> Option<Place> {
        let mut list = List::new(text, last.is_none());
        if last.is_none() {
            let head = format!("{{\"answer\":\"facts\",\"version\":{VERSION},\"facts\":[");
            list.text.extend_from_slice(head.as_bytes());
        }
        let all = self.subject.is_none().then(|| node.believed(now, last));
        let about = self.subject.map(|subject| node.believed_about(now, subject, last));
        let listed = all.into_iter().flatten().chain(about.into_iter().flatten());
        for (fact, origin, ttl) in listed.filter(|(fact, _, ttl)| counts(node, now, fact, *ttl)) {
            let told = self.subject.map(|_| {
                let knowers = node.knowers(now, fact);
                knowers.iter().map(|key| name(node, key)).collect()
            });
            list.add(&Shown {
                subject: fact.subject,
                name: node.called(&fact.subject).name,
                attribute: fact.attribute().row().name.to_owned(),
                value: value_of(fact),
                origin: source(node, &origin),
                trust: match &origin {
                    Origin::Peer(sender) => node.trusts(sender),
                    Origin::Observed | Origin::Configured | Origin::Remembered => None,
                },
                expires_seconds: ttl.as_secs(),
                told,
            });
            if list.text.len() >= PIECE {
                return Some(Place::Facts(Some(fact.clone())));
            }
        }
        list.text.extend_from_slice(b"],\"refused\":[");
        Some(Place::Refused(0))
    }

    fn refused(&self, node: &Node, mut done: usize, text: &mut Vec<u8>) -> Option<Place> {
        let mut list = List::new(text, done == 0);
        for refused in node.refused_prefixes(self.subject, done) {
            list.add(&Refused {
                prefix: refused.prefix,
                claimant: refused.claimant.key,
                text: refused.to_string(),
            });
            done += 1;
            if list.text.len() >= PIECE {
                return Some(Place::Refused(done));
            }
        }
        list.text.extend_from_slice(b"],\"rejected\":[");
        Some(Place::Rejected(0))
    }

    fn rejected(&self, node: &Node, mut done: usize, text: &mut Vec<u8>) -> Option<Place> {
        let mut list = List::new(text, done == 0);
        let is_asked = |sender: Option<PublicKey>| self.subject.is_none() || sender == self.subject;
        let rejected = node.rejected().filter(|(sender, ..)| is_asked(*sender));
        for (sender, reason, times) in rejected.skip(done) {
            list.add(&Rejected {
                sender,
                name: sender.and_then(|key| node.called(&key).name),
                text: reason.to_string(),
                times,
            });
            done += 1;
            if list.text.len() >= PIECE {
                return Some(Place::Rejected(done));
            }
        }
        list.text.extend_from_slice(b"]}\n");
        None
    }
}

/// Returns whether a fact is the one that counts: a node that announces its probes anew leaves the older announcement to expire.
fn counts(node: &Node, now: Timestamp, fact: &Fact, ttl: Duration) -> bool {
    let Some(probes) = fact.value.probes() else { return true };
    let others = node.believed_about(now, fact.subject, None);
    let mut announced = others.filter_map(|(other, _, ttl)| Some((other.value.probes()?, ttl)));
    announced.all(|(other, other_ttl)| (other.epoch, other_ttl, other.nat) <= (probes.epoch, ttl, probes.nat))
}

/// Entries of a list in JSON.
struct List<'a> {
    text: &'a mut Vec<u8>,
    is_empty: bool,
}

impl<'a> List<'a> {
    fn new(text: &'a mut Vec<u8>, is_empty: bool) -> Self {
        Self { text, is_empty }
    }

    fn add(&mut self, entry: &impl Serialize) {
        if !std::mem::take(&mut self.is_empty) {
            self.text.push(b',');
        }
        serde_json::to_writer(&mut *self.text, entry)
            .expect("numbers and text have a form in JSON, and memory takes it");
    }
}

fn name(node: &Node, key: &PublicKey) -> String {
    called(key, node.called(key).name.as_deref())
}

/// Returns who said something.
fn source(node: &Node, origin: &Origin) -> String {
    match origin {
        Origin::Peer(key) => name(node, key),
        Origin::Observed => "this machine".to_owned(),
        Origin::Configured => "the settings".to_owned(),
        Origin::Remembered => "memory".to_owned(),
    }
}

#[cfg(test)]
mod tests;
