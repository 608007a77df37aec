//! STUN from WireGuard's own port: what a server says that was asked is heard, and what anybody else says is not.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use wirelink::daemon::probe::What;
use wirelink::mesh::reach::stun::{Answer, Transaction};

use super::{PATIENCE, Pair, SOON, hear};
use crate::lab::Lab;
use crate::namespace::Namespace;
use crate::scenario::table::home_public;
use crate::tunnel::PORT;

/// The port of STUN servers (RFC 8489, 8.1).
const STUN: u16 = 3478;
const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];

/// Opens a server's socket.
fn bind(at: &Namespace, address: IpAddr, port: u16) -> UdpSocket {
    at.inside(|| {
        let socket = UdpSocket::bind((address, port)).expect("the port is free");
        socket.set_read_timeout(Some(SOON)).expect("a time to wait");
        socket
    })
}

/// Waits for a question; returns it, and from where it came.
fn question(server: &UdpSocket) -> Option<(Vec<u8>, SocketAddr)> {
    let mut buffer = [0; 600];
    let (length, from) = server.recv_from(&mut buffer).ok()?;
    let question = buffer[..length].to_vec();
    assert_eq!(
        question[..8],
        [0, 1, 0, 0, COOKIE[0], COOKIE[1], COOKIE[2], COOKIE[3]],
        "a Binding request without attributes"
    );
    assert_eq!(length, 20);
    Some((question, from))
}

/// Returns what a server says to that: XOR-MAPPED-ADDRESS (RFC 8489, 14.2).
fn answer(question: &[u8], from: SocketAddr) -> Vec<u8> {
    let mask = &question[4..];
    let (family, address) = match from.ip() {
        IpAddr::V4(v4) => (1, v4.octets().to_vec()),
        IpAddr::V6(v6) => (2, v6.octets().to_vec()),
    };
    let plain = [&from.port().to_be_bytes()[..], &address].concat();
    let mask = [&mask[..2], mask].concat();
    let hidden = plain.iter().zip(&mask).map(|(byte, mask)| byte ^ mask);
    let value: Vec<u8> = [0, family].into_iter().chain(hidden).collect();
    let length = u8::try_from(value.len()).expect("20 bytes at most");
    [&[1, 1, 0, length + 4], &question[4..], &[0, 0x20, 0, length], &value].concat()
}

#[test]
fn what_a_server_says_is_heard_and_nobody_else() {
    let pair = Pair::build();
    for (router, own) in [("192.168.1.1", "192.168.1.2"), ("fd00:1::1", "fd00:1::2")] {
        let [router, own]: [IpAddr; 2] = [router, own].map(|address| address.parse().expect("an address"));
        let [server, other] = [STUN, STUN + 1].map(|port| bind(&pair.routers[0], router, port));
        let to = SocketAddr::new(router, STUN);
        let seen = SocketAddr::new(own, PORT);
        pair.probe(async |[mut a, _]| {
            // The answer of one that nobody asked is not even shown.
            let early = answer(&[&[0; 4][..], &COOKIE, &[7; 12]].concat(), seen);
            server.send_to(&early, seen).expect("there is a way");
            assert_eq!(hear(&mut a).await, None, "{router}: not asked");

            let transaction = Transaction([9; 12]);
            a.ask(to, transaction).expect("there is a way");
            let (question, from) = question(&server).expect("it arrives");
            assert_eq!((from, &question[8..]), (seen, &transaction.0[..]));
            let said = answer(&question, from);
            other.send_to(&said, from).expect("there is a way");
            assert_eq!(hear(&mut a).await, None, "{router}: from another port");
            server.send_to(&said, from).expect("there is a way");
            let heard = hear(&mut a).await.expect("it was asked");
            let what = What::Stun(Some(Answer { transaction, seen }));
            assert_eq!((heard.source, heard.what), (to, what));
            let mut half = said;
            half.truncate(30);
            server.send_to(&half, from).expect("there is a way");
            let heard = hear(&mut a).await.expect("it begins like an answer");
            assert_eq!(heard.what, What::Stun(None), "{router}: it is counted");
        });
    }
}

/// The node asks four times within 3.5 s, unless it hears an answer.
#[test]
fn a_node_with_a_single_hub_asks_a_server_until_it_answers() {
    for answers in [true, false] {
        let mut lab = Lab::build(&home_public());
        let address = lab.network.public_address("b");
        let server = bind(lab.namespace("b"), address.parse().expect("an address"), STUN);
        let folder = lab.settings("a");
        std::fs::create_dir_all(&folder).expect("a folder can be made");
        let file = folder.join(format!("wirelink.{}.json", lab.interface("a")));
        std::fs::write(file, format!("{{\"Stun\": [\"{address}:{STUN}\"]}}")).expect("a file can be written");
        lab.start("hub");
        lab.start("a");
        let (first, from) = question(&server).unwrap_or_else(|| panic!("nobody asks: {}", lab.log("a")));
        assert_eq!(
            from.to_string(),
            format!("{}:{PORT}", lab.network.public_address("a")),
            "from WireGuard's own port"
        );
        let mut asked: Vec<Vec<u8>> = vec![first.clone()];
        let began = Instant::now();
        server.set_read_timeout(Some(PATIENCE)).expect("a time to wait");
        let mut next = Some((first, from));
        while began.elapsed() < Duration::from_secs(6) {
            if let Some((question, from)) = next.filter(|_| answers) {
                server.send_to(&answer(&question, from), from).expect("there is a way");
            }
            next = question(&server);
            asked.extend(next.iter().map(|(question, _)| question.clone()));
        }
        // Where the network changes in the beginning, it asks anew; and never the same again once it has an answer.
        let times = |question: &Vec<u8>| asked.iter().filter(|other| *other == question).count();
        let most = asked.iter().map(times).max();
        assert_eq!(most, Some(if answers { 1 } else { 4 }), "{}", lab.log("a"));
    }
}
