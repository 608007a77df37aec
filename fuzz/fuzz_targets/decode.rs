//! Any bytes as a datagram: nothing may panic, and what decodes must encode to facts that decode to the same.
//!
//! `cargo +nightly fuzz run decode`
#![no_main]

use libfuzzer_sys::fuzz_target;
use wirelink::mesh::fact::wire;
use wirelink::mesh::identity::PublicKey;

fuzz_target!(|datagram: &[u8]| {
    let Ok(envelope) = wire::decode(datagram) else { return };
    let sender = PublicKey::from_bytes([0; 32]);
    let Ok(facts) = envelope.unverified_facts(&sender) else { return };
    for fact in &facts {
        let mut bytes = b"S\0".to_vec();
        bytes.resize(wire::GROUP_OVERHEAD, 0);
        wire::put_fact(fact, &mut bytes);
        if bytes.len() <= wire::MAX_ACCEPTED {
            let again = wire::decode(&bytes).expect("our own bytes").unverified_facts(&sender).expect("our own bytes");
            assert_eq!(again, [fact.clone()]);
        }
    }
});
