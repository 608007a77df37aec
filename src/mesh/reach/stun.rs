//! STUN servers (RFC 8489): when each is asked from where it sees this node, which answers count, and for how long.
//!
//! An answer counts from the address that was asked alone, with the transaction that was drawn for the question, once, and in time. No
//! key protects it: somebody on the way to a server can say what it likes, and so can the server. What it gains is an endpoint that
//! nobody answers at, or a NAT that is taken for a worse one; what peers see counts as much.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use chacha20::ChaCha20Rng;
use chacha20::rand_core::Rng as _;

use crate::mesh::base::time::Timestamp;

/// How often a question is sent: one that is lost may not be the only one.
const TRIES: u32 = 4;
/// How long after the first the second follows; each further one takes twice as long (RFC 8489, 6.2.1).
const RETRY: Duration = Duration::from_millis(500);
/// How long an answer is waited for: as long again as it was asked for.
const PATIENCE: Duration = Duration::from_secs(8);
/// How long it takes at least until a server is asked anew, and how much longer it may be: many nodes that were started together
/// do not stay together.
const ASK_AGAIN: Duration = Duration::from_secs(120);
const JITTER: Duration = Duration::from_secs(30);
/// The shortest time between two questions where the network changes all the time.
const AT_LEAST: Duration = Duration::from_millis(500);
/// How long counts what was seen: until the next answer is there.
const SEEN_FOR: Duration = Duration::from_secs(180);

/// What tells one question from another, 96 random bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Transaction(pub [u8; 12]);

/// What a server says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// To which question.
    pub transaction: Transaction,
    /// From where it came.
    pub seen: SocketAddr,
}

/// Why an answer is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Dropped {
    /// It cannot be read, or says no address.
    #[error("malformed")]
    Malformed,
    /// Nobody asked there, or not this, or too long ago.
    #[error("not asked for")]
    Unasked,
}

/// The servers by their addresses, and what they say.
#[derive(Debug, Default)]
pub struct Stun {
    servers: BTreeMap<SocketAddr, Server>,
    /// Those that are asked now.
    wanted: Vec<SocketAddr>,
}

#[derive(Debug)]
struct Server {
    /// The question; nothing once it was answered.
    open: Option<Transaction>,
    began: Timestamp,
    tries: u32,
    /// When the question is sent once more.
    retry: Timestamp,
    /// When it is asked anew.
    again: Timestamp,
    seen: Option<(SocketAddr, Timestamp)>,
}

impl Stun {
    /// Has these addresses asked from now on; returns which now, and with what.
    pub fn ask(
        &mut self,
        now: Timestamp,
        wanted: Vec<SocketAddr>,
        random: &mut ChaCha20Rng,
    ) -> Vec<(SocketAddr, Transaction)> {
        self.servers
            .retain(|address, server| wanted.contains(address) || now < server.again);
        let questions = wanted.iter().filter_map(|address| {
            let server = self.servers.entry(*address).or_insert_with(|| Server::new(now));
            server.ask(now, random).map(|transaction| (*address, transaction))
        });
        let questions = questions.collect();
        self.wanted = wanted;
        questions
    }

    /// Returns when to [`ask`](Self::ask) again.
    pub fn next(&self) -> Option<Timestamp> {
        let wanted = self.wanted.iter().filter_map(|address| self.servers.get(address));
        wanted.map(Server::next).min()
    }

    /// Takes an answer in; returns from where the server sees this node.
    ///
    /// # Errors
    /// When it is not one to a question that waits for it.
    pub fn hear(&mut self, now: Timestamp, source: SocketAddr, answer: Answer) -> Result<(), Dropped> {
        let server = self.servers.get_mut(&source).ok_or(Dropped::Unasked)?;
        if server.open != Some(answer.transaction) || now.since(server.began) >= PATIENCE {
            return Err(Dropped::Unasked);
        }
        server.open = None;
        server.seen = Some((answer.seen, now));
        Ok(())
    }

    /// Returns what each server saw lately.
    pub fn seen(&self, now: Timestamp) -> impl Iterator<Item = SocketAddr> {
        let seen = self.servers.values().filter_map(|server| server.seen);
        seen.filter(move |(_, at)| now.since(*at) < SEEN_FOR)
            .map(|(seen, _)| seen)
    }

    /// Returns whether a server left its last question without an answer: its name may lead elsewhere by now.
    pub fn is_silent(&self, now: Timestamp, address: &SocketAddr) -> bool {
        let server = self.servers.get(address);
        server.is_some_and(|server| server.open.is_some() && now.since(server.began) >= PATIENCE)
    }

    /// Forgets what was seen, and has all asked anew: this machine is elsewhere.
    pub fn forget(&mut self) {
        for server in self.servers.values_mut() {
            (server.seen, server.open, server.again) = (None, None, server.began + AT_LEAST);
        }
    }
}

impl Server {
    /// Makes one that is asked at once.
    fn new(now: Timestamp) -> Self {
        Self {
            open: None,
            began: now,
            tries: 0,
            retry: now,
            again: now,
            seen: None,
        }
    }

    fn waits(&self) -> bool {
        self.open.is_some() && self.tries < TRIES
    }

    fn next(&self) -> Timestamp {
        if self.waits() {
            self.retry.min(self.again)
        } else {
            self.again
        }
    }

