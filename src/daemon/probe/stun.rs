//! What STUN says on the wire (RFC 8489): the question, and what an answer says. The codec is `stun-types`.

use stun_types::attribute::XorMappedAddress;
use stun_types::message::{BINDING, Message, MessageClass, MessageHeader, MessageType, MessageWriteVec, TransactionId};
use stun_types::prelude::MessageWrite as _;

use crate::mesh::reach::stun::{Answer, Transaction};

/// The length of a question: a header, and nothing that the other side need not know.
pub(super) const QUESTION_LEN: usize = 20;
/// The longest answer that is read: nothing may be longer where nobody knows what passes (RFC 8489, 6.1: 576 bytes with the headers).
pub(super) const MAX_LEN: usize = 548;
/// How an answer begins: a Binding success response.
pub(super) const SUCCESS: u16 = 0x0101;
/// What follows two bytes later.
pub(super) const COOKIE: u32 = 0x2112_a442;

/// Returns the question.
pub fn question(Transaction(transaction): Transaction) -> Vec<u8> {
    let mut id = [0; 16];
    id[4..].copy_from_slice(&transaction);
    let kind = MessageType::from_class_method(MessageClass::Request, BINDING);
    Message::builder(
        kind,
        TransactionId::from(u128::from_be_bytes(id)),
        MessageWriteVec::new(),
    )
    .finish()
}

/// Tells what may be an answer, as the filter does.
pub(super) fn is_answer(datagram: &[u8]) -> bool {
    datagram.len() <= MAX_LEN
        && datagram.starts_with(&SUCCESS.to_be_bytes())
        && datagram.get(4..8) == Some(&COOKIE.to_be_bytes())
}

/// Reads an answer; `None` where it is none, or says no address. The form without the cookie (RFC 3489) is not read: routers are
/// known to translate the addresses that they find in it.
pub fn read(datagram: &[u8]) -> Option<Answer> {
    let message = Message::from_bytes(datagram).ok()?;
    let length = MessageHeader::from_bytes(datagram).ok()?.data_length();
    let is_whole = is_answer(datagram) && datagram.len() == QUESTION_LEN + usize::from(length);
    let seen = message.attribute::<XorMappedAddress>().ok()?;
    let id = message.transaction_id();
    let seen = seen.addr(id);
    let transaction = u128::from(id).to_be_bytes();
    let (_, transaction) = transaction.split_last_chunk()?;
    let is_place = seen.port() != 0 && !seen.ip().is_unspecified() && seen.ip() == seen.ip().to_canonical();
    (is_whole && is_place).then_some(Answer {
        transaction: Transaction(*transaction),
        seen,
    })
}

#[cfg(test)]
pub(super) mod tests {
    use std::net::SocketAddr;

    use proptest::prelude::*;

    use super::*;

    /// The transaction of RFC 5769, whose test vectors have a password that none of ours need.
    pub(in super::super) const TRANSACTION: Transaction =
        Transaction([0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae]);

    /// The response of RFC 5769, 2.2, without what proves a password: software, and the mapped address 192.0.2.1:32853.
    pub(in super::super) fn answer() -> Vec<u8> {
        let mut answer = vec![0x01, 0x01, 0, 28, 0x21, 0x12, 0xa4, 0x42];
        answer.extend(TRANSACTION.0);
        answer.extend([0x80, 0x22, 0, 0x0b]);
        answer.extend(b"test vector ");
        answer.extend([0, 0x20, 0, 8, 0, 1, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43]);
        answer
    }

    #[test]
    fn a_question_is_a_header_with_the_transaction() {
        let question = question(TRANSACTION);
        let header = [0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42];
        assert_eq!(question, [&header[..], &TRANSACTION.0].concat());
        assert_eq!(question.len(), QUESTION_LEN);
    }

    #[test]
    fn an_answer_is_read_as_the_standard_has_it() {
        let seen = "192.0.2.1:32853".parse().unwrap();
        let transaction = TRANSACTION;
        assert_eq!(read(&answer()), Some(Answer { transaction, seen }));
        // RFC 5769, 2.3.
        let mut over_ipv6 = answer()[..36].to_vec();
        over_ipv6[3] = 40;
        over_ipv6.extend([0, 0x20, 0, 0x14, 0, 2, 0xa1, 0x47]);
        over_ipv6.extend([0x01, 0x13, 0xa9, 0xfa, 0xa5, 0xd3, 0xf1, 0x79]);
        over_ipv6.extend([0xbc, 0x25, 0xf4, 0xb5, 0xbe, 0xd2, 0xb9, 0xd9]);
        let seen: SocketAddr = "[2001:db8:1234:5678:11:2233:4455:6677]:32853".parse().unwrap();
        assert_eq!(read(&over_ipv6), Some(Answer { transaction, seen }));
    }

    #[test]
    fn what_is_no_answer_or_says_no_address_is_refused() {
        let with = |at: usize, byte: u8| {
            let mut other = answer();
            other[at] = byte;
            read(&other)
        };
        assert!(read(&answer()).is_some());
        assert_eq!(with(0, 0), None, "a question");
        assert_eq!(with(0, 1 | 0x10), None, "an error");
        assert_eq!(with(4, 0x22), None, "without the cookie");
        assert_eq!(with(3, 24), None, "longer than it says");
        assert_eq!(with(37, 0x01), None, "an address in the clear, which routers change");
        assert_eq!(with(41, 3), None, "of no family");
        assert_eq!(read(&answer()[..40]), None, "cut");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..MAX_LEN + 40), keep in 0..60usize) {
            read(&bytes);
            let mut near = answer();
            near.truncate(keep);
            near.extend(bytes);
            if let Some(length) = near.len().checked_sub(QUESTION_LEN) {
                near[2..4].copy_from_slice(&u16::try_from(length).unwrap().to_be_bytes());
            }
            if let Some(read) = read(&near) {
                prop_assert!(read.seen.port() != 0 && near.len() <= MAX_LEN);
            }
        }
    }
}
