//! The constants of WireGuard (paper, 6.1; `messages.h`, `enum limits`).

use std::time::Duration;

/// How long a handshake message keeps an initiation to the same peer from being sent.
pub(crate) const REKEY_TIMEOUT: Duration = Duration::from_secs(5);
/// By how much at most the timers of a handshake are drawn out, so that two sides do not run in step (`HZ / 3`).
pub(crate) const REKEY_TIMEOUT_JITTER: Duration = Duration::from_millis(333);
/// The age at which the initiator renews a session with which it sends.
pub(crate) const REKEY_AFTER_TIME: Duration = Duration::from_secs(120);
/// The age at which a session is of no more use.
pub(crate) const REJECT_AFTER_TIME: Duration = Duration::from_secs(180);
/// How long data may be left without any answer.
pub(crate) const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a handshake is tried again by itself, less one: 90 s at 5 s each, plus the jitter (`MAX_TIMER_HANDSHAKES`).
pub(crate) const MAX_TIMER_HANDSHAKES: u8 = 18;
/// How many initiations a second a peer may make this side answer.
pub(crate) const INITIATIONS_PER_SECOND: u32 = 50;
/// How many packets wait for a session of one peer.
pub(crate) const MAX_STAGED_PACKETS: usize = 128;
/// To what the stamp of an initiation is rounded down (`noise.c`, `tai64n_now`): it must not tell the time too well.
pub(super) const STAMP_GRAIN: Duration = Duration::from_nanos(1 << 24);
