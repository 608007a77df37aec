//! A node with a single hub finds out by STUN servers what its NAT does, and from where it is seen.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;
use wirelink::mesh::base::settings::{Host as Endpoint, Settings};
use wirelink::mesh::believe::fact::signal::Nat;
use wirelink::mesh::believe::fact::value::Value;
use wirelink::mesh::reach::stun::Dropped;
use wirelink::mesh::show::event::RejectReason;
use wirelink::mesh::show::status::Status;

use crate::host::Config;
use crate::invariants;
use crate::net::{HostId, Nic};
use crate::program::Program;
use crate::scenario::border::Border;
use crate::scenario::{Act, Program as Kind, Scenario, table};
use crate::stage::Stage;
use crate::world::StunServer;

const PORT: u16 = 3478;
const NAME: &str = "stun.example";

/// A hub, and leaf `a` behind a border of this kind.
fn scenario(border: Border) -> Scenario {
    let mut scenario = table::home_home();
    scenario.sites[0].border = border;
    scenario
}

/// Adds a machine to the internet that is no member of anything.
fn add_machine(stage: &mut Stage<'_>, last: u8) -> HostId {
    let address = IpAddr::V4(Ipv4Addr::new(198, 19, last, 2));
    let site = stage.world.net.add_site(Border::Open, address, None, None);
    let nic = Nic {
        name: "eth0".into(),
        site,
        addresses: vec![IpNet::new(address, 30).unwrap()],
        up: true,
    };
    let config = Config {
        name: format!("server{last}"),
        private_key: [last; 32],
        port: PORT,
        inner: Vec::new(),
        peers: Vec::new(),
        forwards: false,
        settings: Settings::default(),
        probes: false,
        form: wirelink::mesh::believe::fact::signal::ProbeForm::Veiled,
        program: Kind::Ours,
    };
    stage.world.add_host(config, vec![nic])
}

/// Adds a STUN server with a name, which leaf `a` is told.
fn add_server(stage: &mut Stage<'_>) -> HostId {
    let id = add_machine(stage, 1);
    let server = StunServer {
        answers_from: id,
        says: None,
        asked: 0,
    };
    stage.world.servers.insert(id, server);
    let address = stage.world.net.nics(id)[0].addresses[0].addr();
    stage.world.net.names.insert(NAME.into(), vec![address]);
    let (name, port) = (NAME.into(), PORT);
    let leaf = stage.id("a");
    stage.world.hosts[leaf].config.settings.stun = vec![Endpoint::Name { name, port }];
    id
}

fn status(stage: &Stage<'_>, id: HostId) -> Status {
    let node = stage.world.hosts[id].node.as_ref().and_then(Program::ours);
    node.expect("it runs").status(stage.world.now)
}

/// Returns what leaf `a` tells of its NAT.
fn nat(stage: &Stage<'_>) -> Option<Nat> {
    let status = status(stage, stage.id("a"));
    let own = status.facts.iter().filter(|(fact, ..)| fact.subject == status.key);
    // What it told before lives on for a while.
    let told = own.filter_map(|(fact, _, expires)| Some((*expires, fact.value.probes()?.nat)));
    told.max().map(|(_, nat)| nat)
}

/// Starts the hub and leaf `a`.
fn begin(stage: &mut Stage<'_>) {
    stage.act(Act::Start("hub"));
    stage.act(Act::Start("a"));
}

/// Waits until leaf `a` tells this of its NAT.
fn wait(stage: &mut Stage<'_>, wanted: Nat) -> Duration {
    let began = stage.world.now;
    while nat(stage) != Some(wanted) {
        assert!(
            stage.world.now.since(began) < Duration::from_secs(60),
            "{:?}",
            nat(stage)
        );
        stage.run(Duration::from_millis(10));
    }
    stage.world.now.since(began)
}

#[test]
fn a_hub_alone_does_not_show_what_a_nat_does() {
    let scenario = scenario(Border::HOME);
    let mut stage = Stage::new(&scenario, 1);
    begin(&mut stage);
    stage.run(Duration::from_secs(300));
    assert_eq!(nat(&stage), Some(Nat::Unknown));
}

