//! The headers before a probe, or before what STUN says: IP and UDP, written and read as the network has them (RFC 768, 791, 8200).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::ops::RangeInclusive;

use super::stun;
use crate::mesh::reach::probe::wire::{self, LEN, MAX_VEILED, MIN_VEILED};
use crate::mesh::reach::stun::Answer;

/// A version of IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both of them.
    pub(super) const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// Returns the one that an address belongs to.
    pub(super) const fn of(address: SocketAddr) -> Self {
        match address {
            SocketAddr::V4(_) => Self::V4,
            SocketAddr::V6(_) => Self::V6,
        }
    }
}

const UDP: u8 = 17;
/// How long the header of a datagram is.
pub(in crate::daemon) const UDP_HEADER: usize = 8;
const IPV4_HEADER: usize = 20;
const IPV6_HEADER: usize = 40;

/// What a UDP header says of the length of a marked probe, the header included.
pub(super) const UDP_LEN: u16 = (UDP_HEADER + LEN) as u16;
/// What it says of the length of a veiled one.
pub(super) const VEILED_UDP_LEN: RangeInclusive<u16> =
    (UDP_HEADER + MIN_VEILED) as u16..=(UDP_HEADER + MAX_VEILED) as u16;

/// The longest that a raw socket shows, one byte more for what is too long: an IPv4 header takes up to 60 bytes.
pub(super) const MAX_SHOWN: usize = 60 + UDP_HEADER + stun::MAX_LEN + 1;

/// Returns the whole packet of a datagram; `None` where the two addresses are of different families, or it is neither a probe
/// nor as long as a question of STUN.
///
/// The checksum is always there, for IPv4 too, as in what WireGuard sends: translators between IPv4 and IPv6, as phones have, drop
/// datagrams without (RFC 7915, 4.5), and the path of WireGuard is what is asked about.
pub(super) fn build(from: IpAddr, to: SocketAddr, port: u16, hops: u8, payload: &[u8]) -> Option<Vec<u8>> {
    if !wire::is_possible(payload) && payload.len() != stun::QUESTION_LEN {
        return None;
    }
    let udp = udp_datagram(from, port, to, payload)?;
    let mut packet = match (from, to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => ipv4_header(from, to, hops),
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let addresses = [&from.octets()[..], &to.octets()].concat();
            ipv6_header(&addresses, u16::try_from(udp.len()).ok()?, hops)
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return None,
    };
    packet.extend(udp);
    Some(packet)
}

/// Returns a datagram with its header; `None` where the two addresses are of different families, or it is too long.
pub(in crate::daemon) fn udp_datagram(from: IpAddr, port: u16, to: SocketAddr, payload: &[u8]) -> Option<Vec<u8>> {
    let addresses = match (from, to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => [&from.octets()[..], &to.octets()].concat(),
        (IpAddr::V6(from), IpAddr::V6(to)) => [&from.octets()[..], &to.octets()].concat(),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return None,
    };
    let udp_len = u16::try_from(UDP_HEADER + payload.len()).ok()?;
    let mut udp = [port, to.port(), udp_len, 0].map(u16::to_be_bytes).concat();
    udp.extend_from_slice(payload);
    let sum = checksum(&[&addresses, &[0, UDP], &udp_len.to_be_bytes(), &udp]);
    udp[6..8].copy_from_slice(&sum.to_be_bytes());
    Some(udp)
}

/// Reads the ports of a datagram, from and to, and its payload; of one that was cut as much as there is.
pub(in crate::daemon) fn split_udp(udp: &[u8]) -> Option<(u16, u16, &[u8])> {
    let (header, payload) = udp.split_at_checked(UDP_HEADER)?;
    let field = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    Some((field(0), field(2), payload))
}

/// Total length, identification and header checksum are the kernel's to fill in (raw(7)).
fn ipv4_header(from: Ipv4Addr, to: Ipv4Addr, hops: u8) -> Vec<u8> {
    let mut header = vec![0; IPV4_HEADER];
    header[0] = 0x45;
    (header[8], header[9]) = (hops, UDP);
    header[12..16].copy_from_slice(&from.octets());
    header[16..].copy_from_slice(&to.octets());
    header
}

fn ipv6_header(addresses: &[u8], udp_len: u16, hops: u8) -> Vec<u8> {
    let mut header = vec![0; IPV6_HEADER];
    header[0] = 0x60;
    header[4..6].copy_from_slice(&udp_len.to_be_bytes());
    (header[6], header[7]) = (UDP, hops);
    header[8..].copy_from_slice(addresses);
    header
}

