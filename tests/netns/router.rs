//! What nftables makes of a border.
//!
//! Every router drops what nobody asked for, for itself too: a packet that it answered or counted as a flow of its own would take
//! the mapping away from the leaf that punches towards it.

use crate::scenario::border::{Border, Filtering, Mapping, Nat, Ports};
use crate::tunnel::PORT;

/// Returns the rules of a border between the devices `lan` and `wan`, and of what is before IPv6 there, or `None` where there is none.
///
/// # Panics
/// Where netfilter cannot be like that: such a scenario is for the simulator alone.
pub(crate) fn rules(border: Border, ipv6: Option<Border>) -> Option<String> {
    let v6 = ipv6.map_or("", lets_in_v6);
    match border {
        Border::Open => {
            assert!(matches!(ipv6, None | Some(Border::Open)), "no router could filter it");
            None
        }
        Border::Firewall(filtering) => {
            expect_flows(filtering);
            Some(table(v6, ""))
        }
        Border::Nat(nat) => {
            let outward = format!(
                "chain outward {{ type nat hook postrouting priority srcnat
                    meta nfproto ipv4 oifname wan masquerade {}
                }}",
                masquerade(nat)
            );
            Some(table(v6, &outward))
        }
    }
}

/// Returns what lets IPv6 in from outside, beside the answers.
fn lets_in_v6(border: Border) -> &'static str {
    match border {
        Border::Open => "meta nfproto ipv6 accept",
        Border::Firewall(filtering) => {
            expect_flows(filtering);
            ""
        }
        Border::Nat(_) => panic!("IPv6 is not translated"),
    }
}

fn expect_flows(filtering: Filtering) {
    assert_eq!(
        filtering,
        Filtering::AddressAndPortDependent,
        "connection tracking knows flows"
    );
}

/// Returns the rules that forward WireGuard's port to one leaf.
pub(crate) fn forwarding(leaf: &str) -> String {
    replace(
        "ip",
        "forwarding",
        &format!(
            "chain inward {{ type nat hook prerouting priority dstnat
                iifname wan udp dport {PORT} dnat to {leaf}:{PORT}
            }}"
        ),
    )
}

/// Returns whether a border forwards WireGuard's port, whoever sends.
pub(crate) fn forwards_port(border: Border) -> bool {
    matches!(border, Border::Nat(nat) if nat.filtering == Filtering::EndpointIndependent)
}

/// Returns what replaces a table, in one transaction.
pub(crate) fn replace(family: &str, name: &str, chains: &str) -> String {
    format!("table {family} {name}\ndelete table {family} {name}\ntable {family} {name} {{ {chains}\n}}")
}

fn masquerade(nat: Nat) -> &'static str {
    assert!(!nat.hairpinning, "these rules send nothing back inside");
    match (nat.mapping, nat.ports, nat.filtering) {
        (
            Mapping::EndpointIndependent,
            Ports::Preserving,
            Filtering::EndpointIndependent | Filtering::AddressAndPortDependent,
        ) => "",
        (Mapping::AddressAndPortDependent, Ports::Random, Filtering::AddressAndPortDependent) => "fully-random",
        _ => panic!("nftables is no such NAT: {nat:?}"),
    }
}

fn table(v6: &str, outward: &str) -> String {
    format!(
        "table inet border {{
            chain to_router {{ type filter hook input priority filter; policy drop
                ct state established,related accept
                iifname lan accept
                icmpv6 type {{ nd-neighbor-solicit, nd-neighbor-advert }} accept
            }}
            chain through {{ type filter hook forward priority filter; policy drop
                ct state established,related accept
                iifname lan accept
                ct status dnat accept
                {v6}
            }}
            {outward}
        }}"
    )
}
