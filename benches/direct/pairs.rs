//! Two nodes that become direct: from the start of the second one's process until a packet went there and back.

use std::time::{Duration, Instant};

use crate::eye::Eyes;
use crate::lab::{Lab, WIRELINK};
use crate::options::Options;
use crate::scenario::course::Course;
use crate::scenario::{Act, Path, Scenario, oracle, table};
use crate::stage::{self, SECOND};
use crate::table::{self as figures, Figures, Table, seconds};

/// Two leaves, by the names of what is before them.
struct Pair {
    name: &'static str,
    scenario: Scenario,
    ipv4: bool,
    note: &'static str,
}

fn pairs() -> Vec<Pair> {
    let of = |name, scenario, note| Pair {
        name,
        scenario,
        ipv4: true,
        note,
    };
    let without_ipv4 = Pair {
        ipv4: false,
        ..of(
            "ipv6-only",
            table::native_ipv6(),
            "stateful firewalls on both sides, no IPv4 but inside the tunnel",
        )
    };
    vec![
        of("home-home", table::home_home(), ""),
        of("home-public", table::home_public(), ""),
        of("forwarded-symmetric", matrix("forwarded-symmetric"), FORWARDED),
        of("home-symmetric", matrix("home-symmetric"), RESTRICTED),
        of("firewall-firewall", matrix("firewall-firewall"), ""),
        of("same-lan", table::same_lan(), "no hairpinning"),
        of(
            "double-nat",
            table::carrier(),
            "a home router behind another one, towards a home router",
        ),
        of(
            "ipv6-beside-symmetric",
            table::native_ipv6(),
            "symmetric on both sides, and IPv6 behind stateful firewalls",
        ),
        without_ipv4,
    ]
}

const FORWARDED: &str = "home with its port forwarded: the endpoint-independent filtering that nftables can do";
const RESTRICTED: &str =
    "impossible: the home router lets in no port that it was not called from, the symmetric one shows none";

fn matrix(name: &str) -> Scenario {
    let mut all = table::matrix_of_linux().into_iter();
    all.find(|scenario| scenario.name == name).expect("a pair of the table")
}

/// Measures all pairs that are asked for.
pub(crate) fn measure(options: &Options) -> Table {
    let mut table = Table::new(
        "From the start of the second node until both are direct, in seconds",
        &["pair", "runs", "median", "worst", ""],
    );
    for pair in pairs().into_iter().filter(|pair| options.wants(pair.name)) {
        let mut cells = vec![pair.name.to_owned()];
        if is_possible(&pair.scenario) {
            cells.extend(shown(&all_runs(&pair, options)));
        } else {
            cells.extend(["-", "-", "-"].map(str::to_owned));
        }
        cells.push(pair.note.to_owned());
        table.row(cells);
    }
    if !table.is_empty() {
        table.row(program_alone(options));
    }
    table
}

/// Measures what is in all of these times and no matter of the network: `ip netns exec`, and the start of the program.
fn program_alone(options: &Options) -> Vec<String> {
    let lab = Lab::build(&table::home_public());
    let mut took = Figures::default();
    for _ in 0..options.runs {
        let began = Instant::now();
        let output = lab.namespace(SECOND).command(&format!("{WIRELINK} --version")).output();
        assert!(output.is_ok_and(|output| output.status.success()), "it can be started");
        took.add_time(Some(began.elapsed()));
    }
    let mut cells = vec!["(the program alone)".to_owned()];
    cells.extend(shown(&took));
    cells.push("`wirelink --version`, in the same way: a part of all of these".to_owned());
    cells
}

/// Returns the cells of what was measured.
fn shown(took: &Figures) -> [String; 3] {
    let cell = |figure| figures::shown(figure, 3);
    [took.runs().to_string(), cell(took.median()), cell(took.worst())]
}

fn is_possible(scenario: &Scenario) -> bool {
    let mut course = Course::new(scenario);
    course.take(Act::StartAll);
    oracle::way(&course, "a", SECOND) == Path::Direct
}

fn all_runs(pair: &Pair, options: &Options) -> Figures {
    let mut figures = Figures::default();
    for run in 1..=options.runs {
        let took = one_run(pair, options);
        println!("{} {run}: {}", pair.name, seconds(took));
        figures.add_time(took);
    }
    figures
}

fn one_run(pair: &Pair, options: &Options) -> Option<Duration> {
    let prepare = |lab: &Lab| {
        if !pair.ipv4 {
            lab.leave_ipv4();
        }
    };
    let mut lab = stage::build(&pair.scenario, options, &["a"], prepare);
    let eyes = Eyes::open(&lab, "a", SECOND);
    eyes.expect_hub();
    stage::start_second(&mut lab, &eyes)
}
