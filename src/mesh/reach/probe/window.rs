//! Which numbers of a peer were seen: a probe that somebody kept and sends again is refused (as RFC 6479 does for IPsec).

/// The numbers of one peer: its latest epoch, and the last [`SPAN`](Self::SPAN) counters of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    epoch: u64,
    /// The greatest counter, of which bit 0 of `seen` tells.
    last: u64,
    seen: u128,
}

/// Why a number is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Stale {
    /// Of an epoch before the latest.
    #[error("of a run of the peer that is over")]
    Epoch,
    /// Seen before, or so old that it may have been.
    #[error("heard before")]
    Replayed,
}

impl Window {
    /// How much later than a greater one a counter can arrive.
    pub const SPAN: u64 = 128;

    /// Takes in that the sender was started then: what it sent before is refused from now on.
    pub fn begin(&mut self, epoch: u64) {
        if epoch > self.epoch {
            (self.epoch, self.last, self.seen) = (epoch, 0, 0);
        }
    }

    /// Takes a number in.
    ///
    /// # Errors
    /// When it was taken in before, or may have been.
    pub fn take(&mut self, epoch: u64, counter: u64) -> Result<(), Stale> {
        if epoch < self.epoch {
            return Err(Stale::Epoch);
        }
        if epoch > self.epoch || self.seen == 0 {
            (self.epoch, self.last, self.seen) = (epoch, counter, 1);
            return Ok(());
        }
        match counter.checked_sub(self.last) {
            Some(ahead @ 1..) => {
                let kept = u32::try_from(ahead).ok().and_then(|ahead| self.seen.checked_shl(ahead));
                self.seen = kept.unwrap_or(0) | 1;
                self.last = counter;
                Ok(())
            }
            Some(0) | None => self.take_late(self.last - counter),
        }
    }

    fn take_late(&mut self, behind: u64) -> Result<(), Stale> {
        let bit = if behind < Self::SPAN { 1 << behind } else { 0 };
        if bit == 0 || self.seen & bit != 0 {
            return Err(Stale::Replayed);
        }
        self.seen |= bit;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_number_counts_once_and_a_new_epoch_begins_anew() {
        let mut window = Window::default();
        assert_eq!(window.take(10, 5), Ok(()));
        assert_eq!(window.take(10, 5), Err(Stale::Replayed));
        assert_eq!(window.take(10, 3), Ok(()));
        assert_eq!(window.take(10, 3), Err(Stale::Replayed));
        assert_eq!(window.take(10, 5 + Window::SPAN), Ok(()));
        assert_eq!(window.take(10, 5), Err(Stale::Replayed), "it may have been seen");
        assert_eq!(window.take(9, 1000), Err(Stale::Epoch));
        assert_eq!(window.take(11, 0), Ok(()));
        assert_eq!(window.take(10, 1000), Err(Stale::Epoch));
        assert_eq!(window.take(11, u64::MAX), Ok(()));
        assert_eq!(window.take(11, u64::MAX), Err(Stale::Replayed));
    }

    proptest! {
        #[test]
        fn it_is_a_set_of_the_latest_numbers(numbers in proptest::collection::vec((0..3u64, 0..400u64), 0..400)) {
            let mut window = Window::default();
            let mut model: (u64, BTreeSet<u64>) = Default::default();
            for (epoch, counter) in numbers {
                if epoch > model.0 {
                    model = (epoch, BTreeSet::new());
                }
                let greatest = model.1.last().copied().unwrap_or(0);
                let is_fresh = epoch == model.0 && counter + Window::SPAN > greatest && !model.1.contains(&counter);
                prop_assert_eq!(window.take(epoch, counter).is_ok(), is_fresh, "{} {}", epoch, counter);
                if is_fresh {
                    model.1.insert(counter);
                }
            }
        }
    }
}
