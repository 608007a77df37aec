//! What the other side says of a link, and what it is told.

use super::Link;
use super::agreement::Standing;
use super::pulse::Pulse;
use crate::mesh::time::Timestamp;

impl Link {
    /// Takes in a heartbeat of the peer; returns how many there were of this session, and how this side stands.
    pub fn hear_heartbeat(&mut self, now: Timestamp, standing: Standing) -> (u32, Standing, bool) {
        let received = self.pulse.as_mut().map_or(0, |pulse| pulse.receive(now));
        let is_news = self.hear_standing(standing);
        (received, self.standing(), is_news)
    }

    /// Takes in the answer to a heartbeat; returns whether the peer stands otherwise than before.
    pub fn hear_echo(&mut self, now: Timestamp, number: u32, arrived: u32, standing: Standing) -> bool {
        if let Some(pulse) = &mut self.pulse {
            pulse.echo(now, number, arrived);
        }
        self.hear_standing(standing)
    }

    /// Takes in how the peer stands to the link; returns whether that is news.
    pub fn hear_standing(&mut self, standing: Standing) -> bool {
        self.agreement.get_or_insert_default().hear(standing)
    }

    /// Takes in that the peer was started anew.
    pub fn restart(&mut self) {
        if let Some(agreement) = &mut self.agreement {
            agreement.restart();
        }
    }

    /// Lets the link go; returns what the other side must be told, where it counts on it.
    pub fn withdraw(&mut self, now: Timestamp) -> Option<Standing> {
        let agreement = self.agreement.as_mut().filter(|agreement| agreement.own().ready)?;
        agreement.set(now, false);
        Some(agreement.own())
    }

    /// Returns how this side stands to the link.
    pub fn standing(&self) -> Standing {
        self.agreement
            .as_ref()
            .map(|agreement| agreement.own())
            .unwrap_or_default()
    }

    /// Returns the heartbeats, while there are any.
    pub fn pulse(&mut self) -> Option<&mut Pulse> {
        self.pulse.as_deref_mut()
    }

    /// Returns whether the device should be looked at often.
    pub fn is_active(&self, now: Timestamp) -> bool {
        self.pulse.as_ref().is_some_and(|pulse| pulse.is_active(now))
    }
}
