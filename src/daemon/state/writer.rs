//! Writes the file beside the event loop, so that a slow disk keeps nothing waiting but what must come after the writing.

use tokio::task::{JoinHandle, spawn_blocking};

use super::StateFile;
use crate::mesh::keep::memory::Memory;

/// The file, or the writing that has it now; neither where nothing is kept.
#[derive(Debug)]
pub(in crate::daemon) struct Writer {
    file: Option<StateFile>,
    writing: Option<JoinHandle<StateFile>>,
}

impl Writer {
    /// Takes the file; nothing is written yet.
    pub(in crate::daemon) const fn new(file: Option<StateFile>) -> Self {
        Self { file, writing: None }
    }

    /// Returns whether something is written now.
    pub(in crate::daemon) const fn is_writing(&self) -> bool {
        self.writing.is_some()
    }

    /// Returns whether the next start will find what was to be remembered last; once nothing is written any more.
    pub(in crate::daemon) fn is_kept(&self) -> bool {
        self.file.as_ref().is_some_and(StateFile::is_kept)
    }

    /// Starts to write what is to be remembered; not while something else is written.
    pub(in crate::daemon) fn start(&mut self, memory: Box<Memory>) {
        self.writing = self.file.take().map(|mut file| {
            spawn_blocking(move || {
                file.save(&memory);
                file
            })
        });
    }

    /// Waits until nothing is written any more. Given up halfway, it may be called again.
    pub(in crate::daemon) async fn settle(&mut self) {
        if let Some(writing) = &mut self.writing {
            let written = writing.await;
            self.writing = None;
            self.file = Some(written.expect("writing neither panics nor is it ended"));
        }
    }

    /// Writes what is to be remembered, and waits until that is done.
    pub(in crate::daemon) async fn save(&mut self, memory: Box<Memory>) {
        self.settle().await;
        self.start(memory);
        self.settle().await;
    }

    /// Goes by another name of the interface from now on.
    pub(in crate::daemon) async fn rename(&mut self, iface: &str) {
        self.settle().await;
        if let Some(file) = &mut self.file {
            file.rename(iface);
        }
    }
}
