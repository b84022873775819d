//! The asking side of the socket: connects, reads one snapshot, shows it.
//!
//! Whoever listens there may not be a daemon of ours, so the answer is bounded in size and time, and an answer that is no
//! snapshot is an error. How a snapshot looks is left to `table`, `json` and `openmetrics`.

use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::time::{sleep, timeout};

use super::{Format, Snapshot, usual_socket};
use crate::threads;

/// An answer takes no longer.
const PATIENCE: Duration = Duration::from_secs(5);
/// The rest before connecting again to a daemon that has too many clients.
const CONNECT_AGAIN: Duration = Duration::from_millis(50);
/// An answer is no longer, in bytes: lists of captures are bounded, and a path has 4 kB at most.
const LONGEST_ANSWER: u64 = 64_000_000;

/// Why there is no snapshot to show.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Nobody listens there.
    #[error("no daemon listens at {}; is it running?", socket.display())]
    NoDaemon {
        /// The socket.
        socket: PathBuf,
    },
    /// The socket is for its group alone.
    #[error("{} is for root and the daemon's group only", socket.display())]
    NotAllowed {
        /// The socket.
        socket: PathBuf,
    },
    /// The socket cannot be used.
    #[error("cannot ask at {}", socket.display())]
    Io {
        /// The socket.
        socket: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// There was no whole answer in time.
    #[error("the daemon at {} does not answer", socket.display())]
    Silent {
        /// The socket.
        socket: PathBuf,
    },
    /// The answer is something else.
    #[error("what came from {} is no status", socket.display())]
    NotAStatus {
        /// The socket.
        socket: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// Nothing can be asked.
    #[error("cannot ask the daemon")]
    Start {
        /// Why not.
        source: threads::Error,
    },
    /// The answer could not be shown.
    #[error("cannot write the status")]
    Output {
        /// Why not.
        source: io::Error,
    },
}

/// Asks the daemon at `socket`, or where it usually is, and writes the answer in this form to `out`.
///
/// # Errors
/// There is no snapshot, or `out` takes nothing; a reader that has had enough (a closed pipe) is no error.
pub fn show(socket: Option<&Path>, format: Format, out: &mut impl Write) -> Result<(), Error> {
    let socket = socket.map_or_else(usual_socket, Path::to_path_buf);
    let text = fetch(&socket)?.render(format);
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    match written {
        Err(source) if source.kind() != ErrorKind::BrokenPipe => Err(Error::Output { source }),
        _ => Ok(()),
    }
}

/// Asks the daemon at `socket`. Must not be called inside a tokio runtime, since it blocks, 5 seconds at most.
///
/// # Errors
/// Nobody listens there or answers, it is not allowed, or the answer is no snapshot.
pub fn fetch(socket: &Path) -> Result<Snapshot, Error> {
    let event_loop = threads::event_loop().map_err(|source| Error::Start { source })?;
    let answer = event_loop.block_on(async {
        timeout(PATIENCE, read(socket))
            .await
            .unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()))
    });
    let socket = socket.to_owned();
    match answer {
        // It closes without an answer when its loop gives none.
        Ok(answer) if answer.is_empty() => Err(Error::Silent { socket }),
        Ok(answer) => serde_json::from_slice(&answer).map_err(|source| Error::NotAStatus { socket, source }),
        Err(source) => Err(match source.kind() {
            ErrorKind::NotFound | ErrorKind::ConnectionRefused => Error::NoDaemon { socket },
            ErrorKind::PermissionDenied => Error::NotAllowed { socket },
            ErrorKind::TimedOut => Error::Silent { socket },
            _ => Error::Io { socket, source },
        }),
    }
}

async fn read(socket: &Path) -> io::Result<Vec<u8>> {
    let stream = loop {
        match UnixStream::connect(socket).await {
            Err(error) if error.kind() == ErrorKind::WouldBlock => sleep(CONNECT_AGAIN).await,
            connected => break connected?,
        }
    };
    let mut answer = Vec::new();
    stream.take(LONGEST_ANSWER).read_to_end(&mut answer).await?;
    Ok(answer)
}
