//! What the daemon's eyes and hands do on a real machine: the device is changed in small steps, the machine is seen as it is.

use std::net::{IpAddr, Ipv6Addr, SocketAddrV6, UdpSocket};
use std::time::Duration;

use ipnet::IpNet;
use tokio::runtime::Builder;
use wirelink::daemon::device::Device;
use wirelink::daemon::host::Host;
use wirelink::mesh::base::identity::{AddressHash, PublicKey};
use wirelink::mesh::base::prefixes::Prefixes;
use wirelink::mesh::base::time::Timestamp;
use wirelink::mesh::device::{DeviceChange, DeviceState};

use crate::lab::Lab;
use crate::scenario::table::public_public;

const ADDED: PublicKey = PublicKey::from_bytes([2; 32]);
const ABSENT: PublicKey = PublicKey::from_bytes([3; 32]);
/// A router of the operator's, of which a prefix is taken.
const ROUTER: PublicKey = PublicKey::from_bytes([4; 32]);

/// Any moment: what is read here is compared without its times.
const NOW: Timestamp = Timestamp::START;

/// Runs a test in the namespace of a host, on a thread that is its own: whoever runs tests next must not be there.
fn inside(lab: &Lab, name: &str, test: impl AsyncFnOnce() + Send) {
    lab.namespace(name).inside(|| {
        let runtime = Builder::new_current_thread().enable_all().build();
        runtime.expect("an event loop").block_on(test());
    });
}

fn prefix(text: &str) -> IpNet {
    text.parse().expect("a prefix")
}

/// Reads a device, less what the traffic with the hub changes at any time.
async fn read(device: &mut Device) -> DeviceState {
    let mut state = device.read(NOW).await.expect("the device can be read");
    for peer in state.peers.values_mut() {
        (peer.last_handshake, peer.rx_bytes, peer.tx_bytes) = (None, 0, 0);
    }
    state
}

/// Returns changes of every kind, those that must do nothing included; `by_hand` has 172.31.5.1/32.
fn steps() -> [DeviceChange; 8] {
    let many: Prefixes = (0..2500)
        .map(|n| prefix(&format!("10.{}.{}.0/24", 120 + n / 250, n % 250)))
        .collect();
    let endpoint = "[::1]:7".parse().expect("an endpoint");
    let of_another = prefix("10.98.2.0/24");
    [
        DeviceChange::AddPeer {
            peer: ADDED,
            allowed_ips: many,
            endpoint: None,
        },
        DeviceChange::SetEndpoint { peer: ADDED, endpoint },
        DeviceChange::AddAllowedIp {
            peer: ADDED,
            prefix: of_another,
        },
        DeviceChange::RemoveAllowedIp {
            peer: ADDED,
            prefix: prefix("10.120.7.0/24"),
        },
        // Not its own: nothing may happen.
        DeviceChange::RemoveAllowedIp {
            peer: ROUTER,
            prefix: of_another,
        },
        // Nobody's: a prefix must not be taken for a peer that is not there, nor the peer be made.
        DeviceChange::AddAllowedIp {
            peer: ABSENT,
            prefix: of_another,
        },
        DeviceChange::SetEndpoint { peer: ABSENT, endpoint },
        DeviceChange::RemoveAllowedIp {
            peer: ABSENT,
            prefix: of_another,
        },
    ]
}

#[test]
fn a_device_is_changed_in_small_steps_and_nothing_else_is_touched() {
    let lab = Lab::build(&public_public());
    let (host, interface) = (lab.namespace("a"), lab.interface("a"));
    host.run(&format!(
        "wg set {interface} fwmark 7 peer {ROUTER} allowed-ips 10.98.1.0/24,10.98.2.0/24"
    ));
    let found = lab.found("a");
    inside(&lab, "a", async || {
        let mut device = Device::open(interface).await.expect("it is WireGuard");
        let identity = device.identity().await.expect("it has a key").public_key();
        assert_eq!(identity.to_string(), lab.public_key("a"));
        let before = read(&mut device).await;
        assert_eq!((before.public_key, before.listen_port), (identity, crate::tunnel::PORT));

        let mut expected = before;
        for step in &steps() {
            expected.apply(step);
            device.apply(step).await.expect("the device takes it");
            assert_eq!(read(&mut device).await, expected, "after {step:?}");
        }
        assert_eq!(expected.peers[&ADDED].allowed_ips.len(), 2500);
        assert_eq!(expected.peers[&ROUTER].allowed_ips, [prefix("10.98.1.0/24")].into());

        let returned = DeviceChange::AddAllowedIp {
            peer: ROUTER,
            prefix: prefix("10.98.2.0/24"),
        };
        let removed = [ADDED, ABSENT].map(|peer| DeviceChange::RemovePeer { peer });
        for step in [&returned].into_iter().chain(&removed) {
            device.apply(step).await.expect("the device takes it");
        }
        assert_eq!(lab.found("a"), found, "all that the operator made");

        host.run(&format!("ip link del dev {interface}"));
        let error = device.read(NOW).await.expect_err("there is nothing to read");
        assert!(error.is_gone() || error.kind() == "stale socket", "{error}");
        assert!(Device::open(interface).await.expect_err("it is gone").is_gone());
    });
}

