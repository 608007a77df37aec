//! Facts into as few datagrams as hold them.

use super::Timed;
use super::value::{Heartbeat, Value};
use super::wire::{
    ABOUT_SENDER, COMPACT_OVERHEAD, EXTENDED, MAX_FACTS, MAX_RUN, MAX_SENT, MAX_TTL, put_varint, varint_len,
};
use crate::mesh::base::identity::PublicKey;

/// Appends a fact; a longer life than the wire can say is cut to [`MAX_TTL`].
pub fn put_fact(timed: &Timed, out: &mut Vec<u8>) {
    put_head(timed, out);
    out.extend_from_slice(timed.fact.subject.as_bytes());
    put_value(timed, out);
}

/// Returns how many bytes [`put_fact`] appends.
pub fn fact_len(timed: &Timed) -> usize {
    let ttl = timed.ttl.min(MAX_TTL).as_secs();
    1 + varint_len(ttl as usize) + PublicKey::LEN + timed.fact.value.len()
}

fn put_head(timed: &Timed, out: &mut Vec<u8>) {
    out.push(timed.fact.attribute().row().byte);
    put_varint(timed.ttl.min(MAX_TTL).as_secs(), out);
}

fn put_value(timed: &Timed, out: &mut Vec<u8>) {
    if timed.fact.attribute().row().byte & EXTENDED == 0 {
        return timed.fact.value.encode(out);
    }
    let mut value = Vec::new();
    timed.fact.value.encode(&mut value);
    put_varint(value.len() as u64, out);
    out.extend_from_slice(&value);
}

/// Packs facts, in order, into as few groups as hold them; a fact that fits no group is left out.
pub fn pack<'a>(facts: impl IntoIterator<Item = &'a Timed>) -> Vec<Vec<u8>> {
    let mut groups: Vec<Vec<u8>> = Vec::new();
    let mut one = Vec::new();
    for fact in facts {
        one.clear();
        put_fact(fact, &mut one);
        match groups.last_mut() {
            Some(group) if group.len() + one.len() <= MAX_FACTS => group.extend_from_slice(&one),
            _ if one.len() <= MAX_FACTS => groups.push(one.clone()),
            _ => {}
        }
    }
    groups
}

/// Packs facts of `sender`, in order, into as few compact groups as hold them; a fact that fits none is left out. Facts about one
/// subject should stand together.
pub fn pack_compact<'a>(sender: &PublicKey, facts: impl IntoIterator<Item = &'a Timed>) -> Vec<Vec<u8>> {
    let mut packer = Packer::default();
    let mut item = Vec::new();
    for timed in facts {
        item.clear();
        put_head(timed, &mut item);
        put_value(timed, &mut item);
        packer.add(sender, &timed.fact.subject, &item);
    }
    packer.groups
}

/// Makes a compact group of one heartbeat, filled up so that its datagram has so many bytes, as far as its head leaves room.
pub fn pack_sized(beat: &Heartbeat, payload: usize) -> Vec<u8> {
    let value = Value::Heartbeat(*beat);
    let mut group = vec![ABOUT_SENDER | 1, value.attribute().row().byte, 0];
    let rest = payload.saturating_sub(COMPACT_OVERHEAD + group.len());
    let mut bytes = Vec::with_capacity(rest);
    value.encode(&mut bytes);
    bytes.resize(bytes.len().max(rest.saturating_sub(varint_len(rest))), 0);
    put_varint(bytes.len() as u64, &mut group);
    group.extend_from_slice(&bytes);
    group
}

/// Fills compact groups.
#[derive(Default)]
struct Packer {
    groups: Vec<Vec<u8>>,
    /// The subject of the last run of the last group, and where that run begins.
    run: Option<(PublicKey, usize)>,
}

impl Packer {
    const ROOM: usize = MAX_SENT - COMPACT_OVERHEAD;

    fn add(&mut self, sender: &PublicKey, subject: &PublicKey, item: &[u8]) {
        let used = self.groups.last().map_or(Self::ROOM, Vec::len);
        let head = if subject == sender { 1 } else { 1 + PublicKey::LEN };
        if head + item.len() > Self::ROOM {
            return;
        }
        if let (Some((of, at)), Some(group)) = (self.run, self.groups.last_mut())
            && of == *subject
            && group[at] & MAX_RUN < MAX_RUN
            && used + item.len() <= Self::ROOM
        {
            group[at] += 1;
            return group.extend_from_slice(item);
        }
        if used + head + item.len() > Self::ROOM {
            self.groups.push(Vec::with_capacity(Self::ROOM));
        }
        let group = self.groups.last_mut().expect("there is room in it");
        self.run = Some((*subject, group.len()));
        if subject == sender {
            group.push(ABOUT_SENDER | 1);
        } else {
            group.push(1);
            group.extend_from_slice(subject.as_bytes());
        }
        group.extend_from_slice(item);
    }
}