    /// Returns the question, if it is to be sent now.
    fn ask(&mut self, now: Timestamp, random: &mut ChaCha20Rng) -> Option<Transaction> {
        if now < self.next() {
            return None;
        }
        if self.again <= now {
            let mut transaction = [0; 12];
            random.fill_bytes(&mut transaction);
            let jitter = JITTER.mul_f64(f64::from(random.next_u32()) / f64::from(u32::MAX));
            self.open = Some(Transaction(transaction));
            (self.began, self.tries, self.again) = (now, 0, now + ASK_AGAIN + jitter);
        }
        self.retry = now + RETRY * (1 << self.tries);
        self.tries += 1;
        self.open
    }
}

#[cfg(test)]
mod tests {
    use chacha20::rand_core::SeedableRng as _;

    use super::*;

    fn at(milliseconds: u64) -> Timestamp {
        Timestamp::from_start(Duration::from_millis(milliseconds))
    }

    fn address(last: u8) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, last], 3478))
    }

    fn random(seed: u8) -> ChaCha20Rng {
        ChaCha20Rng::from_seed([seed; 32])
    }

    fn answer(transaction: Transaction, port: u16) -> Answer {
        let seen = SocketAddr::from(([203, 0, 113, 1], port));
        Answer { transaction, seen }
    }

    /// Asks one server for as long as that; returns when, and with what.
    fn course(stun: &mut Stun, from: u64, until: u64, random: &mut ChaCha20Rng) -> Vec<(u64, Transaction)> {
        let mut asked = Vec::new();
        for millisecond in (from..until).step_by(100) {
            let questions = stun.ask(at(millisecond), vec![address(1)], random);
            asked.extend(questions.into_iter().map(|(_, transaction)| (millisecond, transaction)));
        }
        asked
    }

    #[test]
    fn a_question_is_repeated_until_it_is_answered_or_in_vain_and_asked_anew_after_two_minutes() {
        let (mut stun, mut random) = (Stun::default(), random(1));
        let asked = course(&mut stun, 0, 110_000, &mut random);
        assert_eq!(
            asked.iter().map(|(at, _)| *at).collect::<Vec<_>>(),
            [0, 500, 1500, 3500]
        );
        assert!(asked.iter().all(|(_, transaction)| *transaction == asked[0].1));
        assert!(stun.is_silent(at(110_000), &address(1)));
        let next = stun.next().unwrap();
        assert!((at(120_000)..at(150_001)).contains(&next), "{next:?}");
        let again = course(&mut stun, 110_000, 150_100, &mut random);
        let (asked_at, transaction) = again[0];
        assert_ne!(transaction, asked[0].1);
        let heard = stun.hear(at(asked_at + 7900), address(1), answer(transaction, 5));
        assert_eq!(heard, Ok(()));
        assert_eq!(course(&mut stun, asked_at + 8000, asked_at + 120_000, &mut random), []);
    }

    #[test]
    fn only_the_server_that_was_asked_is_believed_and_once_and_in_time() {
        let (mut stun, mut random) = (Stun::default(), random(2));
        let (_, transaction) = stun.ask(at(0), vec![address(1)], &mut random)[0];
        let said = answer(transaction, 5);
        let other_port = SocketAddr::new(address(1).ip(), 3479);
        for wrong in [address(2), other_port] {
            assert_eq!(stun.hear(at(1), wrong, said), Err(Dropped::Unasked));
        }
        let guessed = answer(Transaction([0; 12]), 5);
        assert_eq!(stun.hear(at(1), address(1), guessed), Err(Dropped::Unasked));
        assert_eq!(stun.hear(at(8000), address(1), said), Err(Dropped::Unasked), "late");
        assert_eq!(stun.seen(at(2)).count(), 0);
        assert_eq!(stun.hear(at(7999), address(1), said), Ok(()));
        assert_eq!(
            stun.hear(at(7999), address(1), answer(transaction, 6)),
            Err(Dropped::Unasked)
        );
        assert_eq!(stun.seen(at(8000)).collect::<Vec<_>>(), [said.seen]);
        assert_eq!(stun.seen(at(7999 + 180_000)).count(), 0, "nothing lives for ever");
    }

    #[test]
    fn a_change_of_the_network_has_all_asked_at_once_but_not_all_the_time() {
        let (mut stun, mut random) = (Stun::default(), random(3));
        let (_, transaction) = stun.ask(at(0), vec![address(1)], &mut random)[0];
        assert_eq!(stun.hear(at(1), address(1), answer(transaction, 5)), Ok(()));
        stun.forget();
        assert_eq!(stun.seen(at(2)).count(), 0);
        assert_eq!(stun.ask(at(100), vec![address(1)], &mut random), []);
        assert_eq!(stun.ask(at(2000), vec![address(1)], &mut random).len(), 1);
        stun.forget();
        assert_eq!(stun.ask(at(60_000), vec![address(1)], &mut random).len(), 1);
    }

    #[test]
    fn a_need_that_comes_and_goes_asks_no_more_often_and_who_is_not_needed_is_forgotten() {
        let (mut stun, mut random) = (Stun::default(), random(4));
        let mut asked = 0;
        for second in 0..120 {
            let wanted = if second % 2 == 0 { vec![address(1)] } else { Vec::new() };
            asked += stun.ask(at(second * 1000), wanted, &mut random).len();
        }
        assert!(asked <= 4, "{asked}");
        stun.ask(at(300_000), Vec::new(), &mut random);
        assert!(stun.servers.is_empty() && stun.next().is_none());
    }
}
