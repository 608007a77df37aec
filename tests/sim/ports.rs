//! NATs that give each destination a port of its own, but count them up: which one is next can be said.

use std::time::Duration;

use crate::direct::{Times, time_on};
use crate::net::HostId;
use crate::scenario::border::{Border, Filtering, Mapping, Nat, Ports};
use crate::scenario::{Act, Scenario, table};
use crate::stage::Stage;

const SEQUENTIAL: Border = Border::Nat(Nat {
    mapping: Mapping::AddressAndPortDependent,
    ports: Ports::Sequential,
    filtering: Filtering::AddressAndPortDependent,
    hairpinning: false,
});

/// Two hubs see both leaves, which have nothing but IPv4.
fn scenario(a: Border, b: Border) -> Scenario {
    let mut scenario = table::two_hubs();
    for (site, border) in scenario.sites.iter_mut().zip([a, b]) {
        (site.border, site.ipv6) = (border, None);
    }
    scenario
}

/// Measures a hundred runs, in each of which other machines of the site begin so many flows in a minute.
fn measure(scenario: &Scenario, others: u64) -> Times {
    Times::of(scenario, 100, |scenario, seed| {
        let mut stage = Stage::new(scenario, seed);
        for (name, site) in [("a", 0), ("b", 1)] {
            if scenario.sites[site].border == SEQUENTIAL {
                let site = stage.site(name);
                stage.world.net.set_others(site, others);
            }
        }
        time_on(&mut stage, seed)
    })
}

#[test]
fn sequential_symmetric_to_home_is_direct_within_five_seconds() {
    if std::env::var_os("WIRELINK_TRACE").is_some() {
        let scenario = scenario(Border::HOME, SEQUENTIAL);
        let mut stage = Stage::new(&scenario, 1);
        println!("{:?}", time_on(&mut stage, 1));
        for name in ["a", "b"] {
            println!("{}", crate::direct::status(&stage, name));
        }
        return;
    }
    let sides = [
        (SEQUENTIAL, Border::HOME),
        (Border::HOME, SEQUENTIAL),
        (SEQUENTIAL, Border::GUARDED),
    ];
    for (a, b) in sides {
        for others in [0, 60, 600] {
            let times = measure(&scenario(a, b), others);
            println!("{a:?} to {b:?}, {others} other flows a minute: {times}");
            assert!(times.at(90) <= Duration::from_secs(5), "{others}: {times}");
        }
    }
}

#[test]
fn a_setting_switches_it_off_on_either_side() {
    let scenario = scenario(SEQUENTIAL, Border::HOME);
    for off in ["a", "b"] {
        let mut stage = Stage::new(&scenario, 1);
        let id = stage.id(off);
        stage.world.hosts[id].config.settings.port_prediction = Some(false);
        assert_eq!(time_on(&mut stage, 1), None, "off on {off}");
    }
}

/// Where ports are given at random there is nothing to predict, and little is spent on finding that out.
#[test]
fn ports_at_random_cost_a_few_looks() {
    let scenario = scenario(Border::SYMMETRIC, Border::HOME);
    let mut stage = Stage::new(&scenario, 1);
    stage.act(Act::StartAll);
    stage.run(Duration::from_secs(600));
    let opened = |name| stage.world.net.flows_opened(stage.site(name));
    let (a, b) = (opened("a"), opened("b"));
    assert!(a <= 100 && b <= 100, "{a} and {b} flows in ten minutes");
    let id: HostId = stage.id("a");
    assert!(stage.world.violations.is_empty(), "{:?} {id}", stage.world.violations);
}
