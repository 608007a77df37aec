//! UDP over IPv4, taken apart and put together again: what a NAT does to a packet.

use std::net::{Ipv4Addr, SocketAddrV4};

const IPV4_HEADER: usize = 20;
const UDP_HEADER: usize = 8;
const PROTOCOL_UDP: u8 = 17;
const TIME_TO_LIVE: u8 = 64;

/// A UDP datagram with its addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Datagram<'a> {
    /// Who sent it.
    pub source: SocketAddrV4,
    /// Who shall get it.
    pub destination: SocketAddrV4,
    /// What it carries.
    pub payload: &'a [u8],
}

impl<'a> Datagram<'a> {
    /// Reads an IPv4 packet; `None` where it is anything but one whole UDP datagram. A fragment has no ports, and the
    /// WireGuard of the demo never makes one.
    pub(super) fn parse(packet: &'a [u8]) -> Option<Self> {
        let (&first, length) = (packet.first()?, u16_at(packet, 2)?);
        let header = usize::from(first & 0x0f) * 4;
        let fragment = u16_at(packet, 6)? & 0x3fff;
        if first >> 4 != 4 || header < IPV4_HEADER || fragment != 0 || *packet.get(9)? != PROTOCOL_UDP {
            return None;
        }
        let udp = packet.get(header..usize::from(length))?;
        Some(Self {
            source: SocketAddrV4::new(address_at(packet, 12)?, u16_at(udp, 0)?),
            destination: SocketAddrV4::new(address_at(packet, 16)?, u16_at(udp, 2)?),
            payload: udp.get(UDP_HEADER..usize::from(u16_at(udp, 4)?))?,
        })
    }

    /// Writes the IPv4 packet with both checksums; `None` where the payload is too long for one.
    pub(super) fn to_packet(self) -> Option<Vec<u8>> {
        let udp_length = u16::try_from(UDP_HEADER + self.payload.len()).ok()?;
        let length = u16::try_from(IPV4_HEADER + usize::from(udp_length)).ok()?;
        let mut packet = Vec::with_capacity(length.into());
        packet.extend([0x45, 0]);
        packet.extend(length.to_be_bytes());
        packet.extend([0, 0, 0x40, 0, TIME_TO_LIVE, PROTOCOL_UDP, 0, 0]);
        packet.extend(self.source.ip().octets());
        packet.extend(self.destination.ip().octets());
        let sum = checksum(&packet, 0);
        packet[10..12].copy_from_slice(&sum.to_be_bytes());

        packet.extend(self.source.port().to_be_bytes());
        packet.extend(self.destination.port().to_be_bytes());
        packet.extend(udp_length.to_be_bytes());
        packet.extend([0, 0]);
        packet.extend(self.payload);
        let sum = checksum(&packet[12..], u32::from(PROTOCOL_UDP) + u32::from(udp_length));
        // Zero would mean "no checksum" (RFC 768), and ones' complement has a second zero.
        let sum = if sum == 0 { 0xffff } else { sum };
        packet[26..28].copy_from_slice(&sum.to_be_bytes());
        Some(packet)
    }
}

/// Returns the Internet checksum of `bytes` (RFC 1071), on top of the sum that is there already.
pub(super) fn checksum(bytes: &[u8], start: u32) -> u16 {
    let mut sum = u64::from(start);
    for pair in bytes.chunks(2) {
        sum += u64::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).expect("the loop ends at 16 bits")
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let pair = bytes.get(at..at + 2)?;
    Some(u16::from_be_bytes([pair[0], pair[1]]))
}

fn address_at(bytes: &[u8], at: usize) -> Option<Ipv4Addr> {
    let octets: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
    Some(octets.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: Datagram<'static> = Datagram {
        source: SocketAddrV4::new(Ipv4Addr::new(192, 168, 1, 2), 51820),
        destination: SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, 1), 7),
        payload: b"odd",
    };

    #[test]
    fn a_datagram_survives_its_packet() {
        assert_eq!(Datagram::parse(&SAMPLE.to_packet().unwrap()), Some(SAMPLE));
    }

    #[test]
    fn both_checksums_add_up_to_nothing() {
        let packet = SAMPLE.to_packet().unwrap();
        assert_eq!(checksum(&packet[..IPV4_HEADER], 0), 0);
        assert_eq!(checksum(&packet[12..], 17 + 8 + 3), 0);
    }

    #[test]
    fn the_checksum_is_that_of_rfc_1071() {
        assert_eq!(checksum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7], 0), !0xddf2);
    }

    #[test]
    fn what_is_not_a_whole_udp_datagram_is_refused() {
        let whole = SAMPLE.to_packet().unwrap();
        for cut in 0..whole.len() {
            assert_eq!(Datagram::parse(&whole[..cut]), None, "{cut} bytes");
        }
        for (at, value) in [(0, 0x65), (0, 0x44), (6, 0x20), (7, 1), (9, 6), (25, 0), (25, 255)] {
            let mut other = whole.clone();
            other[at] = value;
            assert_eq!(Datagram::parse(&other), None, "byte {at} = {value}");
        }
    }

    #[test]
    fn a_payload_has_an_end() {
        let payload = vec![0; 65_508];
        assert!(
            Datagram {
                payload: &payload,
                ..SAMPLE
            }
            .to_packet()
            .is_none()
        );
        assert!(
            Datagram {
                payload: &payload[1..],
                ..SAMPLE
            }
            .to_packet()
            .is_some()
        );
    }
}
