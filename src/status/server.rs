//! The daemon's side of the socket: whoever connects gets one snapshot as JSON, and the connection is closed.
//!
//! Nothing is ever read from a client, so there is nothing to be rubbish. A conversation has a deadline and there are only
//! so many at a time; further clients wait in the kernel's backlog. The loop is asked twenty times a second at most,
//! however many clients there are, and no client is told what was so before it came. The socket has its mode before it
//! has a name, and listens before it has its own. Its directory is opened once: nobody who can rename that directory
//! leads a bind, a rename or a removal elsewhere.

use std::fs::{File, TryLockError};
use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;
use std::os::unix::net as blocking;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex as Exclusive, PoisonError};
use std::time::Duration;

use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, connect, listen as listen_on, socket,
};
use nix::sys::stat::{Mode, umask};
use tokio::io::AsyncWriteExt;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::debug;

use super::{Requester, ask, json};
use crate::commit::attributes;
use crate::entry::{Entry, identity, is_socket};

/// Owner and group.
const MODE: u32 = 0o660;
/// What `bind` takes off the mode of the socket: nothing that is in [`MODE`].
const UMASK: Mode = Mode::S_IRWXO;
/// So many clients are answered at a time.
const CONVERSATIONS: usize = 32;
/// Clients that may wait beside them; connecting fails for more.
const WAITING: i32 = 128;
/// A client has so long to take its answer, and the loop to give it.
const DEADLINE: Duration = Duration::from_secs(3);
/// The loop is left alone for so long between two snapshots.
const REST: Duration = Duration::from_millis(50);
/// The rest after a connection could not be accepted, since there is no file descriptor left.
const ACCEPT_AGAIN: Duration = Duration::from_millis(500);
/// How often, with a rest between, another daemon that is just starting is waited for.
const LOCK_TRIES: u32 = 10;
const LOCK_REST: Duration = Duration::from_millis(20);

/// Why there is no socket to listen on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListenError {
    /// A daemon answers there.
    #[error("another daemon listens at {}", path.display())]
    InUse {
        /// The socket.
        path: PathBuf,
    },
    /// Something else has the name.
    #[error("{} is no socket, and is left as it is", path.display())]
    NotASocket {
        /// What is there.
        path: PathBuf,
    },
    /// The system refused.
    #[error("cannot {operation} {}", path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// With what.
        path: PathBuf,
        /// The refusal.
        source: io::Error,
    },
}

/// A socket that listens; it is removed when this is dropped.
#[derive(Debug)]
pub struct Listener {
    socket: UnixListener,
    entry: Entry,
    /// Device and inode, to know it again.
    identity: (u64, u64),
}

/// Makes the socket at `path`, mode 0660, and listens on it. What a dead daemon left there is replaced. Must be called
/// inside a tokio runtime, before other threads make files (the umask is changed for a moment); may block for a fifth of
/// a second.
///
/// # Errors
/// A living daemon has it, the name belongs to something else, or the directory cannot be written to.
pub fn listen(path: &Path) -> Result<Listener, ListenError> {
    let failed = |operation| {
        let path = path.to_owned();
        move |source| ListenError::Io {
            operation,
            path,
            source,
        }
    };
    let entry = Entry::open(path).map_err(failed("open the directory of"))?;
    // Between two daemons that start at once: held until the socket listens in its place.
    let _lock = lock(&entry).map_err(failed("lock the directory of"))?;
    match entry.stat() {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(failed("look at")(error)),
        Ok(there) if !is_socket(&there) => {
            return Err(ListenError::NotASocket {
                path: path.to_owned(),
            });
        }
        Ok(_) if is_alive(&entry).map_err(failed("try"))? => {
            return Err(ListenError::InUse {
                path: path.to_owned(),
            });
        }
        Ok(_) => {}
    }
    let new = entry.beside(".new");
    let made = new.remove().and_then(|()| make(&new, &entry));
    match made.map_err(failed("make")) {
        Ok((socket, identity)) => Ok(Listener {
            socket,
            entry,
            identity,
        }),
        Err(error) => {
            let _ = new.remove();
            Err(error)
        }
    }
}

