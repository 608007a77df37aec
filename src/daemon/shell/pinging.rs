//! Who waits for the answers to pings.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::sleep;

use crate::control::{self, Response, Trip};
use crate::daemon::control::Asked;
use crate::mesh::ping::{NoPing, PATIENCE, Path};

type Outcome = Result<Duration, NoPing>;

/// Each waits in a task of its own; the control socket bounds how many there are.
#[derive(Default)]
pub(super) struct Pinging {
    last: u64,
    waiting: BTreeMap<u64, UnboundedSender<(Path, Outcome)>>,
}

impl Pinging {
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
    use crate::mesh::identity::PublicKey;

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