/// Adds up to the checksum of UDP (RFC 1071); every part but the last has an even number of bytes. Zero would say that there is none.
fn checksum(parts: &[&[u8]]) -> u16 {
    let pairs = parts.iter().flat_map(|part| part.chunks(2));
    let sum: u32 = pairs
        .map(|pair| u32::from(pair[0]) << 8 | pair.get(1).copied().map_or(0, u32::from))
        .sum();
    let mut folded = sum;
    while folded > 0xffff {
        folded = (folded >> 16) + (folded & 0xffff);
    }
    match !u16::try_from(folded).expect("it was folded until it fits") {
        0 => 0xffff,
        sum => sum,
    }
}

/// A datagram that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// From where.
    pub source: SocketAddr,
    /// To which address of this machine, where that is known.
    pub local: Option<IpAddr>,
    /// What it is.
    pub what: What,
}

/// What concerns us of all that comes to WireGuard's port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A probe, as it came.
    Probe(Vec<u8>),
    /// The answer of a STUN server; nothing where it cannot be read.
    Stun(Option<Answer>),
}

/// Reads out of what a raw socket shows of an IPv4 packet a probe, or the answer of a server that was asked; `None` for anything else.
pub(super) fn read_ipv4(packet: &[u8], port: u16, asked: &[SocketAddr]) -> Option<Heard> {
    let header_len = usize::from(packet.first()? & 0xf) * 4;
    let (header, udp) = packet.split_at_checked(header_len)?;
    let fragment = header.get(6..8)?;
    if header.get(9) != Some(&UDP) || u16::from_be_bytes([fragment[0] & 0x1f, fragment[1]]) != 0 {
        return None;
    }
    let address = |at: usize| <[u8; 4]>::try_from(header.get(at..at + 4)?).ok();
    let source = SocketAddr::from((address(12)?, 0));
    read_udp(udp, source, address(16).map(IpAddr::from), port, asked)
}

/// The same for IPv6, where it shows no header, and says by itself whose the packet is, and to which address it came.
pub(super) fn read_ipv6(
    udp: &[u8],
    source: SocketAddrV6,
    local: Option<Ipv6Addr>,
    port: u16,
    asked: &[SocketAddr],
) -> Option<Heard> {
    let source = SocketAddr::from((*source.ip(), 0));
    read_udp(udp, source, local.map(IpAddr::from), port, asked)
}

