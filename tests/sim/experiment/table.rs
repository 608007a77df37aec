//! The experiments: one for each rule of WireGuard that shows from outside, and soon.

use super::Seen::{Follows, Gets, Sends, Shakes};
use super::Step::{
    Cut, Forge, Forget, Give, Heal, Introduce, Keepalive, Mark, Mislead, Move, Not, Point, Remap, Send, Within,
};
use super::{A, B, C, Experiment};

/// How long a packet or a handshake may take that nothing is in the way of.
const AT_ONCE: f64 = 1.0;

pub(crate) const A_PACKET_OPENS_A_SESSION: Experiment = Experiment {
    name: "a packet opens a session",
    steps: &[
        Introduce(A, B),
        Introduce(B, A),
        Send(A, B),
        Within(AT_ONCE, Gets(B, 1)),
        Within(AT_ONCE, Shakes(A, B)),
        Within(AT_ONCE, Shakes(B, A)),
        Send(B, A),
        Within(AT_ONCE, Gets(A, 1)),
    ],
};

pub(crate) const INITIATIONS_ARE_FIVE_SECONDS_APART: Experiment = Experiment {
    name: "initiations are five seconds apart, however much there is to send",
    steps: &[
        Introduce(A, B),
        Introduce(B, A),
        Cut,
        Send(A, B),
        Within(AT_ONCE, Sends(A, B)),
        Mark,
        Send(A, B),
        Not(1.5, Sends(A, B)),
        Send(A, B),
        Not(1.5, Sends(A, B)),
        Within(4.0, Sends(A, B)),
        Heal,
        Within(7.0, Gets(B, 3)),
    ],
};

pub(crate) const A_LOST_INITIATION_COSTS_FIVE_SECONDS: Experiment = Experiment {
    name: "an initiation to a side that lacks the peer is lost, and the next comes 5 s later",
    steps: &[
        Introduce(A, B),
        Send(A, B),
        Not(0.5, Gets(B, 1)),
        Introduce(B, A),
        Not(2.5, Gets(B, 1)),
        Within(4.0, Gets(B, 1)),
    ],
};

pub(crate) const A_KEEPALIVE_FROM_NONE_SENDS_AT_ONCE: Experiment = Experiment {
    name: "a keepalive from none to some sends at once",
    steps: &[
        Introduce(A, B),
        Introduce(B, A),
        Not(1.0, Sends(A, B)),
        Keepalive(A, B, 25),
        Within(AT_ONCE, Shakes(A, B)),
        Within(AT_ONCE, Shakes(B, A)),
        Mark,
        Keepalive(A, B, 20),
        Not(1.0, Sends(A, B)),
        Keepalive(A, B, 0),
        Not(1.0, Sends(A, B)),
        Keepalive(A, B, 25),
        Within(AT_ONCE, Sends(A, B)),
    ],
};

pub(crate) const SETTING_AN_ENDPOINT_SENDS_NOTHING: Experiment = Experiment {
    name: "setting an endpoint sends nothing",
    steps: &[
        Introduce(A, B),
        Introduce(B, A),
        Mislead(A, B),
        Not(1.0, Sends(A, B)),
        Point(A, B),
        Not(1.0, Sends(A, B)),
        Send(A, B),
        Within(AT_ONCE, Gets(B, 1)),
        Mark,
        Mislead(A, B),
        Point(A, B),
        Not(2.0, Sends(A, B)),
    ],
};

pub(crate) const THE_NEXT_PACKET_GOES_TO_THE_NEW_ENDPOINT: Experiment = Experiment {
    name: "with a session, the next packet goes to the new endpoint",
    steps: &[
        Introduce(A, B),
        Introduce(B, A),
        Send(A, B),
        Within(AT_ONCE, Shakes(B, A)),
        Move(B),
        Mark,
        Send(A, B),
        Not(1.0, Gets(B, 1)),
        Point(A, B),
        Send(A, B),
        Within(AT_ONCE, Gets(B, 1)),
        Not(0.0, Shakes(A, B)),
    ],
};

pub(crate) const THE_ENDPOINT_FOLLOWS_ITS_PEER: Experiment = Experiment {
    name: "the endpoint follows its peer with any authentic packet",
    steps: &[
        Introduce(A, B),
        Introduce(B, A),
        Send(A, B),
        Within(AT_ONCE, Shakes(B, A)),
        Mark,
        Remap(A),
        Not(0.5, Follows(B, A)),
        Send(A, B),
        Within(AT_ONCE, Follows(B, A)),
        Send(B, A),
        Within(AT_ONCE, Gets(A, 1)),
        Remap(B),
        // Whom a packet is from is checked after the endpoint was taken.
        Forge(B, A),
        Within(AT_ONCE, Follows(A, B)),
        Not(0.0, Gets(A, 2)),
        Not(0.0, Shakes(A, B)),
    ],
};

