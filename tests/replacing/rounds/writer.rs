//! A program that writes to the capture while it is replaced: one process per lane, told what to do on its standard input.
//!
//! It is a process of its own because a lease and `/proc` tell processes apart, and it stays for many rounds because a
//! fork for each would be most of the time. An order is one line, and each is answered by one line; an order that opens
//! the capture before the round begins is answered by a line of its own first.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::contents;

/// What a writer does with the capture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Opens it, appends, closes it at once.
    Append,
    /// Opens it with `O_CREAT`, as programs that log do, and appends.
    Log,
    /// Opens it, waits, appends.
    Slow,
    /// Opened it before the round, waits, appends.
    Held,
    /// Overwrites some bytes in place: the size stays.
    Patch,
    /// Cuts it to its file header by its path.
    Truncate,
    /// Opens it with `O_TRUNC` and writes a capture of its own.
    Overwrite,
    /// Renames a capture of its own over it.
    Replace,
    /// Removes it.
    Remove,
    /// Removes it and creates it anew.
    Anew,
    /// Renames it to another name.
    Move,
}

impl Kind {
    pub(crate) const ALL: [Self; 11] = [
        Self::Append,
        Self::Log,
        Self::Slow,
        Self::Held,
        Self::Patch,
        Self::Truncate,
        Self::Overwrite,
        Self::Replace,
        Self::Remove,
        Self::Anew,
        Self::Move,
    ];

    pub(crate) fn word(self) -> String {
        format!("{self:?}").to_lowercase()
    }

    pub(crate) fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }

    /// Whether what it writes can be told from what another one of these writes at the same time.
    pub(crate) fn adds(self) -> bool {
        matches!(
            self,
            Self::Append | Self::Log | Self::Slow | Self::Held | Self::Patch
        )
    }
}

/// What is to be done in a round.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Order {
    pub(crate) kind: Kind,
    /// Identifies what is written: the round and the writer.
    pub(crate) id: u64,
    /// From the beginning of the round until it opens the capture.
    pub(crate) delay: Duration,
    /// From then until it writes, where the kind waits.
    pub(crate) hold: Duration,
}

/// What a writer did.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Done {
    /// Whether there was a capture to do it to.
    pub(crate) wrote: bool,
    /// Whether a capture that it had removed was there again when it created its own.
    pub(crate) returned: bool,
    /// How long its system calls took: somebody who holds a lease makes it wait.
    pub(crate) waited: Duration,
}

/// A writer process.
pub(crate) struct Writer {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Writer {
    /// Starts one that reaches the capture by `path`.
    pub(crate) fn start(path: &Path) -> io::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("--write-to")
            .arg(path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let orders = child.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let answers = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        Ok(Self {
            child,
            orders,
            answers: BufReader::new(answers),
        })
    }

    /// Gives an order, and waits until what must be done before the round is done.
    pub(crate) fn begin(&mut self, order: Order) -> io::Result<()> {
        let Order {
            kind,
            id,
            delay,
            hold,
        } = order;
        let line = format!(
            "{} {id} {} {}\n",
            kind.word(),
            delay.as_micros(),
            hold.as_micros()
        );
        self.orders.write_all(line.as_bytes())?;
        if kind == Kind::Held {
            self.answer()?;
        }
        Ok(())
    }

    /// Waits until the order is done.
    pub(crate) fn end(&mut self) -> io::Result<Done> {
        let answer = self.answer()?;
        let mut words = answer.split_whitespace();
        let (wrote, returned) = match words.next() {
            Some("wrote") => (true, false),
            Some("nothing") => (false, false),
            Some("returned") => (false, true),
            _ => return Err(io::Error::other(format!("the writer said {answer:?}"))),
        };
        let waited = words
            .next()
            .and_then(|word| word.parse().ok())
            .unwrap_or_default();
        Ok(Done {
            wrote,
            returned,
            waited: Duration::from_micros(waited),
        })
    }

    fn answer(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        Ok(line)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The writer process: does as it is told until its input ends.
pub(crate) fn write_to(path: &Path) -> io::Result<()> {
    for line in io::stdin().lines() {
        let line = line?;
        let words: Vec<&str> = line.split_whitespace().collect();
        let &[kind, id, delay, hold] = words.as_slice() else {
            return Err(io::Error::other(format!("cannot read the order {line:?}")));
        };
        let number = |word: &str| word.parse::<u64>().map_err(io::Error::other);
        let order = Order {
            kind: Kind::of(kind).ok_or_else(|| io::Error::other(format!("no such kind: {kind}")))?,
            id: number(id)?,
            delay: Duration::from_micros(number(delay)?),
            hold: Duration::from_micros(number(hold)?),
        };
        let mut waited = Duration::ZERO;
        let answer = match act(path, order, &mut waited) {
            Ok(()) => "wrote".to_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => "nothing".to_owned(),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => "returned".to_owned(),
            Err(error) => format!("failed: {error}"),
        };
        say(&format!("{answer} {}", waited.as_micros()))?;
    }
    Ok(())
}

fn say(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(format!("{line}\n").as_bytes())?;
    out.flush()
}

fn act(path: &Path, order: Order, waited: &mut Duration) -> io::Result<()> {
    let other = beside(path, ".writer");
    let own = contents::capture_of_writer(order.id);
    let open = || OpenOptions::new().append(true).open(path);
    let held = match order.kind {
        Kind::Held => {
            let file = open()?;
            say("held")?;
            Some(file)
        }
        Kind::Replace => {
            fs::write(&other, &own)?;
            None
        }
        _ => None,
    };
    thread::sleep(order.delay);
    let begun = Instant::now();
    let done = match (order.kind, held) {
        (Kind::Held, Some(file)) => append(&file, order),
        (Kind::Append | Kind::Held, _) => open().and_then(|file| append(&file, order)),
        (Kind::Log, _) => OpenOptions::new()
            .append(true)
            .create(true)
            .open(path)
            .and_then(|file| append(&file, order)),
        (Kind::Slow, _) => {
            let file = open()?;
            *waited = begun.elapsed();
            thread::sleep(order.hold);
            return append(&file, order);
        }
        (Kind::Patch, _) => OpenOptions::new()
            .write(true)
            .open(path)
            .and_then(|file| file.write_all_at(&contents::patch(order.id), contents::PATCHED)),
        (Kind::Truncate, _) => Ok(nix::unistd::truncate(path, contents::FILE_HEADER)?),
        (Kind::Overwrite, _) => OpenOptions::new()
            .write(true)
            .truncate(true)
            .open(path)
            .and_then(|mut file| file.write_all(&own)),
        (Kind::Replace, _) => fs::rename(&other, path),
        (Kind::Remove, _) => fs::remove_file(path),
        (Kind::Anew, _) => anew(path, &own),
        (Kind::Move, _) => fs::rename(path, beside(path, MOVED)),
    };
    *waited = begun.elapsed();
    done
}

fn append(mut file: &File, order: Order) -> io::Result<()> {
    file.write_all(&contents::record(order.id))
}

fn anew(path: &Path, own: &[u8]) -> io::Result<()> {
    fs::remove_file(path)?;
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path)?
        .write_all(own)
}

/// What [`Kind::Move`] appends to the capture's name.
pub(crate) const MOVED: &str = ".moved";

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
