//! The story of the demo, phase by phase, each with its deadline.

use std::time::{Duration, Instant};

use anyhow::anyhow;
use tokio::signal::unix::SignalKind;

use super::DemoArgs;
use super::machine::Order;
use super::screen::seconds;
use super::stage::Stage;
use super::table::Path;

const PHASES: usize = 5;

/// How long each phase may take. A daemon has 15 s to notice a dead path, and a candidate is tried for up to 15 s.
const HUB_WORKS: Duration = Duration::from_secs(20);
const GOES_DIRECT: Duration = Duration::from_secs(60);
const FALLS_BACK: Duration = Duration::from_secs(60);
const GOES_DIRECT_AGAIN: Duration = Duration::from_secs(120);
const STOPS: Duration = Duration::from_secs(20);

/// How long a result stays before the next phase, for people to see.
const PAUSE: Duration = Duration::from_secs(3);

/// How the demo ended, where it did not end well.
pub(super) enum Ending {
    /// Somebody sent this signal.
    Signal(SignalKind),
    /// Something did not happen.
    Failure(anyhow::Error),
}

impl Ending {
    fn during(self, number: usize, title: &str) -> Self {
        match self {
            Self::Signal(signal) => Self::Signal(signal),
            Self::Failure(error) => Self::Failure(error.context(format!("phase {number} of {PHASES}, {title}"))),
        }
    }
}

impl<E: Into<anyhow::Error>> From<E> for Ending {
    fn from(error: E) -> Self {
        Self::Failure(error.into())
    }
}

/// Builds the world, and plays the story in it.
pub(super) async fn play(args: &DemoArgs) -> Result<(), Ending> {
    let mut stage = Stage::build(args, Instant::now()).await?;
    let ending = story(&mut stage).await;
    if ending.is_err() {
        stage.stop_daemons().await;
    }
    stage.show_log()?;
    stage.screen.erase()?;
    if matches!(ending, Err(Ending::Failure(_))) {
        stage.show_last_log()?;
    }
    ending
}

async fn story(stage: &mut Stage) -> Result<(), Ending> {
    let start = Instant::now();
    phase(
        stage,
        1,
        "the leaves reach each other through the hub",
        HUB_WORKS,
        via_hub,
    )
    .await?;

    stage.order(Order::StartDaemon);
    let took = phase(stage, 2, "wirelink starts: the leaves go direct", GOES_DIRECT, direct).await?;
    stage.pause(PAUSE).await?;

    stage.direct.cut(true);
    phase(stage, 3, "the direct path is cut: back to the hub", FALLS_BACK, via_hub).await?;
    stage.pause(PAUSE).await?;

    stage.direct.cut(false);
    phase(
        stage,
        4,
        "the direct path is healed: direct again",
        GOES_DIRECT_AGAIN,
        direct,
    )
    .await?;
    stage.pause(PAUSE).await?;

    stage.order(Order::StopDaemon);
    phase(stage, 5, "wirelink stops: everything as before", STOPS, |stage| {
        if stage.daemons.is_empty() { via_hub(stage) } else { None }
    })
    .await?;
    if !stage.leftovers.is_empty() {
        Err(anyhow::anyhow!(
            "phase 5 of {PHASES}: wirelink left changes behind: {}",
            stage.leftovers.join("; ")
        ))?;
    }
    let all = seconds(start.elapsed());
    stage.screen.line(&format!(
        "All of that happened: direct within {}, and the whole demo in {all}.",
        seconds(took)
    ))?;
    Ok(())
}

fn via_hub(stage: &Stage) -> Option<Instant> {
    stage.table.leaves_meet(Path::ViaHub)
}

fn direct(stage: &Stage) -> Option<Instant> {
    stage.table.leaves_meet(Path::Direct)
}

/// Waits until it is done, says so, and returns how long it took to the first packet.
async fn phase(
    stage: &mut Stage,
    number: usize,
    title: &str,
    limit: Duration,
    done: impl Fn(&Stage) -> Option<Instant>,
) -> Result<Duration, Ending> {
    let start = Instant::now();
    while start.elapsed() < limit {
        if let Some(since) = done(stage) {
            let took = since.saturating_duration_since(start);
            stage
                .screen
                .line(&format!("{number}/{PHASES} {title}: after {}", seconds(took)))?;
            return Ok(took);
        }
        let waiting = format!(
            "{number}/{PHASES} {title}: {} of {}",
            seconds(start.elapsed()),
            seconds(limit)
        );
        stage
            .next(&waiting)
            .await
            .map_err(|ending| ending.during(number, title))?;
    }
    let paths = stage
        .table
        .rows()
        .map(|(from, to, row)| format!("{from} -> {to} {}", row.path));
    let paths = paths.collect::<Vec<_>>().join(", ");
    let error = anyhow!("it did not happen within {}: {paths}", seconds(limit));
    Err(Ending::Failure(error).during(number, title))
}
