//! Who waits for the answers to pings.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::sleep;

use crate::control::{self, Response, Trip};
use crate::daemon::control::Asked;
use crate::mesh::base::identity::PublicKey;
use crate::mesh::base::time::Timestamp;
use crate::mesh::believe::fact::signal::Word;
use crate::mesh::reach::ping::{MAX_WAITING, NoPing, PATIENCE, Path};

type Outcome = Result<Duration, NoPing>;

/// Each waits in a task of its own; the control socket bounds how many there are.
#[derive(Default)]
pub(super) struct Pinging {
    last: u64,
    waiting: BTreeMap<u64, UnboundedSender<(Path, Outcome)>>,
    lately: Lately,
}

/// The pings of the last seconds: when, of which user, to whom. The node counts them for as long, answered or not.
#[derive(Default)]
struct Lately(VecDeque<(Timestamp, Option<u32>, PublicKey)>);

impl Lately {
    /// Notes a ping, unless its user has as many as are free besides, in all or to this peer: one user that takes all it can leaves as much
    /// to the next (the dynamic threshold of Choudhury and Hahne).
    fn admits(&mut self, now: Timestamp, caller: Option<u32>, peer: &PublicKey) -> bool {
        self.0.retain(|(at, ..)| now.since(*at) < PATIENCE);
        let has_room = |most: usize, counts: &dyn Fn(&PublicKey) -> bool| {
            let all = || self.0.iter().filter(|(.., to)| counts(to));
            let own = all().filter(|(_, user, _)| *user == caller).count();
            own < most.saturating_sub(all().count())
        };
        let admitted = has_room(MAX_WAITING, &|_| true) && has_room(usize::from(Word::PINGS), &|to| to == peer);
        if admitted {
            self.0.push_back((now, caller, *peer));
        }
        admitted
    }
}

impl Pinging {
    /// Returns whether this user may ping this peer now; if so, it is counted.
    pub(super) fn has_room(&mut self, now: Timestamp, caller: Option<u32>, peer: &PublicKey) -> bool {
        self.lately.admits(now, caller, peer)
    }

    /// Has somebody wait; returns the number of the ping. `pong` is filled in and is the answer.
    pub(super) fn begin(&mut self, asked: Asked, pong: control::Pong) -> u64 {
        self.waiting.retain(|_, tell| !tell.is_closed());
        self.last += 1;
        let (tell, answers) = unbounded_channel();
        self.waiting.insert(self.last, tell);
        tokio::spawn(async move {
            let pong = collect(answers, pong, sleep(PATIENCE)).await;
            asked.answer(&[Response::Pong(Box::new(pong))]);
        });
        self.last
    }

    /// Tells what came of a way.
    pub(super) fn tell(&mut self, id: u64, path: Path, outcome: Outcome) {
        if let Some(tell) = self.waiting.get(&id) {
            // It may have waited for long enough.
            tell.send((path, outcome)).ok();
        }
    }
}

/// Waits for both ways, but not beyond `end`.
async fn collect(
    mut answers: UnboundedReceiver<(Path, Outcome)>,
    mut pong: control::Pong,
    end: impl Future<Output = ()>,
) -> control::Pong {
    let mut missing = vec![Path::Direct, Path::Relayed];
    let all = async {
        while !missing.is_empty()
            && let Some((path, outcome)) = answers.recv().await
        {
            missing.retain(|other| *other != path);
            match path {
                Path::Direct => pong.direct = trip(outcome),
                Path::Relayed => pong.relayed = trip(outcome),
            }
        }
    };
    // What does not come stays as it is: not answered.
    tokio::select! {
        biased;
        () = all => {}
        () = end => {}
    }
    pong
}

fn trip(outcome: Outcome) -> Trip {
    match outcome {
        Ok(took) => Trip {
            ms: Some(took.as_secs_f64() * 1000.0),
            code: "answered".to_owned(),
            text: "answered".to_owned(),
        },
        Err(why) => Trip {
            ms: None,
            code: why.code().to_owned(),
            text: why.to_string(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pings_of_one_user_leave_room_for_another() {
        let peer = |number| PublicKey::from_bytes([number; 32]);
        let (mut lately, now) = (Lately::default(), Timestamp::START);
        let flood = |lately: &mut Lately, user| {
            let pings = (0..200).filter(|number| lately.admits(now, Some(user), &peer(*number)));
            pings.count()
        };
        assert!(flood(&mut lately, 1000) > 0 && flood(&mut lately, 1001) > 0);
        assert!(lately.admits(now, Some(0), &peer(7)), "{}", lately.0.len());
        assert!(lately.0.len() <= MAX_WAITING);
        let mut to_one = Lately::default();
        while to_one.admits(now, Some(1000), &peer(7)) {}
        assert!(to_one.admits(now, Some(0), &peer(7)));
        assert!(
            to_one.admits(now + PATIENCE, Some(1000), &peer(7)),
            "those of before are over"
        );
    }

    fn asked() -> control::Pong {
        control::Pong::new(PublicKey::from_bytes([1; 32]), None, control::Path::Direct, None)
    }

    #[tokio::test]
    async fn what_is_not_answered_in_time_is_said_to_be() {
        let (tell, answers) = unbounded_channel();
        tell.send((Path::Relayed, Ok(Duration::from_millis(40)))).unwrap();
        let pong = collect(answers, asked(), std::future::ready(())).await;
        assert_eq!((pong.relayed.ms, pong.direct.ms), (Some(40.0), None));
        assert_eq!(pong.direct.code, "no-answer");
    }

    #[tokio::test]
    async fn nobody_waits_longer_than_both_ways_take() {
        let (tell, answers) = unbounded_channel();
        tell.send((Path::Relayed, Err(NoPing::NoRouter))).unwrap();
        tell.send((Path::Direct, Ok(Duration::from_millis(2)))).unwrap();
        let pong = collect(answers, asked(), std::future::pending()).await;
        assert_eq!((pong.relayed.code.as_str(), pong.direct.ms), ("no-router", Some(2.0)));
        drop(tell);
    }
}
