//! Live recording: packets come through a pipe, are recorded slimmed, and go on unchanged to the next consumer.
//!
//! Two threads: `pump` reads and forwards, `recorder` slims and writes, with `backlog` between them. Forwarding never
//! waits for the disk, as long as the backlog has room, and goes on when the recording fails. Here both are started,
//! and signals end them in order: what was received is recorded, whole and synced.

mod backlog;
mod form;
mod live;
mod pump;
mod recorder;
mod recording;

use std::fs::File;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use crate::job::{Judging, Secrets};
use crate::report::{self, note, printable, printable_text, with_causes};
use crate::slim::Lengths;
use crate::slim::policy::keep::Flows;
use crate::threads;
use backlog::Backlog;
use pump::Pump;
use recorder::{Recorded, record};

pub use form::Form;
pub use recording::Rotation;

/// Exit status: everything was recorded and nothing failed.
pub const DONE: u8 = 0;
/// Exit status: the recording, or reading, failed.
pub const FAILED: u8 = 1;
/// Exit status: the arguments cannot be used.
pub const USAGE: u8 = 2;

/// How long a reader that holds up the forwarding is waited for after a signal.
const GRACE: Duration = Duration::from_secs(3);

/// What a stream is to become.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// A capture as it is being written: a pipe, a file, or `-` for standard input.
    pub input: PathBuf,
    /// Where it is recorded, `-` for standard output.
    pub recording: Option<PathBuf>,
    /// Where it is forwarded, `-` for standard output.
    pub forward: Option<PathBuf>,
    /// The recording's form; that of the input where none is named.
    pub form: Option<Form>,
    /// Recorded packets get the time at which they came.
    pub wallclock: bool,
    /// When the recording goes on in another file.
    pub rotation: Rotation,
    /// What decides over the packets.
    pub judging: Judging,
    /// What to do behind decryption secrets.
    pub secrets: Secrets,
    /// How cut frames' headers are written.
    pub lengths: Lengths,
}

/// How a thread tells its end.
type Ended<T> = oneshot::Receiver<T>;

/// Records and forwards until the input ends or a signal comes, and returns the exit status: [`DONE`], [`FAILED`] or
/// [`USAGE`].
#[must_use]
pub fn run(request: &Request) -> u8 {
    let begun = Instant::now();
    let pump = match ends(request) {
        Ok(pump) => pump,
        Err(reason) => {
            warn(&reason);
            return USAGE;
        }
    };
    // Read once, before anything is recorded: what is named later comes too late for packets that were cut.
    let (alerted, notes) = match request.judging.alerted(|_| true) {
        Ok(alerted) => alerted,
        Err(error) => {
            warn(&with_causes(&error));
            return FAILED;
        }
    };
    for told in &notes {
        warn(&note(told));
    }
    let started =
        threads::event_loop().and_then(|event_loop| Ok((event_loop, Stream::begin(request, alerted, pump)?)));
    let (event_loop, stream) = match started {
        Ok(started) => started,
        Err(error) => {
            warn(&format!("cannot begin: {}", with_causes(&error)));
            return FAILED;
        }
    };
    match event_loop.block_on(stream.finish(begun)) {
        Ok(status) => status,
        Err(error) => {
            warn(&format!("cannot wait for signals: {error}"));
            FAILED
        }
    }
}

/// Both ends of the pump, opened.
fn ends(request: &Request) -> Result<Pump, String> {
    if request.recording == request.forward {
        return Err("-w and --forward cannot write to the same place".to_owned());
    }
    let is_file = request
        .recording
        .as_deref()
        .is_some_and(|path| path != Path::new("-"));
    if !is_file && request.rotation != Rotation::default() {
        return Err("only a recording in files can be rotated".to_owned());
    }
    let input = if request.input == Path::new("-") {
        let stdin = io::stdin();
        if stdin.is_terminal() {
            return Err("standard input is a terminal; give packets by a pipe, or -r FILE".to_owned());
        }
        stdin.as_fd().try_clone_to_owned().map(File::from)
    } else {
        File::open(&request.input)
    };
    let input = input.map_err(|error| format!("cannot read {}: {error}", printable(&request.input)))?;
    let forward = match &request.forward {
        None => None,
        Some(path) => {
            let opened = recording::open(path);
            let opened = opened.map_err(|error| format!("cannot forward to {}: {error}", named(path)))?;
            Some((opened, path.clone()))
        }
    };
    match &request.recording {
        // Found when it is opened as well, but then packets are on their way.
        Some(path) if request.rotation == Rotation::default() && path.is_file() => Err(format!(
            "{} exists; a recording replaces no file",
            printable(path)
        )),
        _ => Ok(Pump::new(input, forward)),
    }
}

