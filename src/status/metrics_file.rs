//! The metrics as a file, for the textfile collector of Prometheus' `node_exporter`.
//!
//! The file is replaced as a whole, so that no collector reads half of one; the name beside it ends in `.tmp`, which the
//! collector passes over. It stays when the daemon ends: its age, which the collector tells as
//! `node_textfile_mtime_seconds`, says so. Nothing here can harm the daemon: what fails is told once and tried again.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{info, warn};

use super::{Dialect, Requester, ask};
use crate::report::printable;

/// How often the file is written.
const PERIOD: Duration = Duration::from_secs(15);

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
    let mut name = file.as_os_str().to_owned();
    name.push(".tmp");
    let new = PathBuf::from(name);
    match fs::remove_file(&new) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // Newly made, so that no link that somebody put there is followed.
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o644)
        .open(&new)
        .and_then(|mut new| new.write_all(text.as_bytes()))
        .and_then(|()| fs::rename(&new, file));
    if written.is_err() {
        let _ = fs::remove_file(&new);
    }
    written
}