/// Asks again what the filter asked: what came before it was there, or when it was for another port, waits in the same queue.
fn read_udp(
    udp: &[u8],
    mut source: SocketAddr,
    local: Option<IpAddr>,
    port: u16,
    asked: &[SocketAddr],
) -> Option<Heard> {
    let (header, payload) = udp.split_at_checked(UDP_HEADER)?;
    let field = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    source.set_port(field(0));
    // Nobody can be answered at port 0.
    let is_ours = field(2) == port && usize::from(field(4)) == udp.len() && source.port() != 0;
    if !is_ours {
        return None;
    }
    let what = if asked.contains(&source) && stun::is_answer(payload) {
        What::Stun(stun::read(payload))
    } else {
        wire::is_possible(payload).then(|| What::Probe(payload.to_vec()))?
    };
    Some(Heard { source, local, what })
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::mesh::reach::probe::wire::MARK;

    pub(in super::super) const PROBE: [u8; LEN] = {
        let mut probe = [0x5a; LEN];
        [probe[0], probe[1], probe[2], probe[3]] = MARK;
        probe
    };

    /// What a receiver computes over addresses, protocol, length and datagram, checksum included: zero where all is well.
    fn residue(packet: &[u8], header: usize, addresses: std::ops::Range<usize>) -> u16 {
        let udp = &packet[header..];
        let length = u16::try_from(udp.len()).unwrap().to_be_bytes();
        let all = [&packet[addresses], &[0, UDP], &length, udp].concat();
        let sum: u32 = all
            .chunks(2)
            .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])))
            .sum();
        !u16::try_from((sum >> 16) + (sum & 0xffff)).unwrap()
    }

    #[test]
    fn a_packet_is_as_the_standards_have_it() {
        let v4 = build(
            "192.0.2.1".parse().unwrap(),
            "198.51.100.7:4500".parse().unwrap(),
            51820,
            63,
            &PROBE,
        )
        .unwrap();
        assert_eq!(v4.len(), IPV4_HEADER + usize::from(UDP_LEN));
        assert_eq!((v4[0], v4[8], v4[9]), (0x45, 63, UDP));
        assert_eq!(v4[12..20], [192, 0, 2, 1, 198, 51, 100, 7]);
        assert_eq!(v4[20..26], [0xca, 0x6c, 0x11, 0x94, 0, u8::try_from(UDP_LEN).unwrap()]);
        assert_eq!(residue(&v4, IPV4_HEADER, 12..20), 0);

        let v6 = build(
            "2001:db8::1".parse().unwrap(),
            "[2001:db8::2]:7".parse().unwrap(),
            9,
            64,
            &PROBE,
        )
        .unwrap();
        assert_eq!(v6.len(), IPV6_HEADER + usize::from(UDP_LEN));
        assert_eq!(v6[..8], [0x60, 0, 0, 0, 0, u8::try_from(UDP_LEN).unwrap(), UDP, 64]);
        assert_eq!(residue(&v6, IPV6_HEADER, 8..40), 0);
    }

    #[test]
    fn a_sum_of_zero_is_sent_as_the_other_zero() {
        // Whatever the rest adds up to, some source port brings it to the value that complements to zero.
        let (from, to) = ("192.0.2.1".parse().unwrap(), "198.51.100.7:4500".parse().unwrap());
        let sums = (1..=u16::MAX).map(|port| {
            let packet = build(from, to, port, 64, &PROBE).unwrap();
            u16::from_be_bytes([packet[26], packet[27]])
        });
        let (mut zero, mut ones) = (0, 0);
        for sum in sums {
            zero += u32::from(sum == 0);
            ones += u32::from(sum == 0xffff);
        }
        assert_eq!((zero, ones), (0, 1));
    }

    #[test]
    fn what_cannot_be_a_probe_is_not_built() {
        let to = "198.51.100.7:4500".parse().unwrap();
        assert!(build("2001:db8::1".parse().unwrap(), to, 7, 64, &PROBE).is_none());
        assert!(build("192.0.2.1".parse().unwrap(), to, 7, 64, &PROBE[1..]).is_none());
    }

    #[test]
    fn nobody_sends_from_port_zero() {
        let to = "198.51.100.7:4500".parse().unwrap();
        let packet = |port| build("192.0.2.1".parse().unwrap(), to, port, 64, &PROBE).unwrap();
        assert!(read_ipv4(&packet(7), 4500, &[]).is_some());
        assert!(read_ipv4(&packet(0), 4500, &[]).is_none());
    }

    proptest! {
        #[test]
        fn datagrams_of_any_length_have_the_right_checksum(payload in proptest::collection::vec(any::<u8>(), 0..1300)) {
            let (from, to) = ("fe80::1".parse().unwrap(), "[fe80::2]:51821".parse().unwrap());
            let mut udp = udp_datagram(from, 7, to, &payload).unwrap();
            prop_assert_eq!(split_udp(&udp), Some((7, 51_821, &payload[..])));
            udp.extend(std::iter::repeat_n(0, udp.len() % 2));
            let pseudo = ["fe80::1", "fe80::2"].map(|text| text.parse::<std::net::Ipv6Addr>().unwrap().octets()).concat();
            let length = u16::try_from(UDP_HEADER + payload.len()).unwrap().to_be_bytes();
            let sum: u64 = [&pseudo[..], &[0, UDP], &length, &udp]
                .concat()
                .chunks(2)
                .map(|pair| u64::from(u16::from_be_bytes([pair[0], pair[1]])))
                .sum();
            prop_assert_eq!(sum % 0xffff, 0);
        }

        #[test]
        fn what_is_built_is_read(from: Ipv4Addr, to: Ipv4Addr, ports in (1..=u16::MAX, any::<u16>())) {
            let packet = build(from.into(), SocketAddr::new(to.into(), ports.1), ports.0, 64, &PROBE).unwrap();
            let source = SocketAddr::new(from.into(), ports.0);
            let (what, local) = (What::Probe(PROBE.to_vec()), Some(IpAddr::from(to)));
            prop_assert_eq!(read_ipv4(&packet, ports.1, &[]), Some(Heard { source, local, what }));
            prop_assert_eq!(read_ipv4(&packet, !ports.1, &[]), None);
            prop_assert_eq!(residue(&packet, IPV4_HEADER, 12..20), 0);
        }

        #[test]
        fn no_bytes_make_reading_panic(bytes in proptest::collection::vec(any::<u8>(), 0..MAX_SHOWN), port: u16) {
            let source = SocketAddrV6::new([1; 16].into(), 0, 0, 3);
            let asked = [SocketAddr::from(([1, 2, 3, 4], 1)), source.into()];
            let _ = (read_ipv4(&bytes, port, &asked), read_ipv6(&bytes, source, None, port, &asked));
            let mut near = build([1, 2, 3, 4].into(), SocketAddr::new([5, 6, 7, 8].into(), port), 1, 64, &PROBE).unwrap();
            near.iter_mut().zip(&bytes).take(IPV4_HEADER).for_each(|(byte, other)| *byte = *other);
            let _ = (read_ipv4(&near, port, &asked), read_ipv6(&near, source, None, port, &asked));
        }
    }
}