#[test]
fn our_address_is_on_the_interface_while_we_run_and_no_longer() {
    let lab = Lab::build(&public_public());
    let (namespace, interface) = (lab.namespace("a"), lab.interface("a"));
    let address = AddressHash::Sha1.link_local(&ADDED);
    let net = IpNet::new(IpAddr::V6(address), 64).expect("64 is a prefix length");
    inside(&lab, "a", async || {
        let index = Device::open(interface).await.expect("it is WireGuard").index();
        let mut host = Host::open(interface, index).expect("a netlink socket");
        let before = host.read().await.expect("the machine can be read");
        assert!(before.up && before.state.interfaces.iter().any(|link| link.name == "lo" && link.up));

        assert!(
            host.ensure_address(address).await.expect("it can have one"),
            "it was missing"
        );
        assert!(!host.ensure_address(address).await.expect("it has one"), "it is there");
        host.changed().await;
        let with_ours = host.read().await.expect("the machine can be read");
        assert!(with_ours.state.tunnel_addresses.contains(&net));
        assert_eq!(
            with_ours.state.routes, before.state.routes,
            "link-local ones are of no interest"
        );
        let socket = UdpSocket::bind(SocketAddrV6::new(address, 51998, 0, index)).expect("it can be used at once");
        let peer = SocketAddrV6::new(Ipv6Addr::new(0xfe80, 0, 0, 0, 1, 2, 3, 4), 51998, 0, index);
        // The kernel's WireGuard says at once that no peer has the address; userspace drops the packet later.
        let sent = socket.send_to(b"x", peer).map_err(|error| error.raw_os_error());
        assert!(matches!(sent, Ok(1) | Err(Some(126))), "{sent:?}");

        namespace.run(&format!("ip link set dev {interface} down"));
        host.changed().await;
        let down = host.read().await.expect("the machine can be read");
        assert!(!down.up && !down.state.tunnel_addresses.contains(&net));
        namespace.run(&format!("ip link set dev {interface} up"));
        host.changed().await;
        assert!(
            host.ensure_address(address).await.expect("it can have one"),
            "it is gone when down"
        );

        // Another start finds the address of a run that crashed, and removes it in the end.
        let mut second = Host::open(interface, index).expect("a netlink socket");
        second.read().await.expect("the machine can be read");
        assert!(
            !second.ensure_address(address).await.expect("it has one"),
            "it was left"
        );
        second.remove_address().await.expect("it can be removed");
        assert!(!lab.addresses("a").contains(&net));
        host.remove_address().await.expect("that it is gone is no error");

        namespace.run(&format!("ip link del dev {interface}"));
        host.changed().await;
        assert!(host.read().await.expect_err("it is gone").is_gone());
        assert!(host.ensure_address(address).await.expect_err("it is gone").is_gone());
    });
}

#[test]
fn routes_into_the_tunnel_and_their_exceptions_are_seen_and_no_others() {
    let lab = Lab::build(&public_public());
    let (namespace, interface) = (lab.namespace("a"), lab.interface("a"));
    inside(&lab, "a", async || {
        let index = Device::open(interface).await.expect("it is WireGuard").index();
        let mut host = Host::open(interface, index).expect("a netlink socket");
        let before = host.read().await.expect("the machine can be read").state.routes;
        for (net, device) in [
            ("10.50.0.0/16", interface),
            ("10.50.1.0/24", "lo"),
            ("10.60.0.0/16", "lo"),
        ] {
            namespace.run(&format!("ip route add {net} dev {device}"));
        }
        host.changed().await;
        let routes = host.read().await.expect("the machine can be read").state.routes;
        let new = routes.iter().filter(|route| !before.contains(route));
        let new: Vec<(String, bool)> = new.map(|route| (route.prefix.to_string(), route.into_tunnel)).collect();
        assert_eq!(
            new,
            [("10.50.0.0/16".to_owned(), true), ("10.50.1.0/24".to_owned(), false)]
        );

        // What the kernel still does about addresses that are new is over when no notice comes for longer than duplicate
        // address detection is silent: up to 1 s before its one question, and 1 s after it (RFC 4862, 5.1).
        let mut notice = async || {
            tokio::time::timeout(Duration::from_secs(3), host.changed())
                .await
                .is_ok()
        };
        for _ in 0..10 {
            if !notice().await {
                break;
            }
        }
        namespace.run("ip route add 10.61.0.0/16 dev lo");
        assert!(!notice().await, "a route that concerns nobody is a notice");
    });
}

#[test]
fn a_container_is_no_other_place_and_another_default_route_is_and_what_is_deprecated_is_known() {
    let lab = Lab::build(&public_public());
    let (namespace, interface) = (lab.namespace("a"), lab.interface("a"));
    inside(&lab, "a", async || {
        let index = Device::open(interface).await.expect("it is WireGuard").index();
        let mut host = Host::open(interface, index).expect("a netlink socket");
        let mut look = async || host.read().await.expect("the machine can be read").state;
        let before = look().await;
        assert!(!before.ways_out.is_empty(), "{before:?}");
        namespace.run("ip link add vethx type veth peer name vethy");
        namespace.run("ip addr add 172.17.0.1/16 dev vethx");
        namespace.run("ip link set vethx up");
        namespace.run("ip link set vethy up");
        let with_container = look().await;
        assert_ne!(with_container.interfaces, before.interfaces);
        assert_eq!(with_container.whereabouts(), before.whereabouts());
        namespace.run("ip route add 128.0.0.0/1 dev vethx");
        let through_it = look().await;
        assert!(through_it.ways_out.contains("vethx"), "{through_it:?}");
        assert_ne!(through_it.whereabouts(), before.whereabouts());
        namespace.run("ip addr add 2001:db8:77::1/64 dev vethx nodad preferred_lft 0");
        assert!(look().await.deprecated.is_empty(), "it is the only one");
        namespace.run("ip addr add 2001:db8:77::2/64 dev vethx nodad");
        let deprecated = look().await.deprecated.into_iter().collect::<Vec<_>>();
        assert_eq!(deprecated, ["2001:db8:77::1".parse::<IpAddr>().expect("an address")]);
        namespace.run("ip link del vethx");
        assert_eq!(look().await.whereabouts(), before.whereabouts());
    });
}
