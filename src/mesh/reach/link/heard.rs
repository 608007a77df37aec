//! What the other side says of a link, and what it is told.

use super::Contact;
use super::Link;
use super::agreement::Standing;
use super::fit::{Fit, Found, Narrow};
use super::pulse::Pulse;
use super::quality::Quality;
use crate::mesh::base::time::Timestamp;
use crate::mesh::believe::fact::heartbeat::{Echo, Heartbeat};

/// The meaning of an echo for a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Whether it answers a heartbeat of this side that still waits for its answer. Everything else is the peer's invention.
    pub is_asked: bool,
    /// Whether there is something to do.
    pub is_news: bool,
}

impl Link {
    /// Takes in a heartbeat of the peer; returns how many there were of this session, and whether there is something to
    /// do.
    pub fn hear_heartbeat(&mut self, now: Timestamp, beat: &Heartbeat) -> (u32, bool) {
        let received = self.pulse.as_mut().map_or(0, |pulse| pulse.receive(now, beat.number));
        let is_called = beat.turns && self.hear_turn(now);
        (received, self.hear_standing(now, standing(beat)) || is_called)
    }

    /// Takes in the answer to a heartbeat.
    pub fn hear_echo(&mut self, now: Timestamp, echo: &Echo) -> Answer {
        let (is_sized, number) = (echo.beat.is_sized(), echo.beat.number);
        let is_asked = if is_sized {
            let is_asked = self.fit.as_ref().is_some_and(|fit| fit.awaits(number));
            let found = self.fit.as_mut().and_then(|fit| fit.answer(now, number));
            self.fits = found.or(self.fits);
            is_asked
        } else {
            let pulse = self.pulse.as_mut();
            pulse.is_some_and(|pulse| pulse.echo(now, number, echo.received, echo.at))
        };
        let is_searching = is_sized && (self.fits.is_some() || self.fit.as_ref().is_some_and(|fit| fit.is_busy()));
        let is_news = self.hear_standing(now, standing(&echo.beat)) || is_searching;
        Answer { is_asked, is_news }
    }

    /// Follows which packets the path takes, while it works and is wanted; returns what is found.
    pub(super) fn keep_fit(&mut self, now: Timestamp, contact: &Contact) -> Option<Found> {
        let is_wanted = self.is_up() && !self.paused;
        let pulse = self.pulse.as_mut().filter(|_| is_wanted)?;
        let fit = self.fit.get_or_insert_with(|| Box::new(Fit::new(now)));
        fit.follow(now, contact.mtu, contact.endpoint);
        let judged = fit.judge(now, pulse.patience(), pulse.echoed());
        if fit.next(pulse.patience()).is_some_and(|at| at <= now) && !pulse.is_doubted() {
            pulse.hurry(now);
        }
        self.fits.take().or(judged)
    }

    /// Returns when that goes on without a heartbeat coming by.
    pub(super) fn fit_next(&self) -> Option<Timestamp> {
        let pulse = self
            .pulse
            .as_ref()
            .filter(|pulse| self.is_up() && !self.paused && !pulse.is_doubted())?;
        self.fit.as_ref()?.next(pulse.patience())
    }

    /// Returns what its path drops, where it drops long packets.
    pub fn narrow(&self) -> Option<Narrow> {
        self.fit.as_ref().filter(|_| self.is_up())?.narrow()
    }

    /// Returns how good the path is, while there is one.
    pub fn quality(&self, now: Timestamp) -> Option<Quality> {
        self.pulse.as_ref().map(|pulse| pulse.measured(now))
    }

    /// Returns whether the peer answers heartbeats on a session now.
    pub fn has_pulse(&self) -> bool {
        self.pulse.is_some()
    }

    /// Takes in how the peer stands to the link; returns whether that is news.
    pub fn hear_standing(&mut self, now: Timestamp, standing: Standing) -> bool {
        self.agreement.get_or_insert_default().hear(now, standing)
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

fn standing(beat: &Heartbeat) -> Standing {
    Standing {
        version: beat.version,
        ready: beat.ready,
    }
}
