//! The daemon as a process: signals, the status socket, the metrics file, the runtime, how it ended.
//!
//! Apart from the loop, which knows none of them: it is given a future that ends it, a channel that asks for new
//! settings, and one for snapshots. What fails here besides the runtime itself is told and done without.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tracing::{error, warn};

use super::{Error, Reload, Totals, run};
use crate::config::{Mistakes, Settings};
use crate::report::with_causes;
use crate::status::{self, Requester, Requests};
use crate::threads;

/// How many snapshots may be asked for before the loop has answered one.
const REQUESTS: usize = 4;

/// What the process is told on its command line.
pub struct Process {
    /// End when nothing is queued.
    pub once: bool,
    /// Where to listen for `status`, if not where systemd would have it.
    pub socket: Option<PathBuf>,
    /// Loads the settings anew, for SIGHUP.
    pub load: Box<dyn Fn() -> Result<Settings, Mistakes> + Send + Sync>,
}

/// Runs the daemon until SIGTERM or SIGINT, or, with `once`, until nothing is queued. Gives whether all went well.
#[must_use]
pub fn serve(settings: Settings, process: Process) -> bool {
    let once = process.once;
    let ended = threads::runtime().map(|runtime| {
        let ended = runtime.block_on(attended(settings, process));
        // A thread that hangs on a dead file system must not keep the process.
        runtime.shutdown_background();
        ended
    });
    match ended {
        Ok(Ok(totals)) => !once || totals.failed == 0,
        Ok(Err(error)) => {
            error!("{}", with_causes(&error));
            false
        }
        Err(error) => {
            error!("cannot start: {}", with_causes(&error));
            false
        }
    }
}

/// Runs the loop with everybody who talks to it.
async fn attended(settings: Settings, process: Process) -> Result<Totals, Error> {
    let (ask, asked) = mpsc::channel(1);
    // Before anything else, since an unexpected SIGHUP would end the process.
    match signal(SignalKind::hangup()) {
        Ok(hangup) => drop(tokio::spawn(pass_on(hangup, ask))),
        Err(error) => warn!("SIGHUP will not be understood: {error}"),
    }
    let Process { once, socket, load } = process;
    let (requester, requests): (Requester, Requests) = mpsc::channel(REQUESTS);
    if let Some(path) = socket.or_else(status::own_socket) {
        match status::listen(&path) {
            Ok(listener) => drop(tokio::spawn(status::serve(listener, requester.clone()))),
            Err(error) => warn!("status will not be answered: {}", with_causes(&error)),
        }
    }
    if let Some(file) = settings.daemon.metrics_file.clone() {
        drop(tokio::spawn(status::write_metrics(file, requester)));
    }
    let reload = Reload {
        asked,
        load: Arc::from(load),
    };
    run(settings, once, asked_to_stop(), reload, requests).await
}

/// Asks for new settings on each SIGHUP; one that is still to be answered covers those that follow.
async fn pass_on(mut hangup: Signal, ask: mpsc::Sender<()>) {
    while hangup.recv().await.is_some() {
        let _ = ask.try_send(());
    }
}

/// Ready when SIGTERM or SIGINT comes.
async fn asked_to_stop() {
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
