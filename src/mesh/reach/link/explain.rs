//! A link in the words of its operator.

use super::candidate::Candidate;
use super::{Contact, Link, State};
use crate::mesh::base::time::Timestamp;

impl Link {
    /// Returns in one line why traffic does not take this way, or that it does.
    pub fn explain(&self, now: Timestamp, contact: &Contact, candidates: &[Candidate]) -> String {
        let heard = contact
            .liveness
            .map(|liveness| now.since(liveness.last_heard()).as_secs());
        match self.state {
            State::Idle => "no endpoint of the peer is known".into(),
            State::Probing if contact.is_healthy(now) => match heard {
                Some(seconds) => format!("WireGuard is connected; wirelink on the peer was last heard {seconds} s ago"),
                None => {
                    "WireGuard is connected; wirelink on the peer was never heard: is it running, on the same port?"
                        .into()
                }
            },
            State::Probing => match (&self.nominee, &self.slots) {
                (Some(nominee), _) => format!("{} answered a probe; the handshake begins there", nominee.endpoint()),
                (None, Some(slots)) => slots.explain(now, candidates),
                (None, None) => match candidates.len() {
                    1 => "the only candidate has not answered yet".into(),
                    count => format!("none of {count} candidates has answered yet"),
                },
            },
            State::Up if !self.carries() => "the path works; traffic moves to it once the peer confirms it".into(),
            State::Up => match contact.endpoint {
                Some(endpoint) => {
                    let narrow = self.narrow().map(|narrow| format!("; {narrow}")).unwrap_or_default();
                    format!("direct through {endpoint}{}{narrow}", contact.dialect())
                }
                None => "direct".into(),
            },
            State::Suspect(_) if self.is_still_received(now) => format!(
                "WireGuard is connected; wirelink on the peer has not answered for {} s",
                heard.unwrap_or_else(|| now.since(self.since).as_secs())
            ),
            State::Suspect(why) => format!(
                "{why} for {} s",
                heard.unwrap_or_else(|| now.since(self.since).as_secs())
            ),
        }
    }
}
