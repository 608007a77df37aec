//! `wirelink ping`: how long the ways to a peer take, and which of them is used.

use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;

use super::client::{Reader, Which, unexpected};
use super::{humane, print};
use crate::control::{Ask, Path, Pong, Response, Trip};

/// The flags of `wirelink ping`.
#[derive(Clone, Debug, Args)]
pub struct PingArgs {
    /// The peer: its name, its key, or the beginning of its key
    peer: String,
    /// How often to ask, once a second
    #[arg(short, long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..))]
    count: u32,
    #[command(flatten)]
    which: Which,
    /// Print JSON, one object at the end
    #[arg(long)]
    json: bool,
}

/// How often a peer is asked.
const EVERY: Duration = Duration::from_secs(1);

/// Says what an answer through a router proves: its daemon passes the signal on, which takes no forwarding by its kernel.
const RELAYED_BY_DAEMONS: &str =
    "\n(the relayed time is between the daemons; `wirelink doctor` on the router checks that it forwards packets)";

/// Neither way answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no answer from {0}")]
pub struct NoAnswer(String);

/// What came of all, for programs.
#[derive(Debug, Serialize)]
struct Summary<'a> {
    direct: Course,
    relayed: Course,
    pings: &'a [Pong],
}

/// What came of one way.
#[derive(Debug, PartialEq, Serialize)]
struct Course {
    sent: usize,
    answered: usize,
    least_ms: Option<f64>,
    mean_ms: Option<f64>,
    most_ms: Option<f64>,
}

/// Asks, and prints each answer and what they amount to.
///
/// # Errors
/// When there is no daemon, no such peer, or no answer at all.
pub fn run(args: &PingArgs, mut output: impl Write) -> anyhow::Result<()> {
    let mut pongs: Vec<Pong> = Vec::new();
    for turn in 0..args.count {
        let began = Instant::now();
        let peer = args.peer.clone();
        let Response::Pong(pong) = args.which.ask(Ask::Ping { peer }, Reader::of(args.json))? else {
            return unexpected();
        };
        if !args.json {
            print(&mut output, &(line(&pong) + "\n"))?;
        }
        pongs.push(*pong);
        if turn + 1 < args.count {
            thread::sleep(EVERY.saturating_sub(began.elapsed()));
        }
    }
    let summary = Summary::of(&pongs);
    let text = if args.json {
        serde_json::to_string_pretty(&summary)?
    } else {
        summary.words()
    };
    print(output, &(text + "\n"))?;
    if summary.direct.answered + summary.relayed.answered == 0 {
        return Err(NoAnswer(args.peer.clone()).into());
    }
    Ok(())
}

fn line(pong: &Pong) -> String {
    let relayed = match &pong.via {
        Some(via) => format!("via {via}"),
        None => "via a router".to_owned(),
    };
    let mark = |is_used: bool| if is_used { " (used)" } else { "" };
    format!(
        "{}: direct: {}{}; {relayed}: {}{}",
        pong.name.clone().unwrap_or_else(|| pong.key.short()),
        trip(&pong.direct),
        mark(pong.path == Path::Direct),
        trip(&pong.relayed),
        mark(pong.path == Path::Via),
    )
}

fn trip(trip: &Trip) -> String {
    trip.ms
        .map_or_else(|| trip.text.clone(), |ms| humane::round_trip(Some(ms)))
}

impl<'a> Summary<'a> {
    fn of(pings: &'a [Pong]) -> Self {
        Self {
            direct: Course::of(pings.iter().map(|pong| &pong.direct)),
            relayed: Course::of(pings.iter().map(|pong| &pong.relayed)),
            pings,
        }
    }

    fn words(&self) -> String {
        let note = if self.relayed.answered > 0 {
            RELAYED_BY_DAEMONS
        } else {
            ""
        };
        format!(
            "direct: {}\nrelayed: {}{note}",
            self.direct.words(),
            self.relayed.words()
        )
    }
}

impl Course {
    fn of<'a>(trips: impl Iterator<Item = &'a Trip> + Clone) -> Self {
        let was_sent = |trip: &&Trip| matches!(trip.code.as_str(), "answered" | "no-answer");
        let times: Vec<f64> = trips.clone().filter_map(|trip| trip.ms).collect();
        let over_all = |choose: fn(f64, f64) -> f64| times.iter().copied().reduce(choose);
        Self {
            sent: trips.filter(was_sent).count(),
            answered: times.len(),
            least_ms: over_all(f64::min),
            mean_ms: over_all(|sum, time| sum + time).map(|sum| sum / times.len() as f64),
            most_ms: over_all(f64::max),
        }
    }

    fn words(&self) -> String {
        let (Some(least), Some(mean), Some(most)) = (self.least_ms, self.mean_ms, self.most_ms) else {
            return match self.sent {
                0 => "no ping was sent".to_owned(),
                sent => format!("none of {sent} answered"),
            };
        };
        let [least, mean, most] = [least, mean, most].map(|ms| humane::round_trip(Some(ms)));
        format!(
            "{} of {} answered, {least} to {most}, {mean} on average",
            self.answered, self.sent
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mesh::base::identity::PublicKey;

    fn answered(ms: f64) -> Trip {
        Trip {
            ms: Some(ms),
            code: "answered".to_owned(),
            text: "answered".to_owned(),
        }
    }

    fn pong() -> Pong {
        Pong::new(
            PublicKey::from_bytes([1; 32]),
            Some("bob".into()),
            Path::Via,
            Some("hub".into()),
        )
    }

    #[test]
    fn a_line_says_both_ways_and_which_is_used() {
        let mut pong = pong();
        pong.relayed = answered(41.23);
        assert_eq!(line(&pong), "bob: direct: no answer; via hub: 41 ms (used)");
        (pong.direct, pong.path, pong.via) = (answered(1.25), Path::Direct, None);
        assert_eq!(line(&pong), "bob: direct: 1.2 ms (used); via a router: 41 ms");
    }

    #[test]
    fn what_they_amount_to_counts_what_was_sent() {
        let mut pongs = [pong(), pong(), pong()];
        pongs[0].relayed = answered(10.0);
        pongs[1].relayed = answered(30.0);
        for pong in &mut pongs {
            pong.direct.code = "no-session".to_owned();
        }
        let summary = Summary::of(&pongs);
        assert_eq!(
            summary.words(),
            format!(
                "direct: no ping was sent\nrelayed: 2 of 3 answered, 10 ms to 30 ms, 20 ms on average{RELAYED_BY_DAEMONS}"
            )
        );
        let alone = [pong()];
        assert!(
            !Summary::of(&alone).words().contains("daemons"),
            "nothing came through a router"
        );
    }
}
