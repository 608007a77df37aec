//! What is remembered of one peer.

use super::batch::Batch;
use super::exchange::Exchange;
use super::offer::{Context, Offers};
use super::vouched::Vouched;
use super::{Audience, EARLY, Recipient};
use crate::mesh::base::time::Timestamp;
use crate::mesh::believe::fact::boot::BootId;

/// A peer, as it was spoken to and heard.
#[derive(Debug, Default)]
pub(super) struct Peer {
    /// The boot ID that counts, and since when.
    pub(super) boot_id: Option<(BootId, Timestamp)>,
    /// When the peer was last told that we live; never, where it must be told at once.
    pub(super) alive_told: Option<Timestamp>,
    pub(super) alive_due: Timestamp,
    pub(super) answered: Option<Timestamp>,
    /// What is exchanged beside that; most peers of a leaf exchange nothing.
    pub(super) exchange: Option<Box<Exchange>>,
}

impl Peer {
    pub(super) fn can(&self, capability: u32) -> bool {
        self.capabilities() & capability != 0
    }

    fn capabilities(&self) -> u32 {
        let announced = self.boot_id.and_then(|(boot_id, _)| boot_id.announcement());
        announced.map_or(0, |announced| announced.capabilities)
    }

    pub(super) fn exchange(&mut self) -> &mut Exchange {
        self.exchange.get_or_insert_default()
    }

    /// Takes in what is decided about the peer now, and collects what it is told beside that we live.
    pub(super) fn collect(
        &mut self,
        context: &Context<'_>,
        offers: &mut Offers<'_>,
        recipient: &Recipient,
        mut batch: Batch,
        vouched: &mut Option<Vouched>,
    ) -> Batch {
        let now = context.now;
        self.alive_due = self.alive_told.map_or(now, |told| told + recipient.alive_period);
        let capabilities = self.capabilities();
        if self.exchange.is_none() && recipient.audience == Audience::AliveOnly {
            return batch;
        }
        let speaks_anyway = self.alive_due <= now + EARLY;
        let exchange = self.exchange();
        exchange.adopt(now, recipient.audience, capabilities);
        exchange.collect(now, offers, &recipient.peer, &mut batch);
        if (speaks_anyway || !batch.is_empty()) && exchange.digest_is_due(now, &batch) {
            let vouched = vouched.get_or_insert_with(|| Vouched::of(context));
            exchange.sum_up(context, vouched, &mut batch);
        }
        batch
    }
}
