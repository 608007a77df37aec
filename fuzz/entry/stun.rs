//! Any bytes as what a STUN server says: nothing may panic, and what is read is to a question that could have been asked.

use wirelink::daemon::probe::stun::{question, read};

pub(crate) fn run(datagram: &[u8]) {
    let Some(answer) = read(datagram) else { return };
    let asked = question(answer.transaction);
    assert_eq!(datagram[4..20], asked[4..], "the transaction of another question");
    assert!(answer.seen.port() != 0 && !answer.seen.ip().is_unspecified());
    assert_eq!(read(&asked), None, "a question is no answer");
}
