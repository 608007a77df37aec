//! A way that takes no long packets, and says nothing of it.

use super::Network;
use crate::router;

impl Network {
    /// Lets nothing longer pass between a host on the internet and the others, and nobody is told: a black hole (RFC 2923, 2.1).
    pub(crate) fn narrow(&self, name: &str, mtu: u16) {
        let edge = self.place(name).edge;
        self.internet.run(&format!("ip link set dev edge{edge} mtu {mtu}"));
        let silent = "chain told { type filter hook output priority filter; policy accept
            icmp type destination-unreachable drop
            icmpv6 type packet-too-big drop
        }";
        self.internet.filter(&router::replace("inet", "silent", silent));
    }
}
