//! Pings on their way in and out.

use std::net::Ipv6Addr;

use crate::mesh::base::identity::PublicKey;
use crate::mesh::base::time::Timestamp;
use crate::mesh::believe::fact::boot::PROBES;
use crate::mesh::believe::fact::signal::{Signal, Word};
use crate::mesh::node::Node;
use crate::mesh::reach::link::Link;
use crate::mesh::reach::ping::{NoPing, Path};
use crate::mesh::show::event::Output;

impl Node {
    /// Asks a peer on both ways at once.
    pub(super) fn ping(&mut self, now: Timestamp, peer: &PublicKey, id: u64) {
        let number = self.pings.begin(now, peer, id);
        for path in Path::ALL {
            let sent = number.ok_or(NoPing::Busy).and_then(|number| {
                let through = self.ways(peer, path)?;
                self.say(peer, Word::default().pinging(number), &through)
                    .ok_or(NoPing::NotUnderstood)
            });
            if let Err(why) = sent {
                let outcome = Err(why);
                self.outputs.push_back(Output::Pong { id, path, outcome });
            }
        }
    }

    /// Returns through whom a ping goes.
    fn ways(&self, peer: &PublicKey, path: Path) -> Result<Vec<PublicKey>, NoPing> {
        let is_healthy = self.census.healthy.contains(peer);
        match path {
            Path::Direct if !is_healthy => Err(NoPing::NoSession),
            // One of v1 would complain about what it cannot read.
            Path::Direct if !self.gossip.can(peer, PROBES) => Err(NoPing::NotUnderstood),
            Path::Direct => Ok(vec![*peer]),
            Path::Relayed => {
                let mut through = self.relays(peer, PROBES);
                through.retain(|relay| relay != peer);
                (!through.is_empty()).then_some(through).ok_or(NoPing::NoRouter)
            }
        }
    }

    /// Says a word to a peer through these; `None` where nobody can.
    fn say(&mut self, to: &PublicKey, word: Word, through: &[PublicKey]) -> Option<()> {
        let standing = self.links.get(to).map(Link::standing).unwrap_or_default();
        let signal = self
            .probing
            .signal(to, word.ready_if(standing.ready), standing.version, None)?;
        let own_key = *self.auth.public_key();
        through.iter().for_each(|by| self.pass_signal(by, own_key, signal));
        Some(())
    }

    /// Answers a ping the way it came, and takes in an answer; other signals mean nothing here. What is answered is bounded, as heartbeats
    /// are.
    pub(super) fn hear_ping(
        &mut self,
        now: Timestamp,
        sender: &PublicKey,
        source: Ipv6Addr,
        subject: &PublicKey,
        signal: &Signal,
    ) {
        if let Some(number) = signal.word.ping()
            && self.echoes.admits(now, source.into())
        {
            self.say(subject, Word::default().ponging(number), &[*sender]);
        }
        if let Some(number) = signal.word.pong()
            && let Some((id, took)) = self.pings.answer(now, subject, number)
        {
            let path = if sender == subject { Path::Direct } else { Path::Relayed };
            let outcome = Ok(took);
            self.outputs.push_back(Output::Pong { id, path, outcome });
        }
    }
}
