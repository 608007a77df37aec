//! ICMP echo on a raw socket: whose answer shows how many machines passed it on.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto, socket_with};
use tokio::net::UdpSocket;

use super::packet::checksum;

/// When an answer counts as lost.
const PATIENCE: Duration = Duration::from_millis(1000);

const ECHO: u8 = 8;
const ECHO_REPLY: u8 = 0;
const ICMP_HEADER: usize = 8;

/// What became of an echo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Echo {
    /// It was answered.
    Answered {
        /// The round trip time.
        rtt: Duration,
        /// The time to live that was left of the answer: 64 where nobody passed it on.
        ttl: u8,
    },
    /// No answer came in time.
    Lost,
}

/// Asks machines for echoes, each as often as it is told.
pub(super) struct Pinger {
    socket: UdpSocket,
    identifier: u16,
    sequence: u16,
    waiting: BTreeMap<u16, (Ipv4Addr, Instant)>,
}

impl Pinger {
    /// Opens the socket in the network of the calling thread.
    ///
    /// # Errors
    /// Without CAP_NET_RAW there.
    pub(super) fn open(identifier: u16) -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::INET, SocketType::RAW, flags, Some(ipproto::ICMP))?;
        Ok(Self {
            // The calls for datagrams with addresses are the same for both kinds of socket.
            socket: UdpSocket::from_std(socket.into())?,
            identifier,
            sequence: 0,
            waiting: BTreeMap::new(),
        })
    }

    /// Sends an echo. Where that fails, it is as lost as one that got no answer.
    pub(super) fn send(&mut self, to: Ipv4Addr) {
        self.sequence = self.sequence.wrapping_add(1);
        self.waiting.insert(self.sequence, (to, Instant::now()));
        let packet = echo(self.identifier, self.sequence);
        let _ = self.socket.try_send_to(&packet, (IpAddr::V4(to), 0).into());
    }

    /// Waits for the next answer to an echo that was not given up; can be dropped at any time.
    pub(super) async fn answer(&mut self) -> io::Result<(Ipv4Addr, Echo)> {
        let mut buffer = [0; 256];
        loop {
            let length = self.socket.recv(&mut buffer).await?;
            let Some((from, sequence, ttl)) = parse_reply(&buffer[..length], self.identifier) else {
                continue;
            };
            if let Some((to, sent)) = self.waiting.remove(&sequence).filter(|(to, _)| *to == from) {
                let rtt = sent.elapsed();
                return Ok((to, Echo::Answered { rtt, ttl }));
            }
        }
    }

    /// Gives up what has been waiting too long, and returns to whom it went.
    pub(super) fn give_up(&mut self) -> Vec<Ipv4Addr> {
        let late: Vec<u16> = self
            .waiting
            .iter()
            .filter(|(_, (_, sent))| sent.elapsed() > PATIENCE)
            .map(|(s, _)| *s)
            .collect();
        late.iter()
            .filter_map(|sequence| self.waiting.remove(sequence))
            .map(|(to, _)| to)
            .collect()
    }
}

fn echo(identifier: u16, sequence: u16) -> [u8; ICMP_HEADER] {
    let mut packet = [ECHO, 0, 0, 0, 0, 0, 0, 0];
    packet[4..6].copy_from_slice(&identifier.to_be_bytes());
    packet[6..8].copy_from_slice(&sequence.to_be_bytes());
    let sum = checksum(&packet, 0);
    packet[2..4].copy_from_slice(&sum.to_be_bytes());
    packet
}

/// Reads what a raw socket gives: the IP header too, and every ICMP packet that came in, not only what is ours.
fn parse_reply(packet: &[u8], identifier: u16) -> Option<(Ipv4Addr, u16, u8)> {
    let header = usize::from(packet.first()? & 0x0f) * 4;
    let octets: [u8; 4] = packet.get(12..16)?.try_into().ok()?;
    let icmp = packet.get(header..header + ICMP_HEADER)?;
    let ours = icmp[0] == ECHO_REPLY && icmp[4..6] == identifier.to_be_bytes();
    ours.then(|| (octets.into(), u16::from_be_bytes([icmp[6], icmp[7]]), packet[8]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(ttl: u8, kind: u8) -> Vec<u8> {
        let mut packet = vec![0x45, 0, 0, 28, 0, 0, 0, 0, ttl, 1, 0, 0, 10, 77, 0, 3, 10, 77, 0, 2];
        packet.extend(echo(7, 300));
        packet[20] = kind;
        packet
    }

    #[test]
    fn an_answer_tells_who_and_how_far() {
        assert_eq!(
            parse_reply(&reply(63, ECHO_REPLY), 7),
            Some((Ipv4Addr::new(10, 77, 0, 3), 300, 63))
        );
    }

    #[test]
    fn what_is_not_ours_is_passed_over() {
        assert_eq!(parse_reply(&reply(64, ECHO_REPLY), 8), None, "somebody else's");
        assert_eq!(parse_reply(&reply(64, 5), 7), None, "a redirect");
        for cut in 0..28 {
            assert_eq!(parse_reply(&reply(64, ECHO_REPLY)[..cut], 7), None, "{cut} bytes");
        }
    }

    #[test]
    fn an_echo_adds_up_to_nothing() {
        assert_eq!(checksum(&echo(7, 300), 0), 0);
    }
}
