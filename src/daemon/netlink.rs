//! What both netlink protocols share: a reply is collected whole, in time, or not at all.

use std::io;
use std::pin::pin;
use std::time::Duration;

use futures_util::{Stream, StreamExt as _};
use netlink_packet_core::{NLM_F_DUMP_INTR, NetlinkMessage, NetlinkPayload};
use tokio::task::JoinHandle;

/// How long one request may take, a dump of thousands of peers included.
pub(super) const DEADLINE: Duration = Duration::from_secs(5);

/// How often a dump is repeated that something changed under.
const DUMP_ATTEMPTS: u8 = 6;

/// More messages than any table has that a machine with this program could hold.
const MAX_MESSAGES: usize = 1 << 21;

/// Why a request got no useful answer.
#[derive(Debug, thiserror::Error)]
pub enum NetlinkError {
    /// The kernel answered with this error number.
    #[error("the kernel refused: {0}")]
    Refused(io::Error),
    /// The table changed during every attempt to read it.
    #[error("it kept changing while it was read")]
    Unstable,
    /// The table changed while it was read: the copy is incomplete and worth nothing.
    #[error("it changed while it was read")]
    Torn,
    /// There was no complete answer within five seconds.
    #[error("no answer within {} s", DEADLINE.as_secs())]
    TimedOut,
    /// The connection ended, or messages were lost.
    #[error("the netlink connection was lost")]
    Lost,
    /// The answer is not what the protocol promises.
    #[error("the kernel's answer could not be understood")]
    Malformed,
    /// The answer does not end.
    #[error("the answer has more than {MAX_MESSAGES} messages")]
    TooLarge,
}

impl NetlinkError {
    /// Returns the kernel's error number, where that was the answer.
    pub fn errno(&self) -> Option<i32> {
        match self {
            Self::Refused(error) => error.raw_os_error(),
            Self::Unstable | Self::Torn | Self::TimedOut | Self::Lost | Self::Malformed | Self::TooLarge => None,
        }
    }

    /// Says whether the connection may still be owed an answer, and so is of no more use.
    pub(super) const fn spoils_connection(&self) -> bool {
        match self {
            Self::TimedOut | Self::Lost | Self::Malformed | Self::TooLarge => true,
            Self::Refused(_) | Self::Unstable | Self::Torn => false,
        }
    }
}

/// Collects the whole answer to one request, whose connection forwards acknowledgements and ends of dumps.
pub(super) async fn collect<T>(replies: impl Stream<Item = NetlinkMessage<T>>) -> Result<Vec<T>, NetlinkError> {
    collect_within(DEADLINE, replies).await
}

async fn collect_within<T>(
    deadline: Duration,
    replies: impl Stream<Item = NetlinkMessage<T>>,
) -> Result<Vec<T>, NetlinkError> {
    tokio::time::timeout(deadline, collect_all(replies))
        .await
        .unwrap_or(Err(NetlinkError::TimedOut))
}

async fn collect_all<T>(replies: impl Stream<Item = NetlinkMessage<T>>) -> Result<Vec<T>, NetlinkError> {
    let mut replies = pin!(replies);
    let mut torn = false;
    let mut found = Vec::new();
    while let Some(reply) = replies.next().await {
        torn |= reply.header.flags & NLM_F_DUMP_INTR != 0;
        let code = match reply.payload {
            NetlinkPayload::InnerMessage(_) if found.len() >= MAX_MESSAGES => return Err(NetlinkError::TooLarge),
            NetlinkPayload::InnerMessage(message) => {
                found.push(message);
                continue;
            }
            NetlinkPayload::Error(error) => error.raw_code(),
            NetlinkPayload::Done(done) => done.code,
            NetlinkPayload::Overrun(_) => return Err(NetlinkError::Lost),
            _ => continue,
        };
        return match code {
            0 if torn => Err(NetlinkError::Torn),
            0 => Ok(found),
            code => Err(NetlinkError::Refused(io::Error::from_raw_os_error(
                code.saturating_abs(),
            ))),
        };
    }
    Err(NetlinkError::Lost)
}

