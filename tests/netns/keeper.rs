//! A program that keeps an interface configured: it runs beside the test, in namespaces of its own, and is asked by numbered files.

use std::path::PathBuf;
use std::time::Duration;

use crate::command::{self, Process};
use crate::lab::Lab;

/// How long it may take to start, or to do what it is asked; an emulated guest is slow.
const ANSWER_WITHIN: Duration = Duration::from_secs(45);

/// A program that keeps the interface of `a` configured.
pub(crate) struct Keeper {
    name: &'static str,
    program: Process,
    folder: PathBuf,
    asked: u32,
}

impl Keeper {
    /// Starts a script as the first process of namespaces of its own, with the folder of the lab as its first argument.
    pub(crate) fn start(lab: &Lab, name: &'static str, script: &str, arguments: &str) -> Self {
        let file = lab.logs.join(format!("{name}.sh"));
        std::fs::write(&file, script).expect("the folder of the lab can be written");
        let own = "unshare --mount --pid --ipc --uts --fork --kill-child --mount-proc bash";
        let line = format!("{own} {} {} {arguments}", file.display(), lab.logs.display());
        let keeper = Self {
            name,
            program: lab.spawn("a", &line, &format!("{name}.log")),
            folder: lab.logs.clone(),
            asked: 0,
        };
        keeper.expect("ready");
        keeper
    }

    /// Returns what it printed until now.
    pub(crate) fn output(&self) -> String {
        self.program.output()
    }

    /// Has it do something, and waits until that is done.
    #[track_caller]
    pub(crate) fn ask(&mut self, what: &str) {
        self.asked += 1;
        let name = format!("{}.{}", self.name, self.asked);
        // By another name first, so that it is read whole.
        let draft = self.folder.join(format!("{}.draft", self.name));
        let written = std::fs::write(&draft, what).and_then(|()| std::fs::rename(&draft, self.folder.join(name)));
        written.expect("the folder of the lab can be written");
        self.expect(&format!("done {}", self.asked));
    }

    #[track_caller]
    fn expect(&self, words: &str) {
        let line = format!("{}: {words}\n", self.name);
        let came = command::until(ANSWER_WITHIN, || self.output().contains(&line).then_some(()));
        assert_eq!(came, Some(()), "{words}: {}", self.output());
    }
}