/// Makes the socket as `new`, and moves it to its `entry` when it listens; gives its identity too.
fn make(new: &Entry, entry: &Entry) -> io::Result<(UnixListener, (u64, u64))> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    // Linux gives the name the mode of the socket, less the umask: no mode is changed through the name.
    attributes::set_mode(&socket, MODE)?;
    let address = UnixAddr::new(&new.path())?;
    with_umask(UMASK, || bind(socket.as_raw_fd(), &address))?;
    let there = new.stat()?;
    if !is_socket(&there) || there.st_mode & 0o777 & !MODE != 0 {
        return Err(io::Error::other("it would be open to others than its group"));
    }
    listen_on(&socket, Backlog::new(WAITING)?)?;
    new.rename(entry)?;
    let socket = UnixListener::from_std(blocking::UnixListener::from(socket))?;
    Ok((socket, identity(&there)))
}

/// Runs `work` with another umask, which is the whole process's.
fn with_umask<T>(mask: Mode, work: impl FnOnce() -> T) -> T {
    static CHANGED: Exclusive<()> = Exclusive::new(());
    let _changed = CHANGED.lock().unwrap_or_else(PoisonError::into_inner);
    let before = umask(mask);
    let done = work();
    umask(before);
    done
}

/// The lock on the directory, which ends with the file.
fn lock(entry: &Entry) -> io::Result<File> {
    let directory = entry.directory()?;
    let mut tries = 0;
    loop {
        match directory.try_lock() {
            Ok(()) => return Ok(directory),
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) if tries == LOCK_TRIES => return Err(ErrorKind::WouldBlock.into()),
            Err(TryLockError::WouldBlock) => {
                tries += 1;
                std::thread::sleep(LOCK_REST);
            }
        }
    }
}

/// Whether somebody listens on the socket.
fn is_alive(entry: &Entry) -> io::Result<bool> {
    // Without blocking: a daemon whose backlog is full is alive.
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    match connect(socket.as_raw_fd(), &UnixAddr::new(&entry.path())?).map_err(io::Error::from) {
        Ok(()) => Ok(true),
        Err(error) => match error.kind() {
            ErrorKind::ConnectionRefused | ErrorKind::NotFound => Ok(false),
            ErrorKind::WouldBlock => Ok(true),
            _ => Err(error),
        },
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // Not that of a daemon that has taken the place meanwhile.
        let is_own = self
            .entry
            .stat()
            .is_ok_and(|there| identity(&there) == self.identity);
        if is_own {
            let _ = self.entry.remove();
        }
    }
}

/// Answers whoever connects, until the loop does not take requests any more.
pub async fn serve(listener: Listener, requester: Requester) {
    let answers = Arc::new(Answers {
        requester: requester.clone(),
        last: Mutex::new(None),
    });
    // Dropped with this future, and all conversations with it.
    let mut conversations = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.socket.accept(), if conversations.len() < CONVERSATIONS => match accepted {
                Ok((client, _)) => {
                    let answers = Arc::clone(&answers);
                    conversations.spawn(async move {
                        // A client that does not listen has had its time.
                        let _ = timeout(DEADLINE, converse(client, &answers)).await;
                    });
                }
                Err(error) => {
                    debug!("status: no connection can be accepted: {error}");
                    sleep(ACCEPT_AGAIN).await;
                }
            },
            Some(_) = conversations.join_next() => {}
            () = requester.closed() => return,
        }
    }
}

async fn converse(mut client: UnixStream, answers: &Answers) {
    if let Some(answer) = answers.get().await
        // It went away, or takes nothing any more; either is its own loss.
        && client.write_all(answer.as_bytes()).await.is_ok()
    {
        let _ = client.shutdown().await;
    }
}

/// The last answer, shared by those who came before it was asked for.
struct Answers {
    requester: Requester,
    last: Mutex<Option<Answer>>,
}

struct Answer {
    asked: Instant,
    text: Arc<str>,
}

impl Answers {
    async fn get(&self) -> Option<Arc<str>> {
        let came = Instant::now();
        let mut last = self.last.lock().await;
        if let Some(answer) = &*last {
            if answer.asked >= came {
                return Some(Arc::clone(&answer.text));
            }
            sleep_until(answer.asked + REST).await;
        }
        let asked = Instant::now();
        let snapshot = ask(&self.requester).await?;
        let text = Arc::from(json::render(&snapshot));
        *last = Some(Answer {
            asked,
            text: Arc::clone(&text),
        });
        Some(text)
    }
}
