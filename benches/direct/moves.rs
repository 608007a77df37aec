//! A flow of packets between two leaves behind home routers, while its way changes.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::act::{Act, Goal};
use crate::eye::Eyes;
use crate::flow::{Flow, Outcome};
use crate::options::Options;
use crate::scenario::{Scenario, table};
use crate::stage;
use crate::table::{Figures, Table, seconds};

/// What happens in one lab; each leaves the way as the next one needs it.
const COURSES: [&[Act]; 3] = [
    &[Act::Nothing, Act::Start, Act::Blackhole, Act::Heal, Act::Stop],
    &[Act::Nothing, Act::Start, Act::Roam],
    &[Act::Nothing, Act::Start, Act::RoamBoth],
];

/// How long it is looked on when all is as it should be: what comes late is lost late, too.
const AFTERWARDS: Duration = Duration::from_secs(2);

/// How long a packet that is not lost may take.
const ON_THE_WAY: Duration = Duration::from_millis(500);

/// How often it is looked.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// What was measured of one act in all runs.
#[derive(Clone, Debug, Default)]
struct Row {
    lost: [Figures; 2],
    gap: [Figures; 2],
    done: Figures,
}

/// Measures all acts that are asked for.
pub(crate) fn measure(options: &Options) -> Table {
    let mut rows: BTreeMap<Act, Row> = BTreeMap::new();
    for course in COURSES {
        let Some(last) = course.iter().rposition(|act| options.wants(act.name())) else {
            continue;
        };
        for run in 1..=options.runs {
            play(&course[..=last], options, run, &mut rows);
        }
    }
    let mut table = Table::new(
        "200 packets a second each way between two leaves behind home routers; median / worst",
        &[
            "what happens",
            "runs",
            "lost, a to b",
            "lost, b to a",
            "longest gap, a to b, ms",
            "longest gap, b to a, ms",
            "in place after, s",
            "wanted",
        ],
    );
    for act in Act::ALL.into_iter().filter(|act| options.wants(act.name())) {
        let (words, wanted) = act.words();
        let row = rows.remove(&act).unwrap_or_default();
        let mut cells = vec![format!("`{}`: {words}", act.name()), row.done.runs().to_string()];
        if row.done.runs() > 0 {
            cells.extend(row.lost.iter().map(|figures| figures.both(0)));
            cells.extend(row.gap.iter().map(|figures| figures.both(0)));
            cells.push(row.done.both(3));
        } else {
            cells.resize(7, "never got so far".to_owned());
        }
        cells.push(wanted.to_owned());
        table.row(cells);
    }
    table
}

/// Two leaves behind home routers, and two more such places for them to go.
fn scenario() -> Scenario {
    let mut scenario = table::home_home();
    let more = scenario.sites.clone();
    scenario.sites.extend(more);
    scenario
}

/// Plays a course until something does not come to be, and takes down what is asked for.
fn play(course: &[Act], options: &Options, run: usize, rows: &mut BTreeMap<Act, Row>) {
    let mut lab = stage::build(&scenario(), options, &["a"], |_| ());
    let eyes = Eyes::open(&lab, "a", stage::SECOND);
    eyes.expect_hub();
    let flow = Flow::start(&lab, "a", stage::SECOND);
    for act in course {
        let began = Instant::now();
        act.take(&mut lab);
        let doing = began.elapsed().as_millis();
        let done = arrives(&eyes, &flow, act.goal()).then(|| began.elapsed());
        std::thread::sleep(AFTERWARDS + ON_THE_WAY);
        let outcomes = flow.outcome(began, Instant::now() - ON_THE_WAY);
        let ([there, back], name, done_after) = (outcomes, act.name(), seconds(done));
        println!("{name} {run}: {there} there, {back} back, in place: {done_after}; doing it took {doing} ms");
        if options.wants(act.name()) {
            rows.entry(*act).or_default().add(outcomes, done);
        }
        if done.is_none() {
            return;
        }
    }
}

impl Row {
    fn add(&mut self, outcomes: [Outcome; 2], done: Option<Duration>) {
        for (direction, outcome) in outcomes.into_iter().enumerate() {
            self.lost[direction].add(Some(outcome.lost as f64));
            self.gap[direction].add(Some(outcome.gap.as_secs_f64() * 1000.0));
        }
        self.done.add_time(done);
    }
}

/// Waits until the flow goes where it should.
fn arrives(eyes: &Eyes, flow: &Flow, goal: Goal) -> bool {
    let began = Instant::now();
    while began.elapsed() < stage::LIMIT {
        let there = match goal {
            Goal::Direct => eyes.show_direct() && eyes.direct(Duration::from_millis(100)).is_some(),
            Goal::Hub => eyes.show_hub(),
        };
        if there && flow.is_alive() {
            return true;
        }
        std::thread::sleep(LOOK_EVERY);
    }
    false
}
