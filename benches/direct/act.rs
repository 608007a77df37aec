//! What happens to two leaves with a flow between them.

use rustix::process::Signal;

use crate::lab::Lab;
use crate::stage::SECOND;

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Act {
    /// Nothing: what is lost by itself, on a machine that has too much to do.
    Nothing,
    /// The second node starts: from the hub to the direct path.
    Start,
    /// Nothing passes directly any more, and nobody says so.
    Blackhole,
    /// It passes again.
    Heal,
    /// The second node is asked to stop: from the direct path to the hub.
    Stop,
    /// One leaf has another network.
    Roam,
    /// Both have, at once.
    RoamBoth,
}

/// Where the flow must go in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Goal {
    /// Directly.
    Direct,
    /// Through the hub.
    Hub,
}

impl Act {
    /// Everything, in the order of the table.
    pub(crate) const ALL: [Self; 7] = [
        Self::Nothing,
        Self::Start,
        Self::Stop,
        Self::Blackhole,
        Self::Heal,
        Self::Roam,
        Self::RoamBoth,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Start => "start",
            Self::Blackhole => "blackhole",
            Self::Heal => "heal",
            Self::Stop => "stop",
            Self::Roam => "roam",
            Self::RoamBoth => "roam-both",
        }
    }

    /// Says what happens, and what is wanted of it.
    pub(crate) fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Nothing => ("for two seconds, through the hub", "nothing lost"),
            Self::Start => ("the second node starts: hub to direct", "nothing lost"),
            Self::Stop => ("the second node stops: direct to hub", "nothing lost"),
            Self::Blackhole => ("the direct path drops all", "gap of 3 s"),
            Self::Heal => ("it does not any more", "nothing lost, direct after 10 s"),
            Self::Roam => ("one side goes to another network", "gap of 2 s"),
            Self::RoamBoth => ("both do", "gap of 2 s"),
        }
    }

    pub(crate) fn goal(self) -> Goal {
        match self {
            Self::Start | Self::Heal | Self::Roam | Self::RoamBoth => Goal::Direct,
            Self::Nothing | Self::Stop | Self::Blackhole => Goal::Hub,
        }
    }

    /// Lets it happen.
    pub(crate) fn take(self, lab: &mut Lab) {
        match self {
            Self::Nothing => {}
            Self::Start => lab.start(SECOND),
            Self::Blackhole => lab.network.cut("a", SECOND),
            Self::Heal => lab.network.heal("a", SECOND),
            Self::Stop => lab.daemon(SECOND).signal(Signal::TERM),
            Self::Roam => lab.network.roam(&[("a", 2)]),
            Self::RoamBoth => lab.network.roam(&[("a", 2), (SECOND, 3)]),
        }
    }
}
