//! Any bytes as a datagram: nothing may panic, and what decodes must encode to facts that decode to the same.
//!
//! `cargo +nightly fuzz run decode`
#![no_main]

use libfuzzer_sys::fuzz_target;
use wirelink::mesh::fact::wire;

fuzz_target!(|datagram: &[u8]| {
    let Ok(envelope) = wire::decode(datagram) else { return };
    let Ok(facts) = envelope.unverified_facts() else { return };
    for fact in &facts {
        let mut bytes = datagram[..wire::GROUP_OVERHEAD].to_vec();
        wire::put_fact(fact, &mut bytes);
        if bytes.len() <= wire::MAX_ACCEPTED {
            let again = wire::decode(&bytes).expect("our own bytes").unverified_facts().expect("our own bytes");
            assert_eq!(again, [fact.clone()]);
        }
    }
});
