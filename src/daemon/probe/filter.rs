//! What the kernel lets through to us of all the UDP that arrives: a classic BPF program (Linux, networking/filter), so that the
//! traffic of the machine, WireGuard's own before all, never wakes this process.

use std::net::{IpAddr, SocketAddr};

use socket2::SockFilter;

use super::packet::{Family, UDP_LEN, VEILED_UDP_LEN};
use super::stun::{COOKIE, SUCCESS};
use crate::mesh::reach::probe::wire::MARK;

/// One instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Step {
    code: u16,
    /// How many instructions are left out where the comparison holds.
    then: u8,
    /// And where it does not.
    otherwise: u8,
    value: u32,
}

// BPF_LD and BPF_LDX with their sizes and modes, BPF_JMP, BPF_RET (linux/bpf_common.h).
const LOAD_WORD: u16 = 0x20;
const LOAD_HALF: u16 = 0x28;
const LOAD_HALF_BEHIND: u16 = 0x48;
const LOAD_WORD_BEHIND: u16 = 0x40;
const SKIP_NOTHING: u16 = 0x01;
const SKIP_IPV4_HEADER: u16 = 0xb1;
const IF_EQUAL: u16 = 0x15;
const IF_ANY_BIT: u16 = 0x45;
const IF_MORE: u16 = 0x25;
const RETURN: u16 = 0x06;

/// Where an IPv4 header has flags and fragment offset, and which bits are the offset.
const FRAGMENT: u32 = 6;
const OFFSET_BITS: u32 = 0x1fff;

/// What counts from here counts from the IP header, of which a raw socket shows nothing where the packet is IPv6 (SKF_NET_OFF).
const FROM_IP: u32 = 0xfff0_0000;
/// Where the headers of both versions have the source address.
const IPV4_SOURCE: u32 = 12;
const IPV6_SOURCE: u32 = 8;

/// Returns the filter for what comes to `port`, where these servers were asked.
pub(super) fn filter(family: Family, port: u16, asked: &[SocketAddr]) -> Vec<SockFilter> {
    let steps = program(family, port, asked).into_iter();
    let filter = steps.map(|step| SockFilter::new(step.code, step.then, step.otherwise, step.value));
    filter.collect()
}

/// Returns the filter for whatever comes to `port` over IPv6, where a raw socket shows the UDP header first.
pub(in crate::daemon) fn to_port(port: u16) -> Vec<SockFilter> {
    let steps = [
        load(LOAD_HALF, 2),
        compare(IF_EQUAL, port.into(), 0, 1),
        load(RETURN, u32::MAX),
        load(RETURN, 0),
    ];
    let filter = steps
        .into_iter()
        .map(|step| SockFilter::new(step.code, step.then, step.otherwise, step.value));
    filter.collect()
}

/// Takes datagrams to the port that are as long as a marked probe and have its mark, or as long as a veiled one and do not begin like a
/// message of WireGuard; and, where servers were asked, what begins like an answer
/// of STUN and comes from one of them. A load from behind the end refuses, too. An answer of STUN that is as long as a veiled
/// probe passes as one, and whoever reads it looks at what it is.
///
/// Raw sockets show an IPv4 header of any length before that of UDP, and nothing before it where the packet is IPv6 (raw(7)).
fn program(family: Family, port: u16, asked: &[SocketAddr]) -> Vec<Step> {
    let mut steps = match family {
        Family::V4 => vec![
            load(LOAD_HALF, FRAGMENT),
            compare(IF_ANY_BIT, OFFSET_BITS, 15, 0),
            load(SKIP_IPV4_HEADER, 0),
        ],
        Family::V6 => vec![load(SKIP_NOTHING, 0)],
    };
    steps.extend([
        load(LOAD_HALF_BEHIND, 2),
        compare(IF_EQUAL, port.into(), 0, 12),
        load(LOAD_HALF_BEHIND, 4),
        compare(IF_EQUAL, UDP_LEN.into(), 8, 0),
        compare(IF_MORE, u32::from(*VEILED_UDP_LEN.start()) - 1, 0, 11),
        compare(IF_MORE, u32::from(*VEILED_UDP_LEN.end()), 10, 0),
        load(LOAD_WORD_BEHIND, 8),
        compare(IF_EQUAL, u32::from_be_bytes([1, 0, 0, 0]), 6, 0),
        compare(IF_EQUAL, u32::from_be_bytes([2, 0, 0, 0]), 5, 0),
        compare(IF_EQUAL, u32::from_be_bytes([3, 0, 0, 0]), 4, 0),
        compare(IF_EQUAL, u32::from_be_bytes([4, 0, 0, 0]), 3, 0),
        load(RETURN, u32::MAX),
        load(LOAD_WORD_BEHIND, 8),
        compare(IF_EQUAL, u32::from_be_bytes(MARK), 1, 0),
        load(RETURN, 0),
        load(RETURN, u32::MAX),
    ]);
    let mut servers = asked.iter().filter(|server| Family::of(**server) == family).peekable();
    if servers.peek().is_some() {
        steps.extend([
            load(LOAD_HALF_BEHIND, 8),
            compare(IF_EQUAL, SUCCESS.into(), 1, 0),
            load(RETURN, 0),
            load(LOAD_WORD_BEHIND, 12),
            compare(IF_EQUAL, COOKIE, 1, 0),
            load(RETURN, 0),
        ]);
    }
    servers.for_each(|server| steps.extend(comes_from(*server)));
    steps.push(load(RETURN, 0));
    steps
}