#[test]
fn a_hub_and_a_server_show_it_within_a_second() {
    for (border, class) in [
        (Border::HOME, Nat::EndpointIndependent),
        (Border::SYMMETRIC, Nat::AddressDependent),
    ] {
        for seed in 0..20 {
            let scenario = scenario(border);
            let mut stage = Stage::new(&scenario, seed);
            let server = add_server(&mut stage);
            begin(&mut stage);
            let took = wait(&mut stage, class);
            assert!(took < Duration::from_secs(1), "{border:?} {seed}: {took:?}");
            // And it stays so, without a question too many.
            for _ in 0..600 {
                stage.run(Duration::from_secs(1));
                assert_eq!(nat(&stage), Some(class), "{border:?} {seed}");
            }
            let asked = stage.world.servers[&server].asked;
            assert!((5..=6).contains(&asked), "{border:?} {seed}: asked {asked} times");
            invariants::check(&mut stage.world).unwrap();
        }
    }
}

#[test]
fn another_network_is_known_at_once() {
    let mut scenario = table::leaf_roams();
    scenario.sites[2].border = Border::SYMMETRIC;
    let mut stage = Stage::new(&scenario, 1);
    add_server(&mut stage);
    begin(&mut stage);
    wait(&mut stage, Nat::EndpointIndependent);
    stage.run(Duration::from_secs(60));
    stage.act(Act::Roam("a", 2));
    let took = wait(&mut stage, Nat::AddressDependent);
    assert!(took < Duration::from_secs(2), "{took:?}");
}

#[test]
fn who_has_two_observers_asks_no_server() {
    let scenario = table::two_hubs();
    let mut stage = Stage::new(&scenario, 1);
    let server = add_server(&mut stage);
    stage.act(Act::Start("hub2"));
    begin(&mut stage);
    stage.run(Duration::from_secs(10));
    let asked = stage.world.servers[&server].asked;
    assert!(asked <= 1, "it may have been before the hubs answered: {asked}");
    stage.run(Duration::from_secs(900));
    assert_eq!(stage.world.servers[&server].asked, asked);
}

#[test]
fn what_comes_from_another_address_than_the_servers_is_not_believed() {
    let lie = SocketAddr::from(([203, 0, 113, 66], 6666));
    let scenario = scenario(Border::FORWARDED);
    let mut stage = Stage::new(&scenario, 1);
    let (server, liar) = (add_server(&mut stage), add_machine(&mut stage, 2));
    let says = Some(lie);
    let server = stage.world.servers.get_mut(&server).unwrap();
    (server.answers_from, server.says) = (liar, says);
    begin(&mut stage);
    stage.run(Duration::from_secs(300));
    assert_eq!(nat(&stage), Some(Nat::Unknown));
    let leaf = status(&stage, stage.id("a"));
    let told = |value: &Value| value.endpoint() == Some(lie);
    assert!(!leaf.facts.iter().any(|(fact, ..)| told(&fact.value)));
    let unasked = RejectReason::Stun(Dropped::Unasked);
    let dropped = leaf.rejections.iter().find(|(_, reason, _)| *reason == unasked);
    let (_, _, times) = dropped.expect("it arrives, and is counted");
    assert!(*times >= 4, "{times}");
}

#[test]
fn a_server_that_went_elsewhere_is_found_by_its_name() {
    let scenario = scenario(Border::HOME);
    let mut stage = Stage::new(&scenario, 1);
    let server = add_server(&mut stage);
    let gone = stage.world.net.names.insert(NAME.into(), vec![[198, 19, 9, 2].into()]);
    begin(&mut stage);
    stage.run(Duration::from_secs(100));
    assert_eq!(nat(&stage), Some(Nat::Unknown));
    stage.world.net.names.insert(NAME.into(), gone.unwrap());
    let took = wait(&mut stage, Nat::EndpointIndependent);
    assert!(took < Duration::from_secs(60), "{took:?}");
    assert_eq!(stage.world.servers[&server].asked, 1);
}