/// Repeats a dump until nothing changed while it was read, a few times.
pub(super) async fn untorn<T>(
    mut dump: impl AsyncFnMut() -> Result<Vec<T>, NetlinkError>,
) -> Result<Vec<T>, NetlinkError> {
    for attempt in 1..=DUMP_ATTEMPTS {
        match dump().await {
            Err(NetlinkError::Torn) => tokio::time::sleep(pause(attempt)).await,
            result => return result,
        }
    }
    Err(NetlinkError::Unstable)
}

/// Returns how long to leave the writers alone: longer each time, and never in step with one that is periodic.
fn pause(attempt: u8) -> Duration {
    let mut jitter = [0];
    // Without randomness the pauses still differ by their length.
    let _ = getrandom::fill(&mut jitter);
    Duration::from_millis(u64::from(attempt) * 5 + u64::from(jitter[0]) / 8)
}

/// A task that ends with its owner.
#[derive(Debug)]
pub(super) struct Task(JoinHandle<()>);

impl Task {
    /// Starts the task.
    pub(super) fn spawn(task: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(tokio::spawn(task))
    }

    /// Says whether it has come to its end.
    pub(super) fn is_over(&self) -> bool {
        self.0.is_finished()
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;
    use netlink_packet_core::{DoneMessage, ErrorMessage, NLM_F_MULTIPART, NetlinkHeader};

    fn message(payload: NetlinkPayload<u8>, flags: u16) -> NetlinkMessage<u8> {
        let mut header = NetlinkHeader::default();
        header.flags = flags;
        NetlinkMessage::new(header, payload)
    }

    fn done(code: i32) -> NetlinkMessage<u8> {
        let mut done = DoneMessage::default();
        done.code = code;
        message(NetlinkPayload::Done(done), NLM_F_MULTIPART)
    }

    fn acknowledgement(code: i32) -> NetlinkMessage<u8> {
        let mut error = ErrorMessage::default();
        error.code = std::num::NonZeroI32::new(code);
        message(NetlinkPayload::Error(error), 0)
    }

    async fn reply(messages: Vec<NetlinkMessage<u8>>) -> Result<Vec<u8>, NetlinkError> {
        collect(stream::iter(messages)).await
    }

    fn part(value: u8) -> NetlinkMessage<u8> {
        message(NetlinkPayload::InnerMessage(value), NLM_F_MULTIPART)
    }

    #[tokio::test]
    async fn a_complete_dump_is_taken_and_one_without_end_is_not() {
        assert_eq!(reply(vec![part(1), part(2), done(0)]).await.unwrap(), [1, 2]);
        assert!(matches!(reply(vec![part(1)]).await, Err(NetlinkError::Lost)));
    }

    #[tokio::test]
    async fn errors_keep_their_number_wherever_they_come() {
        assert_eq!(reply(vec![acknowledgement(-19)]).await.unwrap_err().errno(), Some(19));
        assert_eq!(reply(vec![part(1), done(-1)]).await.unwrap_err().errno(), Some(1));
        assert!(reply(vec![acknowledgement(0)]).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_torn_dump_is_read_again_a_few_times() {
        let torn = || {
            vec![
                message(NetlinkPayload::InnerMessage(1), NLM_F_MULTIPART | NLM_F_DUMP_INTR),
                done(0),
            ]
        };
        let mut reads = 0;
        let calm_in_the_end = untorn(async || {
            reads += 1;
            reply(if reads < 3 { torn() } else { vec![part(7), done(0)] }).await
        });
        assert_eq!(calm_in_the_end.await.unwrap(), [7]);
        assert!(matches!(
            untorn(async || reply(torn()).await).await,
            Err(NetlinkError::Unstable)
        ));
    }

    #[tokio::test]
    async fn silence_is_an_error() {
        let silence = stream::pending::<NetlinkMessage<u8>>();
        let answer = collect_within(Duration::from_millis(10), silence).await;
        assert!(matches!(answer, Err(NetlinkError::TimedOut)));
    }
}
