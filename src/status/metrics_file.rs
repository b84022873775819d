//! The metrics as a file, for the textfile collector of Prometheus' `node_exporter`.
//!
//! The file is replaced as a whole, so that no collector reads half of one; the name beside it ends in `.tmp`, which the
//! collector passes over. It stays when the daemon ends: its age, which the collector tells as
//! `node_textfile_mtime_seconds`, says so. Nothing here can harm the daemon: what fails is told once and tried again.
//! The directory is another service's: no link in it is followed, and no file in it is written to that is not new.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{info, warn};

use super::{Dialect, Requester, ask};
use crate::entry::Entry;
use crate::report::printable;

/// How often the file is written.
const PERIOD: Duration = Duration::from_secs(15);
/// The collector is another user; less the umask.
const MODE: u32 = 0o644;

/// Writes the metrics to `file` at once and then every 15 seconds, until the loop does not take requests any more.
pub async fn write_metrics(file: PathBuf, requester: Requester) {
    let mut ticks = interval(PERIOD);
    // A disk that was slow is not made up for.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_failing = false;
    loop {
        ticks.tick().await;
        let Some(snapshot) = ask(&requester).await else {
            return;
        };
        let text = snapshot.metrics(Dialect::Prometheus);
        let path = file.clone();
        let written = spawn_blocking(move || replace(&path, &text)).await;
        match written.unwrap_or_else(|panic| Err(io::Error::other(panic))) {
            Ok(()) if is_failing => {
                info!("{}: metrics are written again", printable(&file));
                is_failing = false;
            }
            Err(error) if !is_failing => {
                warn!("{}: metrics cannot be written: {error}", printable(&file));
                is_failing = true;
            }
            _ => {}
        }
    }
}

/// Puts `text` into the place of `file`, readable by everyone.
fn replace(file: &Path, text: &str) -> io::Result<()> {
    let entry = Entry::open(file)?;
    let new = entry.beside(".tmp");
    new.remove()?;
    let written = new
        .create(MODE)
        .and_then(|mut new| new.write_all(text.as_bytes()))
        .and_then(|()| new.rename(&entry));
    if written.is_err() {
        let _ = new.remove();
    }
    written
}
