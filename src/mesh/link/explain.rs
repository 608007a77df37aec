//! A link in the words of its operator.

use super::candidate::Candidate;
use super::{Contact, Link, State};
use crate::mesh::time::Timestamp;

impl Link {
    /// Returns in one line why traffic does not take this way, or that it does.
    pub fn explain(&self, now: Timestamp, contact: &Contact, candidates: &[Candidate]) -> String {
        let heard = contact
            .liveness
            .map(|liveness| now.since(liveness.last_heard()).as_secs());
        match self.state {
            State::Idle => "no endpoint is known for it".into(),
            State::Probing if contact.is_healthy(now) => match heard {
                Some(seconds) => format!("WireGuard is connected; wirelink there was last heard {seconds} s ago"),
                None => "WireGuard is connected; no wirelink was heard there: does it run, on the same port?".into(),
            },
            State::Probing => match (&self.nominee, &self.slots) {
                (Some(nominee), _) => format!("{} answered a probe, and WireGuard begins there", nominee.endpoint()),
                (None, Some(slots)) => slots.explain(now, candidates),
                (None, None) => format!("no answer yet from any of {} candidates", candidates.len()),
            },
            State::Up if !self.carries() => "it works; traffic waits until the other side says the same".into(),
            State::Up => match contact.endpoint {
                Some(endpoint) => {
                    let narrow = self.narrow().map(|narrow| format!("; {narrow}")).unwrap_or_default();
                    format!("direct through {endpoint}{}{narrow}", contact.dialect())
                }
                None => "direct".into(),
            },
            State::Suspect(why) => format!(
                "{why} for {} s",
                heard.unwrap_or_else(|| now.since(self.since).as_secs())
            ),
        }
    }
}