/// Takes what comes from a server; anything else goes on behind it.
fn comes_from(server: SocketAddr) -> Vec<Step> {
    let (from, address) = match server.ip() {
        IpAddr::V4(address) => (IPV4_SOURCE, address.octets().to_vec()),
        IpAddr::V6(address) => (IPV6_SOURCE, address.octets().to_vec()),
    };
    let words = address.chunks(4).zip((from..).step_by(4));
    let mut steps: Vec<Step> = words
        .flat_map(|(word, at)| {
            let word = word.iter().fold(0, |number, byte| number << 8 | u32::from(*byte));
            [load(LOAD_WORD, FROM_IP + at), compare(IF_EQUAL, word, 0, 0)]
        })
        .chain([
            load(LOAD_HALF_BEHIND, 0),
            compare(IF_EQUAL, server.port().into(), 0, 0),
            load(RETURN, u32::MAX),
        ])
        .collect();
    let end = steps.len();
    for (at, step) in steps.iter_mut().enumerate().filter(|(_, step)| step.code == IF_EQUAL) {
        step.otherwise = u8::try_from(end - at - 1).expect("there are 11 steps at most");
    }
    steps
}

const fn load(code: u16, value: u32) -> Step {
    compare(code, value, 0, 0)
}

const fn compare(code: u16, value: u32, then: u8, otherwise: u8) -> Step {
    Step {
        code,
        then,
        otherwise,
        value,
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use proptest::prelude::*;

    use super::super::packet::{self, What, tests::PROBE};
    use super::super::stun;
    use super::*;

    const PORT: u16 = 51820;

    /// Runs a program as the kernel does; returns whether the packet is taken.
    fn takes(program: &[Step], packet: &[u8]) -> bool {
        run(program, &[], packet).unwrap_or(false)
    }

    /// Returns nothing where it reads behind the end. What is hidden is the IP header before what is shown.
    fn run(program: &[Step], hidden: &[u8], packet: &[u8]) -> Option<bool> {
        let whole = [hidden, packet].concat();
        let load = |length: usize, from: u32| {
            let (bytes, from) = match from.checked_sub(FROM_IP) {
                Some(from) => (&whole[..], from as usize),
                None => (packet, from as usize),
            };
            let bytes = bytes.get(from..from + length)?;
            Some(bytes.iter().fold(0, |number, byte| number << 8 | u32::from(*byte)))
        };
        let (mut accumulator, mut index, mut at) = (0, 0, 0);
        loop {
            let step = program[at];
            let mut jump = |holds: bool| at += usize::from(if holds { step.then } else { step.otherwise });
            match step.code {
                LOAD_WORD => accumulator = load(4, step.value)?,
                LOAD_HALF => accumulator = load(2, step.value)?,
                LOAD_HALF_BEHIND => accumulator = load(2, index + step.value)?,
                LOAD_WORD_BEHIND => accumulator = load(4, index + step.value)?,
                SKIP_IPV4_HEADER => index = (load(1, step.value)? & 15) * 4,
                SKIP_NOTHING => index = step.value,
                IF_EQUAL => jump(accumulator == step.value),
                IF_MORE => jump(accumulator > step.value),
                IF_ANY_BIT => jump(accumulator & step.value != 0),
                RETURN => return Some(step.value > 0),
                code => panic!("instruction {code:#x}"),
            }
            at += 1;
        }
    }

    /// Returns a probe as a raw socket shows it.
    fn shown(family: Family, options: &[u8]) -> Vec<u8> {
        shown_with(family, options, &PROBE)
    }

    fn shown_with(family: Family, options: &[u8], payload: &[u8]) -> Vec<u8> {
        let (from, to): (SocketAddr, SocketAddr) = match family {
            Family::V4 => ("192.0.2.1:0".parse().unwrap(), "192.0.2.2:51820".parse().unwrap()),
            Family::V6 => (
                "[2001:db8::1]:0".parse().unwrap(),
                "[2001:db8::2]:51820".parse().unwrap(),
            ),
        };
        let packet = packet::build(from.ip(), to, 40_000, 64, payload).unwrap();
        match family {
            Family::V4 => {
                let (header, rest) = packet.split_at(20);
                let mut packet = [header, options, rest].concat();
                packet[0] += u8::try_from(options.len() / 4).unwrap();
                packet
            }
            Family::V6 => packet[40..].to_vec(),
        }
    }

    #[test]
    fn probes_pass_and_whatever_is_not_exactly_one_does_not() {
        for (family, options) in [(Family::V4, &[][..]), (Family::V4, &[1; 40]), (Family::V6, &[])] {
            let program = program(family, PORT, &[]);
            let sound = shown(family, options);
            assert!(takes(&program, &sound), "{family:?}");
            let udp = sound.len() - usize::from(UDP_LEN);
            for (at, what) in [
                (2, "port"),
                (3, "port"),
                (4, "length"),
                (5, "length"),
                (8, "mark"),
                (11, "mark"),
            ] {
                let mut other = sound.clone();
                other[udp + at] ^= 1;
                assert!(!takes(&program, &other), "{family:?}: another {what}");
            }
            let mut other = sound.clone();
            (other[udp], other[udp + 12]) = (7, 7);
            assert!(
                takes(&program, &other),
                "{family:?}: who sent it and what it says is not for the kernel"
            );
            assert!(!takes(&program, &sound[..udp + 11]), "{family:?}: cut");
            assert!(
                !takes(&super::program(family, PORT + 1, &[]), &sound),
                "{family:?}: not our port"
            );
        }
    }

    #[test]
    fn veiled_probes_pass_and_wireguards_messages_do_not() {
        use crate::mesh::reach::probe::wire::{MAX_VEILED, MIN_VEILED};
        for (family, options) in [(Family::V4, &[][..]), (Family::V4, &[1; 40]), (Family::V6, &[])] {
            let program = program(family, PORT, &[]);
            for length in [MIN_VEILED, MIN_VEILED + 7, MAX_VEILED] {
                for (first, passes) in [(0, true), (1, false), (2, false), (3, false), (4, false), (5, true)] {
                    let mut packet = shown_with(family, options, &vec![0; length]);
                    let udp = packet.len() - 8 - length;
                    packet[udp + 8] = first;
                    assert_eq!(
                        takes(&program, &packet),
                        passes,
                        "{family:?}: {length} bytes, type {first}"
                    );
                    packet[udp + 11] = 1;
                    assert!(takes(&program, &packet), "{family:?}: WireGuard's fourth byte is zero");
                    packet[udp + 2] ^= 1;
                    assert!(!takes(&program, &packet), "{family:?}: another port");
                }
            }
            let probe = shown_with(family, options, &[9; MIN_VEILED]);
            let udp = probe.len() - 8 - MIN_VEILED;
            for (length, passes) in [
                (MIN_VEILED - 1, false),
                (MIN_VEILED, true),
                (MAX_VEILED, true),
                (MAX_VEILED + 1, false),
            ] {
                let mut other = probe.clone();
                other[udp + 5] = u8::try_from(8 + length).unwrap();
                assert_eq!(takes(&program, &other), passes, "{family:?}: {length} bytes");
            }
        }
    }

    #[test]
    fn the_rest_of_a_fragmented_packet_does_not_pass() {
        let program = program(Family::V4, PORT, &[]);
        for (at, bit, taken) in [(6, 0x20, true), (6, 0x40, true), (6, 0x10, false), (7, 1, false)] {
            let mut packet = shown(Family::V4, &[]);
            packet[at] |= bit;
            assert_eq!(takes(&program, &packet), taken, "byte {at}, bit {bit:#x}");
        }
    }

    const SERVERS: [&str; 4] = [
        "192.0.2.1:3478",
        "[2001:db8::1]:3478",
        "192.0.2.9:19302",
        "[2001:db8::9]:19302",
    ];

    /// Returns what a raw socket hides and shows of an answer that comes from there.
    fn answer(from: SocketAddr, payload: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let udp_len = u16::try_from(8 + payload.len()).unwrap();
        let mut udp = [from.port(), PORT, udp_len, 0].map(u16::to_be_bytes).concat();
        udp.extend(payload);
        match from.ip() {
            IpAddr::V4(from) => {
                let mut header = vec![0; 20];
                (header[0], header[9]) = (0x45, 17);
                header[12..16].copy_from_slice(&from.octets());
                (Vec::new(), [header, udp].concat())
            }
            IpAddr::V6(from) => {
                let mut header = vec![0; 40];
                header[8..24].copy_from_slice(&from.octets());
                (header, udp)
            }
        }
    }

    #[test]
    fn answers_pass_from_the_servers_that_were_asked_alone() {
        let asked = SERVERS.map(|server| server.parse::<SocketAddr>().unwrap());
        let passes = |asked: &[SocketAddr], from: SocketAddr, payload: &[u8]| {
            let (hidden, shown) = answer(from, payload);
            let family = Family::of(from);
            let taken = run(&program(family, PORT, asked), &hidden, &shown).unwrap_or(false);
            let read = match from {
                SocketAddr::V4(_) => packet::read_ipv4(&shown, PORT, asked),
                SocketAddr::V6(from) => packet::read_ipv6(&shown, from, None, PORT, asked),
            };
            assert_eq!(read.is_some(), taken, "{from}: both ask the same");
            assert!(read.is_none_or(|heard| heard.source == from && matches!(heard.what, What::Stun(Some(_)))));
            taken
        };
        let sound = stun::tests::answer();
        for server in asked {
            assert!(passes(&asked, server, &sound), "{server}");
            assert!(!passes(&[], server, &sound), "nobody was asked");
            let others: Vec<SocketAddr> = asked.into_iter().filter(|other| *other != server).collect();
            assert!(!passes(&others, server, &sound), "{server} was not asked");
            assert!(
                !passes(&asked, SocketAddr::new(server.ip(), 3479), &sound),
                "another port"
            );
            for at in [0, 1, 4, 7] {
                let mut other = sound.clone();
                other[at] ^= 1;
                assert!(!passes(&asked, server, &other), "byte {at}");
            }
        }
        let near = ["192.0.2.2:3478", "[2001:db8::2]:3478", "[2001:db9::1]:3478"];
        for from in near {
            assert!(!passes(&asked, from.parse().unwrap(), &sound), "{from}");
        }
    }

    #[test]
    fn probes_pass_beside_answers() {
        let asked = SERVERS.map(|server| server.parse::<SocketAddr>().unwrap());
        for family in Family::ALL {
            assert!(takes(&program(family, PORT, &asked), &shown(family, &[])));
        }
    }

    proptest! {
        #[test]
        fn what_is_read_has_passed(bytes in proptest::collection::vec(any::<u8>(), 0..160), cut in 0..160usize, v4: bool) {
            let family = if v4 { Family::V4 } else { Family::V6 };
            let mut packet = shown(family, &[]);
            for (byte, other) in packet.iter_mut().zip(&bytes) {
                *byte = if other % 3 == 0 { *other } else { *byte };
            }
            packet.truncate(cut);
            let source = "[2001:db8::1]:0".parse().unwrap();
            let read = match family {
                Family::V4 => packet::read_ipv4(&packet, PORT, &[]).is_some(),
                Family::V6 => packet::read_ipv6(&packet, source, None, PORT, &[]).is_some(),
            };
            prop_assert!(!read || takes(&program(family, PORT, &[]), &packet));
        }
    }
}
