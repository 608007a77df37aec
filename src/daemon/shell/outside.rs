//! What comes from outside while nothing is due.

use std::io;

use anyhow::Context as _;

use super::Shell;
use crate::daemon::control::Asked;
use crate::daemon::metrics::Wanted;
use crate::daemon::resolver::Answer;

/// What came.
pub(super) enum Came<Question = Asked, Wish = Wanted, Found = Answer> {
    /// A question on the control socket.
    Asked(Question),
    /// The wish for metrics.
    Wanted(Wish),
    /// A notice that the machine is different.
    Changed,
    /// The addresses of a name.
    Answered(Found),
    /// Probes, or why none can be received.
    Probes(io::Result<()>),
    /// Facts, or why none can be received.
    Facts(io::Result<()>),
}

/// Waits until something comes; may be cancelled where all that is waited for may be. Of what is there already any may be the next: nobody
/// who asks or sends without end keeps the rest waiting.
pub(super) async fn next<Question, Wish, Found>(
    asked: impl Future<Output = Question>,
    wanted: impl Future<Output = Wish>,
    changed: impl Future<Output = ()>,
    answered: impl Future<Output = Found>,
    probes: impl Future<Output = io::Result<()>>,
    facts: impl Future<Output = io::Result<()>>,
) -> Came<Question, Wish, Found> {
    tokio::select! {
        question = asked => Came::Asked(question),
        wish = wanted => Came::Wanted(wish),
        () = changed => Came::Changed,
        found = answered => Came::Answered(found),
        readable = probes => Came::Probes(readable),
        readable = facts => Came::Facts(readable),
    }
}

impl Shell {
    /// Does what is to be done about what came.
    pub(super) async fn take_in(&mut self, came: Came) -> anyhow::Result<()> {
        match came {
            Came::Asked(asked) => self.answer(asked).await,
            Came::Wanted(wanted) => self.show_metrics(wanted).await,
            Came::Changed => self.look_around().await?,
            Came::Answered(answer) => self.take_answer(answer),
            Came::Probes(readable) => self.hear_probes(readable),
            Came::Facts(readable) => {
                readable.context("the socket failed")?;
                self.hear();
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn whoever_waits_has_its_turn_however_many_others_do() {
        let mut turns = [0; 6];
        for _ in 0..1200 {
            let facts = async { Ok(()) };
            let came = next(ready(()), ready(()), ready(()), ready(()), ready(Ok(())), facts).await;
            turns[match came {
                Came::Asked(()) => 0,
                Came::Wanted(()) => 1,
                Came::Changed => 2,
                Came::Answered(()) => 3,
                Came::Probes(_) => 4,
                Came::Facts(_) => 5,
            }] += 1;
        }
        assert!(turns.iter().all(|turns| *turns > 100), "{turns:?}");
    }

    #[tokio::test(flavor = "current_thread")]
    async fn questions_without_end_leave_most_turns_to_facts_and_facts_some_to_questions() {
        let mut answered = 0;
        for _ in 0..1200 {
            let none = pending::<()>;
            let came = next(ready(()), none(), none(), none(), pending(), ready(Ok(()))).await;
            answered += usize::from(matches!(came, Came::Asked(())));
        }
        assert!((100..600).contains(&answered), "{answered}");
    }
}