/// Both threads at work.
struct Stream {
    backlog: Arc<Backlog>,
    stop: Arc<AtomicBool>,
    pumped: Ended<io::Result<()>>,
    recorded: Option<Ended<Result<Recorded, recorder::Error>>>,
    failed: bool,
}

impl Stream {
    /// # Errors
    /// Where there is no thread for one of them; nothing was read then.
    fn begin(request: &Request, alerted: Vec<Arc<Flows>>, pump: Pump) -> Result<Self, threads::Error> {
        let (backlog, stop) = (Arc::new(Backlog::default()), Arc::<AtomicBool>::default());
        let recorded = request.recording.clone().map(|path| {
            let (request, backlog) = (request.clone(), Arc::clone(&backlog));
            in_a_thread(move || {
                let result = record(&request, &path, alerted, &backlog);
                backlog.close();
                result
            })
        });
        let recorded = recorded.transpose()?;
        if recorded.is_none() {
            backlog.close();
        }
        let pumped = in_a_thread({
            let (backlog, stop) = (Arc::clone(&backlog), Arc::clone(&stop));
            move || {
                let result = pump.run(&backlog, &stop);
                backlog.end();
                result
            }
        })?;
        Ok(Self {
            backlog,
            stop,
            pumped,
            recorded,
            failed: false,
        })
    }

    async fn finish(mut self, begun: Instant) -> io::Result<u8> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        self.until_pumped(&mut terminate, &mut interrupt).await;
        if let Some(recorded) = self.recorded.take() {
            self.tell_recorded(recorded.await, begun);
        }
        Ok(if self.failed { FAILED } else { DONE })
    }

    /// Waits until nothing more is read. What the recorder has to say meanwhile is said at once.
    async fn until_pumped(&mut self, terminate: &mut Signal, interrupt: &mut Signal) {
        let mut patience = Duration::MAX;
        loop {
            let recorder_failed = async {
                match &mut self.recorded {
                    Some(recorded) => recorded.await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                result = &mut self.pumped => {
                    self.tell_pumped(result);
                    return;
                }
                // It ends by itself only behind the pump, so this is a failure.
                result = recorder_failed => {
                    self.recorded = None;
                    self.tell_recorded(result, Instant::now());
                }
                _ = terminate.recv() => patience = GRACE,
                _ = interrupt.recv() => patience = GRACE,
                () = tokio::time::sleep(patience) => {
                    warn("the reader of the forwarded packets does not take them; left it behind");
                    self.backlog.end();
                    return;
                }
            }
            if patience == GRACE {
                self.stop.store(true, Ordering::Relaxed);
            }
        }
    }

    fn tell_pumped(&mut self, result: Result<io::Result<()>, oneshot::error::RecvError>) {
        match result {
            Ok(Ok(())) => {}
            Ok(Err(error)) => self.fail(&format!("reading failed: {error}")),
            Err(_) => self.fail("reading failed: internal error"),
        }
    }

    fn tell_recorded(
        &mut self,
        result: Result<Result<Recorded, recorder::Error>, oneshot::error::RecvError>,
        begun: Instant,
    ) {
        match result {
            Ok(Ok(recorded)) => tell(recorded, begun),
            Ok(Err(error)) => self.fail(&format!("recording stopped: {}", with_causes(&error))),
            Err(_) => self.fail("recording stopped: internal error"),
        }
        self.backlog.close();
    }

    fn fail(&mut self, what: &str) {
        warn(what);
        self.failed = true;
    }
}

/// Runs `work` in a thread of its own.
fn in_a_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<Ended<T>, threads::Error> {
    let (tell, ended) = oneshot::channel();
    threads::spawn(move || {
        let _ = tell.send(work());
    })?;
    Ok(ended)
}

/// Tells what was recorded.
fn tell(recorded: Recorded, begun: Instant) {
    let summary = recorded.summary;
    warn(&format!(
        "recorded {} packets, {} of them cut, {} -> {}, in {:.1} s",
        summary.packets,
        summary.truncated,
        report::size(summary.bytes_in),
        report::size(summary.bytes_out),
        begun.elapsed().as_secs_f64(),
    ));
    if recorded.torn > 0 {
        warn(&format!(
            "the input ended within a packet; its {} bytes are not in the recording",
            recorded.torn
        ));
    }
}

/// Says something on standard error; standard output may be packets.
fn warn(message: &str) {
    use std::io::Write;
    let _ = writeln!(io::stderr(), "pcap-slim: {}", printable_text(message));
}

/// Where packets go, as messages call it.
fn named(path: &Path) -> String {
    if path == Path::new("-") {
        "standard output".to_owned()
    } else {
        printable(path)
    }
}

/// Standard output, for packets.
fn standard_output() -> io::Result<File> {
    let stdout = io::stdout();
    if stdout.is_terminal() {
        let what = "standard output is a terminal";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    }
    stdout.as_fd().try_clone_to_owned().map(File::from)
}
