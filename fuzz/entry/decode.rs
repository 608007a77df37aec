//! Any bytes as a datagram: nothing may panic, and what decodes must encode to facts that decode to the same.

use wirelink::mesh::base::identity::PublicKey;
use wirelink::mesh::believe::fact::{Timed, wire};

pub(crate) fn run(datagram: &[u8]) {
    let Ok(envelope) = wire::decode(datagram) else { return };
    let sender = PublicKey::from_bytes([0; 32]);
    let Ok(facts) = envelope.unverified_facts(&sender) else {
        return;
    };
    facts.iter().for_each(say_again);
    let groups = wire::pack_compact(&sender, &facts);
    let again: usize = groups.iter().map(|runs| compact(&sender, runs).len()).sum();
    assert!(again <= facts.len(), "more was packed than there was");
}

fn say_again(fact: &Timed) {
    let mut bytes = b"S\0".to_vec();
    bytes.resize(wire::GROUP_OVERHEAD, 0);
    wire::put_fact(fact, &mut bytes);
    assert_eq!(bytes.len(), wire::GROUP_OVERHEAD + wire::fact_len(fact));
    if bytes.len() <= wire::MAX_ACCEPTED {
        let again = wire::decode(&bytes).expect("our own bytes");
        let again = again.unverified_facts(&fact.fact.subject).expect("our own bytes");
        assert_eq!(again, std::slice::from_ref(fact));
        assert_eq!(again[0].fact.hash(), fact.fact.hash());
    }
}

/// Reads the runs of a compact group of our own making.
fn compact(sender: &PublicKey, runs: &[u8]) -> Vec<Timed> {
    let mut datagram = vec![wire::EXTENDED | b'S'];
    datagram.resize(wire::COMPACT_OVERHEAD, 0);
    datagram.extend_from_slice(runs);
    assert!(datagram.len() <= wire::MAX_SENT, "a group is longer than is sent");
    let envelope = wire::decode(&datagram).expect("our own bytes");
    envelope.unverified_facts(sender).expect("our own bytes")
}
