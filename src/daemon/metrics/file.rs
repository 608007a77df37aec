//! Metrics in a file, for the textfile collector of node_exporter.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};

use super::source::{Kind, Source};

/// How often it is written: node_exporter is asked every 15 s as a rule.
const EVERY: Duration = Duration::from_secs(15);

/// Writes the file for as long as this runs, and takes it away then: values that nobody renews look like news.
pub(super) async fn keep(path: PathBuf, source: Source) {
    let _gone_at_the_end = Written(path.clone());
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_failing = false;
    loop {
        ticks.tick().await;
        let Some(shown) = source.ask().await else { continue };
        let (to, text) = (path.clone(), shown.text(Kind::Classic));
        drop(shown);
        let replaced = spawn_blocking(move || replace(&to, text.as_ref())).await;
        let replaced = replaced.unwrap_or_else(|_| Err(io::ErrorKind::Other.into()));
        if let Err(error) = &replaced
            && !is_failing
        {
            // What wirelink may write was settled when it started.
            let hint = match error.kind() {
                io::ErrorKind::PermissionDenied => {
                    "; wirelink's user or group must be allowed to write there, and a folder that a reload named takes a restart"
                }
                _ => "",
            };
            tracing::warn!("metrics cannot be written to {}: {error}{hint}", path.display());
        }
        is_failing = replaced.is_err();
    }
}

struct Written(PathBuf);

impl Drop for Written {
    fn drop(&mut self) {
        fs::remove_file(&self.0).ok();
    }
}

/// Puts a text in the place of the file, whole: whoever reads finds the old one or the new one. Anybody may read it.
fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    let draft = path.with_extension("prom.new");
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o644)
        .open(&draft)?;
    let written = file
        .write_all(text)
        .and_then(|()| file.set_permissions(fs::Permissions::from_mode(0o644)))
        .and_then(|()| fs::rename(&draft, path));
    if written.is_err() {
        fs::remove_file(&draft).ok();
    }
    written
}
