//! The device and the machine for real. By hand, as root, in a network namespace of its own:
//! `unshare -n target/debug/deps/wirelink-... --ignored --test-threads 1`, with `ip`, `wg` and, where the kernel has no
//! WireGuard, `wireguard-go`.

use std::collections::BTreeSet;
use std::net::Ipv6Addr;
use std::process::{Command, Stdio};
use std::time::Duration;

use ipnet::IpNet;

use super::clock;
use super::device::Device;
use super::host::Host;
use crate::mesh::device::DeviceChange;
use crate::mesh::identity::{AddressHash, PublicKey};

const MADE_BY_HAND: PublicKey = PublicKey::from_bytes([1; 32]);
const ADDED: PublicKey = PublicKey::from_bytes([2; 32]);
const ABSENT: PublicKey = PublicKey::from_bytes([3; 32]);

fn sh(script: &str) -> String {
    let output = Command::new("sh")
        .args(["-c", script])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{script}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

/// An interface with one peer that was made by hand; removed in the end.
struct Wg(String);

impl Wg {
    fn new() -> Self {
        let name = format!("wl{}", std::process::id());
        let kernel = Command::new("ip")
            .args(["link", "add", &name, "type", "wireguard"])
            .output()
            .unwrap();
        if !kernel.status.success() {
            sh(&format!("wireguard-go {name} >/dev/null 2>&1"));
        }
        let wg = Self(name);
        wg.sh("umask 077; wg genkey >/tmp/$WG.key; wg genpsk >/tmp/$WG.psk");
        wg.sh("ip link set lo up; ip link set $WG up mtu 1420; ip address add 10.9.0.1/24 dev $WG");
        let peer = MADE_BY_HAND;
        wg.sh(&format!(
            "wg set $WG private-key /tmp/$WG.key listen-port 51999 fwmark 7 peer {peer} preshared-key /tmp/$WG.psk \
             persistent-keepalive 25 allowed-ips 10.9.0.2/32,10.9.2.0/24 endpoint 127.0.0.1:9; rm /tmp/$WG.key"
        ));
        wg
    }

    fn sh(&self, script: &str) -> String {
        sh(&script.replace("$WG", &self.0))
    }

    /// What must not change: keys, port, mark, preshared key, keepalive of the peer made by hand.
    fn fixed(&self) -> String {
        self.sh("wg show $WG dump | awk 'NR == 1 || $1 ~ /^AQEB/ { print $1, $2, $NF }'")
    }

    fn allowed_ips(&self, peer: &PublicKey) -> String {
        let line = self.sh(&format!("wg show $WG allowed-ips | grep '^{peer}' || true"));
        let mut words: Vec<&str> = line.split_whitespace().skip(1).collect();
        words.sort_unstable();
        words.join(" ")
    }
}

impl Drop for Wg {
    fn drop(&mut self) {
        let script = format!("rm -f /tmp/{0}.key /tmp/{0}.psk; ip link delete {0}", self.0);
        let _ = Command::new("sh").args(["-c", &script]).output();
    }
}

fn prefix(text: &str) -> IpNet {
    text.parse().unwrap()
}

#[tokio::test(flavor = "current_thread")]
#[ignore = "needs root, WireGuard and a network namespace of its own"]
async fn a_device_is_changed_in_small_steps_and_nothing_else_is_touched() {
    let wg = Wg::new();
    let mut device = Device::open(&wg.0).await.unwrap();
    println!("{}", device.backend());
    let fixed = wg.fixed();
    let identity = device.identity().await.unwrap().public_key();
    assert_eq!(identity.to_string(), wg.sh("wg show $WG public-key").trim());

    let state = device.read(clock::now()).await.unwrap();
    assert_eq!((state.public_key, state.listen_port), (identity, 51999));
    let peer = &state.peers[&MADE_BY_HAND];
    assert_eq!((peer.keepalive, peer.last_handshake), (Some(25), None));
    assert_eq!(peer.endpoint, Some("127.0.0.1:9".parse().unwrap()));

    let many: BTreeSet<IpNet> = (0..2500)
        .map(|n| prefix(&format!("10.{}.{}.0/24", 20 + n / 250, n % 250)))
        .collect();
    let endpoint = "[::1]:7".parse().unwrap();
    let steps = [
        DeviceChange::AddPeer {
            peer: ADDED,
            allowed_ips: many.clone(),
            endpoint: None,
        },
        DeviceChange::SetEndpoint { peer: ADDED, endpoint },
        DeviceChange::AddAllowedIp {
            peer: ADDED,
            prefix: prefix("10.9.2.0/24"),
        },
        DeviceChange::RemoveAllowedIp {
            peer: ADDED,
            prefix: prefix("10.20.7.0/24"),
        },
        // Not its own: nothing may happen.
        DeviceChange::RemoveAllowedIp {
            peer: ADDED,
            prefix: prefix("10.9.0.2/32"),
        },
        // Nobody's: a prefix must not be taken from a peer that is not there, nor the peer be made.
        DeviceChange::AddAllowedIp {
            peer: ABSENT,
            prefix: prefix("10.9.0.2/32"),
        },
        DeviceChange::SetEndpoint { peer: ABSENT, endpoint },
        DeviceChange::RemoveAllowedIp {
            peer: ABSENT,
            prefix: prefix("10.9.0.2/32"),
        },
    ];
    let mut expected = state;
    for step in &steps {
        expected.apply(step);
        device.apply(step).await.unwrap();
        assert_eq!(device.read(clock::now()).await.unwrap(), expected, "after {step:?}");
    }
    assert_eq!(wg.allowed_ips(&MADE_BY_HAND), "10.9.0.2/32");
    assert_eq!(expected.peers[&ADDED].allowed_ips.len(), 2500);
    device.apply(&DeviceChange::RemovePeer { peer: ADDED }).await.unwrap();
    device.apply(&DeviceChange::RemovePeer { peer: ABSENT }).await.unwrap();
    assert_eq!(wg.sh("wg show $WG peers | wc -l").trim(), "1");
    assert_eq!(wg.fixed(), fixed);

    wg.sh("ip link delete $WG");
    let error = device.read(clock::now()).await.unwrap_err();
    assert!(error.is_gone() || error.kind() == "stale socket", "{error}");
    assert!(Device::open(&wg.0).await.unwrap_err().is_gone());
}

#[tokio::test(flavor = "current_thread")]
#[ignore = "needs root, WireGuard and a network namespace of its own"]
async fn the_machine_is_seen_and_carries_our_address_while_we_run() {
    let wg = Wg::new();
    let index = Device::open(&wg.0).await.unwrap().index();
    let mut host = Host::open(&wg.0, index).unwrap();
    let address = AddressHash::Sha1.link_local(&ADDED);
    let seen = host.read().await.unwrap();
    assert!(seen.up && seen.mtu == 1420, "{seen:?}");
    assert_eq!(seen.state.tunnel_addresses, [prefix("10.9.0.1/24")]);
    assert!(seen.state.interfaces.iter().any(|link| link.name == "lo" && link.up));
    assert_eq!(seen.state.routes.len(), 1, "{seen:?}");

    host.ensure_address(address).await.unwrap();
    host.ensure_address(address).await.unwrap();
    host.changed().await;
    let with_ours = host.read().await.unwrap();
    assert!(
        with_ours
            .state
            .tunnel_addresses
            .contains(&IpNet::new(address.into(), 64).unwrap())
    );
    assert_eq!(with_ours.state.routes, seen.state.routes);
    assert!(wg.sh("ip -6 route show dev $WG").contains("fe80::/64"));
    let socket = std::net::UdpSocket::bind(std::net::SocketAddrV6::new(address, 51998, 0, index)).unwrap();
    let peer = std::net::SocketAddrV6::new(Ipv6Addr::new(0xfe80, 0, 0, 0, 1, 2, 3, 4), 51998, 0, index);
    // The kernel's WireGuard says at once that no peer has the address; userspace drops the packet later.
    let sent = socket.send_to(b"x", peer).map_err(|error| error.raw_os_error());
    assert!(matches!(sent, Ok(1) | Err(Some(126))), "{sent:?}");

    wg.sh("ip link set $WG down");
    host.changed().await;
    let down = host.read().await.unwrap();
    assert!(
        !down.up
            && !down
                .state
                .tunnel_addresses
                .iter()
                .any(|prefix| prefix.addr() == address)
    );
    wg.sh("ip link set $WG up");
    host.changed().await;
    host.ensure_address(address).await.unwrap();

    // Another start finds the address of a run that crashed, and removes it in the end.
    let mut second = Host::open(&wg.0, index).unwrap();
    second.read().await.unwrap();
    second.ensure_address(address).await.unwrap();
    second.remove_address().await.unwrap();
    let after = second.read().await.unwrap();
    assert_eq!(after.state.tunnel_addresses, seen.state.tunnel_addresses);
    host.remove_address().await.unwrap();

    wg.sh("ip route add 10.50.0.0/16 dev $WG; ip route add 10.50.1.0/24 dev lo; ip route add 10.60.0.0/16 dev lo");
    host.changed().await;
    let routes: Vec<(String, bool)> = host
        .read()
        .await
        .unwrap()
        .state
        .routes
        .iter()
        .map(|route| (route.prefix.to_string(), route.into_tunnel))
        .collect();
    assert!(
        routes.contains(&("10.50.0.0/16".to_owned(), true)) && routes.contains(&("10.50.1.0/24".to_owned(), false)),
        "{routes:?}"
    );
    assert_eq!(routes.len(), 3, "{routes:?}");
    wg.sh("ip route add 10.61.0.0/16 dev lo");
    let quiet = tokio::time::timeout(Duration::from_secs(1), host.changed()).await;
    assert!(quiet.is_err(), "a route that concerns nobody is a notice");

    wg.sh("ip link delete $WG");
    host.changed().await;
    assert!(host.read().await.unwrap_err().is_gone());
    assert!(host.ensure_address(address).await.unwrap_err().is_gone());
}
