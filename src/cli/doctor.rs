//! `wirelink doctor`: whether the machine gives wirelink what it needs, and what to do where it does not.
//!
//! What is looked at (`look`) is judged by functions without a side (`checks`, `firewall`); a daemon is asked where one runs, and
//! need not.

mod checks;
mod firewall;
mod forward;
mod iptables;
mod look;
mod nft;
#[cfg(test)]
mod tests;

use std::io::Write;

use clap::Args;
use serde::Serialize;

use super::client::Which;
use super::print;

/// The flags of `wirelink doctor`.
#[derive(Clone, Debug, Args)]
pub struct DoctorArgs {
    #[command(flatten)]
    which: Which,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Something is wrong; what it is was printed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} of the checks failed")]
pub struct Unwell(usize);

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Finding {
    /// Which check.
    check: &'static str,
    state: State,
    /// What is so.
    text: String,
    /// What to do about it, where that is something.
    remedy: Option<String>,
}

/// How bad that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum State {
    Ok,
    /// It could not be looked at.
    Unknown,
    /// Something works less well, or may not.
    Warn,
    /// wirelink cannot work like that.
    Fail,
}

/// Looks, judges, and prints.
///
/// # Errors
/// When something is wrong, or several daemons run and none is named.
pub fn run(args: &DoctorArgs, output: impl Write) -> anyhow::Result<()> {
    let seen = look::look(&args.which)?;
    let findings = checks::all(&seen);
    let text = if args.json {
        serde_json::to_string_pretty(&findings)? + "\n"
    } else {
        findings.iter().map(Finding::words).collect()
    };
    print(output, &text)?;
    match findings.iter().filter(|finding| finding.state == State::Fail).count() {
        0 => Ok(()),
        failed => Err(Unwell(failed).into()),
    }
}

impl Finding {
    fn new(check: &'static str, state: State, text: impl Into<String>) -> Self {
        let text = text.into();
        Self {
            check,
            state,
            text,
            remedy: None,
        }
    }

    fn ok(check: &'static str, text: impl Into<String>) -> Self {
        Self::new(check, State::Ok, text)
    }

    fn unknown(check: &'static str, text: impl Into<String>) -> Self {
        Self::new(check, State::Unknown, text)
    }

    fn warn(check: &'static str, text: impl Into<String>) -> Self {
        Self::new(check, State::Warn, text)
    }

    fn fail(check: &'static str, text: impl Into<String>) -> Self {
        Self::new(check, State::Fail, text)
    }

    fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    fn words(&self) -> String {
        let state = match self.state {
            State::Ok => "ok",
            State::Unknown => "?",
            State::Warn => "warn",
            State::Fail => "FAIL",
        };
        let remedy = self
            .remedy
            .as_ref()
            .map_or(String::new(), |remedy| format!("; {remedy}"));
        format!("{state:<4} {:<11} {}{remedy}\n", self.check, self.text)
    }
}
