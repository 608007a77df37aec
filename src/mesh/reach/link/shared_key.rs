//! Whether two machines use one key: their boot IDs take turns, while a machine that starts anew never has an earlier one again.

use std::time::Duration;

use crate::mesh::base::time::Timestamp;
use crate::mesh::believe::fact::boot::BootId;

/// How many former boot IDs of a peer are compared: as many machines with its key are found, and one more.
const FORMER: usize = 3;
/// How long after a change of the boot ID the former one shows another machine: datagrams overtake one another by less.
const APART: Duration = Duration::from_secs(1);
/// How often a former boot ID must return.
const RETURNS: u8 = 2;
/// For how long that counts.
const COUNTS_FOR: Duration = Duration::from_secs(600);
/// How often it is told.
const TELL_EVERY: Duration = Duration::from_secs(3600);

/// The advice to the operator.
pub const REMEDY: &str = "give each machine a key of its own (`wg genkey`), and list its public key (`wg pubkey`) at the peers of that machine";

/// The former boot IDs of one peer.
#[derive(Debug, Default)]
pub struct Runs {
    former: [Option<BootId>; FORMER],
    changed: Timestamp,
    returns: u8,
    returned: Option<Timestamp>,
    told: Option<Timestamp>,
}

impl Runs {
    /// Takes in that a peer has another boot ID than before.
    pub fn change(&mut self, now: Timestamp, before: BootId, after: BootId) {
        let is_apart = now.since(self.changed) >= APART;
        if is_apart && self.former.contains(&Some(after)) {
            if self.returned.is_some_and(|at| now.since(at) >= COUNTS_FOR) {
                self.returns = 0;
            }
            self.returns = self.returns.saturating_add(1);
            self.returned = Some(now);
        }
        if !self.former.contains(&Some(before)) {
            self.former.rotate_right(1);
            self.former[0] = Some(before);
        }
        self.changed = now;
    }

    /// Returns whether several machines use the key of the peer.
    pub fn is_shared(&self, now: Timestamp) -> bool {
        let is_lately = self.returned.is_some_and(|at| now.since(at) < COUNTS_FOR);
        is_lately && self.returns >= RETURNS
    }

    /// Returns whether to tell that several machines use the key, and counts on it being told.
    pub fn take_news(&mut self, now: Timestamp) -> bool {
        let is_news = self.is_shared(now) && self.told.is_none_or(|at| now.since(at) >= TELL_EVERY);
        if is_news {
            self.told = Some(now);
        }
        is_news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: u64) -> Timestamp {
        Timestamp::from_start(Duration::from_millis(milliseconds))
    }

    fn boot(number: u8) -> BootId {
        BootId::from_bytes([number; BootId::LEN])
    }

    /// Has a peer heard with these boot IDs, one each so many milliseconds; returns whether its key is shared in the end.
    fn shared(every: u64, numbers: &[u8]) -> bool {
        let mut runs = Runs::default();
        let mut now = 10_000;
        for pair in numbers.windows(2) {
            now += every;
            if pair[0] != pair[1] {
                runs.change(at(now), boot(pair[0]), boot(pair[1]));
            }
        }
        let is_shared = runs.is_shared(at(now));
        assert_eq!(runs.take_news(at(now)), is_shared);
        assert!(!runs.take_news(at(now)), "told once");
        assert!(!runs.is_shared(at(now + 600_000)), "not for ever");
        is_shared
    }

    #[test]
    fn boot_ids_that_take_turns_show_a_shared_key() {
        assert!(shared(5_000, &[1, 2, 1, 2]));
        assert!(shared(5_000, &[1, 1, 2, 2, 1, 1, 1, 2]));
        assert!(shared(5_000, &[1, 2, 3, 1, 2]), "three machines");
    }

    #[test]
    fn restarts_and_late_datagrams_show_none() {
        assert!(!shared(5_000, &[1, 2, 3, 4, 5, 6]), "it starts anew all the time");
        assert!(!shared(5_000, &[1, 2, 1, 1, 1]), "once may be chance");
        assert!(!shared(20, &[1, 2, 1, 2, 1, 2]), "datagrams overtake one another");
    }
}