pub(crate) const A_HOST_SPEAKS_FROM_ITS_NEW_ADDRESS: Experiment = Experiment {
    name: "a host whose address was exchanged speaks from the new one, with the same session",
    steps: &[
        Introduce(A, B),
        Introduce(B, A),
        Send(A, B),
        Within(AT_ONCE, Shakes(B, A)),
        Mark,
        Move(A),
        Send(A, B),
        Within(AT_ONCE, Follows(B, A)),
        Send(B, A),
        Within(AT_ONCE, Gets(A, 1)),
        Not(0.0, Shakes(A, B)),
    ],
};

pub(crate) const A_FORGED_SOURCE_IS_DROPPED: Experiment = Experiment {
    name: "a packet from an address that is not the peer's is dropped",
    steps: &[
        Introduce(A, B),
        Introduce(B, A),
        Send(A, B),
        Within(AT_ONCE, Gets(B, 1)),
        Mark,
        Forge(A, B),
        Not(1.0, Gets(B, 1)),
        Send(A, B),
        Within(AT_ONCE, Gets(B, 1)),
    ],
};

pub(crate) const A_PREFIX_MOVES_WITH_ITS_PACKETS: Experiment = Experiment {
    name: "a prefix that moves to another peer takes its packets along, both ways",
    steps: &[
        Introduce(A, B),
        Introduce(A, C),
        Introduce(B, A),
        Introduce(C, A),
        Send(A, B),
        Within(AT_ONCE, Gets(B, 1)),
        Send(B, A),
        Within(AT_ONCE, Gets(A, 1)),
        Mark,
        Give(A, B, C),
        Send(A, B),
        Within(AT_ONCE, Shakes(A, C)),
        Not(0.5, Gets(B, 1)),
        Send(B, A),
        Not(1.0, Gets(A, 1)),
        Give(A, B, B),
        Send(B, A),
        Within(AT_ONCE, Gets(A, 1)),
    ],
};

pub(crate) const A_PEER_MADE_ANEW_HAS_NO_LIMIT: Experiment = Experiment {
    name: "a peer that is made anew has neither a session nor the limit of five seconds",
    steps: &[
        Introduce(A, B),
        Introduce(B, A),
        Send(A, B),
        Within(AT_ONCE, Gets(B, 1)),
        Forget(A, B),
        Introduce(A, B),
        Mark,
        Not(0.5, Shakes(A, B)),
        Send(A, B),
        Within(AT_ONCE, Gets(B, 1)),
        Within(AT_ONCE, Shakes(A, B)),
    ],
};

pub(crate) const THE_HANDSHAKE_TIME_STAYS: Experiment = Experiment {
    name: "the time of the handshake is the same in every read until the next one",
    steps: &[
        Introduce(A, B),
        Introduce(B, A),
        Send(A, B),
        Within(AT_ONCE, Shakes(B, A)),
        Within(AT_ONCE, Shakes(A, B)),
        Mark,
        Not(1.1, Shakes(A, B)),
        Send(A, B),
        Within(AT_ONCE, Gets(B, 1)),
        Send(B, A),
        Within(AT_ONCE, Gets(A, 1)),
        Not(1.1, Shakes(A, B)),
        Not(0.0, Shakes(B, A)),
    ],
};

pub(crate) const DATA_IS_ANSWERED_WITHIN_TEN_SECONDS: Experiment = Experiment {
    name: "data that nothing answers is answered by a keepalive, after 10 s",
    steps: &[
        Introduce(A, B),
        Introduce(B, A),
        Send(A, B),
        Within(AT_ONCE, Gets(B, 1)),
        Mark,
        Not(7.0, Sends(B, A)),
        Within(5.0, Sends(B, A)),
        Not(0.0, Gets(A, 1)),
    ],
};

pub(crate) const A_LOST_SESSION_IS_FOUND_OUT: Experiment = Experiment {
    name: "what a side without its session cannot read is lost until one of them opens a new one",
    steps: &[
        Introduce(A, B),
        Introduce(B, A),
        Send(A, B),
        Within(AT_ONCE, Gets(B, 1)),
        Forget(B, A),
        Introduce(B, A),
        Mark,
        Send(A, B),
        Not(1.0, Gets(B, 1)),
        Send(B, A),
        Within(AT_ONCE, Gets(A, 1)),
        Send(A, B),
        Within(AT_ONCE, Gets(B, 1)),
    ],
};
