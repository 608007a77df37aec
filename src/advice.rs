//! Commands that messages suggest, for a shell. Each is run by `tests/netns/advice.rs` with odd names: an interface may be called
//! `wg.0`, `wg+1` or `-`.

use crate::printable::one_line;

/// Returns a word as a shell takes it.
#[must_use]
pub fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.+:@%/,".contains(c) || c == '=';
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", one_line(word).replace('\'', "'\\''"))
}

/// Gives an interface an MTU.
#[must_use]
pub fn set_mtu(iface: &str, mtu: u32) -> String {
    format!("ip link set dev {} mtu {mtu}", quoted(iface))
}

/// Brings an interface up.
#[must_use]
pub fn bring_up(iface: &str) -> String {
    format!("ip link set dev {} up", quoted(iface))
}

/// Switches IPv6 on. With slashes the dots of a name are no separators (sysctl(8)); an equals sign would end the name in any case.
#[must_use]
pub fn allow_ipv6(iface: &str) -> String {
    if iface.contains('=') {
        return format!(
            "echo 0 >{}",
            quoted(&format!("/proc/sys/net/ipv6/conf/{iface}/disable_ipv6"))
        );
    }
    format!("sysctl -w {}", quoted(&format!("net/ipv6/conf/{iface}/disable_ipv6=0")))
}

/// Gives an interface a private key.
#[must_use]
pub fn set_private_key(iface: &str) -> String {
    format!("wg set {} private-key FILE", quoted(iface))
}

/// Starts the daemon: by its unit, where systemd can have an interface of this name in that of a unit (systemd.unit(5)).
#[must_use]
pub fn start(iface: &str) -> String {
    let is_instance = |c: char| c.is_ascii_alphanumeric() || ":-_.@".contains(c);
    if iface.chars().all(is_instance) {
        format!("systemctl enable --now wirelink@{iface}")
    } else {
        format!("wirelink --iface {} --wait", quoted(iface))
    }
}

/// Traffic that a packet filter should let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening<'a> {
    /// WireGuard's UDP port.
    Port(u16),
    /// All that comes from an interface.
    Interface(&'a str),
    /// All that comes from an interface and leaves by it.
    Through(&'a str),
}

/// The program that keeps the rules of a packet filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeper<'a> {
    /// firewalld.
    Firewalld,
    /// ufw.
    Ufw,
    /// iptables; whether of IPv6.
    Iptables(bool),
    /// nftables: the family, the table and the chain.
    Nftables([&'a str; 3]),
}

/// Lets something in.
#[must_use]
pub fn let_in(keeper: Keeper<'_>, opening: Opening<'_>) -> String {
    match (keeper, opening) {
        (Keeper::Firewalld, Opening::Port(port)) => {
            format!("firewall-cmd --permanent --add-port={port}/udp && firewall-cmd --reload")
        }
        // That zone forwards between its interfaces, too.
        (Keeper::Firewalld, Opening::Interface(iface) | Opening::Through(iface)) => format!(
            "firewall-cmd --permanent --zone=trusted --add-interface={} && firewall-cmd --reload",
            quoted(iface)
        ),
        (Keeper::Ufw, Opening::Port(port)) => format!("ufw allow {port}/udp"),
        (Keeper::Ufw, Opening::Interface(iface)) => format!("ufw allow in on {}", quoted(iface)),
        (Keeper::Ufw, Opening::Through(iface)) => format!("ufw route allow in on {0} out on {0}", quoted(iface)),
        (Keeper::Iptables(is_v6), opening) => {
            let program = if is_v6 { "ip6tables" } else { "iptables" };
            match opening {
                Opening::Port(port) => format!("{program} -I INPUT -p udp --dport {port} -j ACCEPT"),
                Opening::Interface(iface) => format!("{program} -I INPUT -i {} -j ACCEPT", quoted(iface)),
                Opening::Through(iface) => format!("{program} -I FORWARD -i {0} -o {0} -j ACCEPT", quoted(iface)),
            }
        }
        (Keeper::Nftables([family, table, chain]), opening) => {
            let place = [family, table, chain].map(quoted).join(" ");
            match opening {
                Opening::Port(port) => format!("nft insert rule {place} udp dport {port} accept"),
                // nft takes a name with signs in quotes only, which the shell must leave.
                Opening::Interface(iface) => format!(
                    "nft insert rule {place} iifname {} accept",
                    quoted(&format!("\"{iface}\""))
                ),
                Opening::Through(iface) => format!(
                    "nft insert rule {place} iifname {0} oifname {0} accept",
                    quoted(&format!("\"{iface}\""))
                ),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_words_for_a_shell() {
        assert_eq!(quoted("wg.0"), "wg.0");
        assert_eq!(quoted("wg 0;$(id)"), "'wg 0;$(id)'");
        assert_eq!(quoted("it's"), "'it'\\''s'");
        assert_eq!(quoted("*"), "'*'");
        assert_eq!(quoted(""), "''");
    }

    #[test]
    fn dots_in_a_name_are_no_separators() {
        assert_eq!(allow_ipv6("wg.0"), "sysctl -w net/ipv6/conf/wg.0/disable_ipv6=0");
    }

    #[test]
    fn unit_is_suggested_where_systemd_can_have_it() {
        assert_eq!(start("wg-home.0"), "systemctl enable --now wirelink@wg-home.0");
        assert_eq!(start("wg+0"), "wirelink --iface wg+0 --wait");
    }
}
