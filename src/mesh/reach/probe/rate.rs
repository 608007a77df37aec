//! How much is answered: so many from one source, an address or a peer, and so many in all, whatever arrives.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use crate::mesh::base::time::Timestamp;

/// The most sources that are counted each by itself: beyond them only the total bounds.
pub const MAX_SOURCES: usize = 1024;
/// How many datagrams one source may send at once.
pub const SOURCE_BURST: u32 = 64;
/// How many of one source are taken in a second on the average.
pub const SOURCE_RATE: u32 = 32;
/// How many datagrams of all may come at once.
pub const TOTAL_BURST: u32 = 2048;
/// How many of all are taken in a second on the average: a thousand peers that all probe at once, and more.
pub const TOTAL_RATE: u32 = 2048;

/// Buckets of tokens (RFC 2697 has the idea): one for each source, and one for all.
#[derive(Debug)]
pub struct Limiter<Source = IpAddr> {
    total: Bucket,
    sources: BTreeMap<Source, Bucket>,
}

/// So many at once, and so many in a second.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    /// What is left, as of then, in billionths.
    tokens: u64,
    burst: u32,
    at: Timestamp,
}

const TOKEN: u64 = 1_000_000_000;

impl Bucket {
    /// Starts with as many as there may be at once.
    pub fn full(now: Timestamp, burst: u32) -> Self {
        Self {
            tokens: u64::from(burst) * TOKEN,
            burst,
            at: now,
        }
    }

    /// Returns how many are left, with `rate` more each second.
    pub fn left(&mut self, now: Timestamp, rate: u32) -> u32 {
        let since = now.since(self.at).min(Duration::from_secs(u64::from(self.burst)));
        let gained = u64::try_from(since.as_nanos())
            .unwrap_or(u64::MAX)
            .saturating_mul(u64::from(rate));
        self.tokens = self.tokens.saturating_add(gained).min(u64::from(self.burst) * TOKEN);
        self.at = now;
        u32::try_from(self.tokens / TOKEN).unwrap_or(u32::MAX)
    }

    /// Takes one, if there is one left.
    pub fn take(&mut self, now: Timestamp, rate: u32) -> bool {
        let has = self.left(now, rate) > 0;
        self.tokens -= if has { TOKEN } else { 0 };
        has
    }
}

impl<Source: Ord> Limiter<Source> {
    /// Starts with full buckets.
    pub fn new(now: Timestamp) -> Self {
        Self {
            total: Bucket::full(now, TOTAL_BURST),
            sources: BTreeMap::new(),
        }
    }

    /// Returns whether a datagram from there is looked at now. What one source sends too much costs the others nothing.
    pub fn admits(&mut self, now: Timestamp, source: Source) -> bool {
        if self.sources.len() >= MAX_SOURCES && !self.sources.contains_key(&source) {
            self.forget_idle(now);
        }
        let mut is_light = false;
        if self.sources.len() < MAX_SOURCES || self.sources.contains_key(&source) {
            let fresh = Bucket::full(now, SOURCE_BURST);
            let bucket = self.sources.entry(source).or_insert(fresh);
            is_light = bucket.left(now, SOURCE_RATE) > SOURCE_BURST / 2;
            if !bucket.take(now, SOURCE_RATE) {
                return false;
            }
        }
        // The second half is for those that send little: no number of floods at their full rate uses it up.
        let reserved = if is_light { 0 } else { TOTAL_BURST / 2 };
        self.total.left(now, TOTAL_RATE) > reserved && self.total.take(now, TOTAL_RATE)
    }

    /// Forgets who sent so little lately that its bucket is full again.
    fn forget_idle(&mut self, now: Timestamp) {
        let refilled = Duration::from_secs(u64::from(SOURCE_BURST.div_ceil(SOURCE_RATE)));
        self.sources.retain(|_, bucket| now.since(bucket.at) < refilled);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(number: u32) -> IpAddr {
        std::net::Ipv4Addr::from(0x0a00_0000 + number).into()
    }

    fn at(milliseconds: u64) -> Timestamp {
        Timestamp::from_start(Duration::from_millis(milliseconds))
    }

    #[test]
    fn a_flood_from_one_address_leaves_room_for_the_others() {
        let mut limiter = Limiter::new(at(0));
        let flood = (0..100_000)
            .filter(|index| limiter.admits(at(index / 100), address(1)))
            .count();
        assert_eq!(
            flood,
            (SOURCE_BURST + SOURCE_RATE - 1) as usize,
            "999 ms and what it had saved"
        );
        assert!((2..100).all(|other| limiter.admits(at(1000), address(other))));
        assert!(limiter.admits(at(2000), address(1)), "and it is heard again later");
    }

    #[test]
    fn many_floods_leave_room_for_those_that_send_little() {
        let mut limiter = Limiter::new(at(0));
        for step in 0..10_000u64 {
            // Two hundred of them want 6,400 a second, three times as much as all may.
            for liar in 0..200 {
                let _ = limiter.admits(at(step), address(liar));
            }
            if step % 100 == 0 {
                assert!(limiter.admits(at(step), address(1000)), "after {step} ms");
            }
        }
    }

    #[test]
    fn a_flood_from_everywhere_is_bounded_in_number_and_memory() {
        let mut limiter = Limiter::new(at(0));
        let admitted = (0..100_000u32)
            .filter(|index| limiter.admits(at(u64::from(index / 100)), address(*index)))
            .count();
        assert!(admitted <= (TOTAL_BURST + TOTAL_RATE) as usize, "{admitted}");
        assert!(limiter.sources.len() <= MAX_SOURCES);
        assert!(limiter.admits(at(10_000), address(7)));
    }
}
