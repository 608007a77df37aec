//! Finds the program that has a UDP port, as far as the kernel tells (proc(5), `/proc/net/udp6`).

use std::fmt;
use std::fs;
use std::net::Ipv6Addr;

use super::device::Device;
use crate::daemon::clock::now;

/// The table of the network namespace of this thread. An IPv4 socket keeps nobody from an IPv6 address.
const TABLE: &str = "/proc/thread-self/net/udp6";

/// The socket that keeps others from a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Holder {
    /// The user that made it.
    uid: u32,
    /// The number of the socket; 0 where the kernel itself has it.
    inode: u64,
    /// The WireGuard interface that listens there.
    wireguard: Option<String>,
}

impl Holder {
    /// Says whether it belongs to another user of this machine than root and this process.
    pub(super) fn is_stranger(&self) -> bool {
        self.uid != 0 && self.uid != rustix::process::geteuid().as_raw()
    }

    /// Finds out whether it is one of these WireGuard interfaces.
    pub(super) async fn among(mut self, port: u16, interfaces: &[String]) -> Self {
        for iface in interfaces {
            if let Ok(mut device) = Device::open(iface).await
                && device.read(now()).await.is_ok_and(|state| state.listen_port == port)
            {
                self.wireguard = Some(iface.clone());
            }
        }
        self
    }

    /// Returns the process that has the socket, where this process may see that.
    fn process(&self) -> Option<(u32, String)> {
        let wanted = format!("socket:[{}]", self.inode);
        let has_it = |pid: u32| {
            let open = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
            let mut links = open.filter_map(|file| fs::read_link(file.path()).ok());
            links.any(|link| link.as_os_str() == wanted.as_str())
        };
        let processes = fs::read_dir("/proc").ok()?.flatten();
        let mut pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let pid: u32 = pids.find(|pid| self.inode != 0 && has_it(*pid))?;
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        Some((pid, name.trim_end().to_owned()))
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.wireguard, self.process()) {
            (Some(iface), _) => write!(f, "the WireGuard interface {iface}"),
            (None, Some((pid, name))) => write!(f, "process {pid} ({})", name.escape_debug()),
            (None, None) if self.inode == 0 => f.write_str("the kernel, probably for another WireGuard interface"),
            (None, None) => write!(f, "a program of user {}", self.uid),
        }
    }
}

/// Returns which socket keeps `address` from being bound to a port, beside those of this address itself.
pub(super) fn of(port: u16, address: Ipv6Addr) -> Option<Holder> {
    let table = fs::read_to_string(TABLE).ok()?;
    found(&table, port, address)
}

/// Finds a socket for all addresses, or for this one.
fn found(table: &str, port: u16, address: Ipv6Addr) -> Option<Holder> {
    const LOCAL: usize = 1;
    const UID: usize = 7;
    const INODE: usize = 9;
    let any = spelled(Ipv6Addr::UNSPECIFIED, port);
    let own = spelled(address, port);
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let local = *fields.get(LOCAL)?;
        (local == any || local == own).then_some(())?;
        Some(Holder {
            uid: fields.get(UID)?.parse().ok()?,
            inode: fields.get(INODE)?.parse().ok()?,
            wireguard: None,
        })
    })
}

/// Returns an address and a port as the table has them: words of the machine's byte order.
fn spelled(address: Ipv6Addr, port: u16) -> String {
    let words = address.octets();
    let words = words
        .chunks_exact(4)
        .map(|word| u32::from_ne_bytes(word.try_into().expect("four bytes")));
    let words: String = words.map(|word| format!("{word:08X}")).collect();
    format!("{words}:{port:04X}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOWN: &str = "  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  101: 000080FE00000000FF005450FE7A3412:CA6D 00000000000000000000000000000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 20193 2 0000000000000000 0
 2745: 00000000000000000000000000000000:CA6D 00000000000000000000000000000000:0000 07 00000000:00000000 00:00000000 00000000  1000        0 33555 2 0000000000000000 0
 2746: 00000000000000000000000000000000:CA6E 00000000000000000000000000000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 0 2 0000000000000000 0
";

    #[test]
    #[cfg(target_endian = "little")]
    fn socket_for_all_addresses_is_found_with_its_user() {
        let found = |port| found(SHOWN, port, "fe80::1".parse().unwrap());
        let stranger = found(51_821).unwrap();
        assert_eq!((stranger.uid, stranger.inode), (1000, 33_555));
        assert_eq!(stranger.to_string(), "a program of user 1000");
        let kernel = found(51_822).unwrap();
        assert!(
            !kernel.is_stranger() && kernel.to_string().starts_with("the kernel"),
            "{kernel}"
        );
        assert_eq!(found(51_820), None);
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn socket_for_this_address_is_found() {
        let own = "fe80::5054:00ff:1234:7afe".parse().unwrap();
        assert_eq!(found(SHOWN, 51_821, own).unwrap().inode, 20_193);
    }
}
