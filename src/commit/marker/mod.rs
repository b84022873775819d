//! Markers: "this capture is slimmed already", and "this one never can be, for this reason".
//!
//! `.slim_markers/NAME` lies beside the captures: one line of JSON with what NAME was and what it is since it was slimmed.
//! Its `earlier` holds the slimmings before, the first of them first: what is known of an original is never overwritten.
//! Which file a marker is of, and whether that was changed since, is decided in `same`. An empty marker, as other tools
//! leave, counts for a capture that is not newer. `NAME.failed` holds the reason and the identity of a capture that was
//! given up. Markers are a convenience, never a proof: losing them costs a second look at each capture.

mod same;

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::disk::{Directory, Disk, Identity, RealDisk, read_head};
use super::private::{Exchange, MARKER, Private};
use super::{Error, STAGING_SUFFIX, TRACE_SUFFIX, failed};
use crate::digest::Digests;
use crate::trace::format::MAGIC;
pub use same::{born, born_at};

/// The directory, beside the captures, that holds their markers.
pub const DIRECTORY: &str = ".slim_markers";
/// What is appended to a capture's name for its failed marker.
pub const FAILED_SUFFIX: &str = ".failed";

/// The mode of that directory.
const MODE: u32 = 0o755;

/// More than any marker has, in bytes.
const LONGEST: u64 = 64 << 10;
/// How many slimmings before the last one a marker holds; of more, those behind the first are left out.
const MOST_EARLIER: usize = 32;

/// What a marker says of a slimmed capture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slimmed {
    /// The version that slimmed it.
    pub version: String,
    /// The word of the policy.
    pub policy: String,
    /// Packets.
    pub packets: u64,
    /// Packets that were cut.
    pub truncated: u64,
    /// Size before, in bytes.
    pub bytes_in: u64,
    /// Size of the slimmed capture, in bytes.
    pub bytes_out: u64,
    /// Modification time of the slimmed capture, in nanoseconds since the epoch.
    pub modified_ns: i128,
    /// Digests before and after, where they were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digests: Option<Digests>,
    /// Inode number of the slimmed capture. Markers of 0.1 have neither this key nor those below.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inode: Option<u64>,
    /// When that inode was created, in nanoseconds since the epoch, on file systems that tell. Inode numbers are reused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub born_ns: Option<i128>,
    /// When it was slimmed, in nanoseconds since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slimmed_ns: Option<i128>,
    /// The slimmings before, where the capture was changed after them and slimmed again. The first one is of the
    /// original; they have no `earlier` themselves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<Self>,
    /// How many slimmings between the first and the others are left out of `earlier`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub left_out: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Slimmed {
    /// The first slimming of the capture, which says what the original was.
    #[must_use]
    pub fn first(&self) -> &Self {
        self.earlier.first().unwrap_or(self)
    }

    /// How often the capture was slimmed.
    #[must_use]
    pub fn times(&self) -> u64 {
        1 + self.earlier.len() as u64 + self.left_out
    }

    /// The same as a slimming that follows those of the marker `before`.
    #[must_use]
    pub fn after(mut self, mut before: Self) -> Self {
        self.earlier = std::mem::take(&mut before.earlier);
        self.left_out = std::mem::take(&mut before.left_out);
        self.earlier.push(before);
        self
    }

    /// The line that is written: as many of the earlier slimmings as there is room for, the first one always.
    fn line(&self) -> io::Result<Vec<u8>> {
        let mut marker = self.clone();
        loop {
            let mut line = serde_json::to_vec(&marker)?;
            line.push(b'\n');
            let fits = marker.earlier.len() <= MOST_EARLIER && line.len() as u64 <= LONGEST;
            if fits || marker.earlier.len() < 2 {
                return Ok(line);
            }
            marker.earlier.remove(1);
            marker.left_out += 1;
        }
    }
}

/// What a failed marker says of a capture that was given up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// The version that gave up.
    pub version: String,
    /// Why.
    pub reason: String,
    /// Size of the capture, in bytes.
    pub size: u64,
    /// Its modification time, in nanoseconds since the epoch.
    pub modified_ns: i128,
}

/// What earlier versions said of captures that later ones may well read.
const READ_LATER: [&str; 2] = ["is not supported yet", "a block of impossible length"];

impl Failed {
    /// Whether it concerns a capture as it is now, and this version knows no better.
    fn holds(&self, identity: &Identity) -> bool {
        let is_settled =
            self.version == VERSION || !READ_LATER.iter().any(|reason| self.reason.contains(reason));
        (self.size, self.modified_ns) == (identity.size, identity.modified) && is_settled
    }
}

/// What the markers say of a capture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Nothing that concerns it as it is now.
    Unmarked,
    /// It is slimmed.
    Slimmed,
    /// It was slimmed, and is not what it was then.
    Changed {
        /// What its marker says.
        marker: Box<Slimmed>,
        /// Why it was given up as it is now, if it was.
        failed: Option<String>,
    },
    /// It was given up, for this reason.
    Failed(String),
}

/// The version that is written into markers.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What the markers of the captures in `directory` say of the capture `name`, which is `identity` now.
///
/// # Errors
/// When the marker directory is there but cannot be read.
pub fn state(directory: &Directory, name: &OsStr, identity: &Identity) -> io::Result<State> {
    let markers = match directory.below(DIRECTORY.as_ref()) {
        Ok(markers) => markers,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(State::Unmarked),
        Err(error) => return Err(error),
    };
    let mut changed = None;
    if let Some((text, written)) = read_with_time(&markers, name)? {
        if text.is_empty() {
            // An older tool marks a capture once it has replaced it. A power failure may also have left one of 0.1 empty:
            // that must not count for whatever gets the name later.
            if identity.modified <= written {
                return Ok(State::Slimmed);
            }
        } else if let Ok(marker) = serde_json::from_slice::<Slimmed>(&text) {
            if same::is_unchanged(&marker, identity) {
                return Ok(State::Slimmed);
            }
            if !same::is_another(directory, name, identity, &marker, written) {
                changed = Some(Box::new(marker));
            }
        }
        // What cannot be read was torn by a crash: slimming again does no harm.
    }
    let failed = match read_head(&markers, &failed_name(name), LONGEST) {
        // Nothing has a name that is too long for its directory.
        Err(error) if error.kind() == io::ErrorKind::InvalidFilename => None,
        read => read?,
    };
    let failed = failed
        .and_then(|text| serde_json::from_slice::<Failed>(&text).ok())
        .filter(|failed| failed.holds(identity))
        .map(|failed| failed.reason);
    Ok(match (changed, failed) {
        (Some(marker), failed) => State::Changed { marker, failed },
        (None, Some(reason)) => State::Failed(reason),
        (None, None) => State::Unmarked,
    })
}

/// What the file `name` holds, and when it was written; `None` where there is none.
fn read_with_time(markers: &Directory, name: &OsStr) -> io::Result<Option<(Vec<u8>, i128)>> {
    let file = match markers.open_file(name) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if !file.metadata()?.is_file() {
        return Ok(None);
    }
    let written = Identity::of(&file)?.modified;
    let mut text = Vec::new();
    file.take(LONGEST).read_to_end(&mut text)?;
    Ok(Some((text, written)))
}

/// What our marker says of the capture `name`, whatever it is now; `None` where there is none, or none of ours.
///
/// # Errors
/// When the marker directory is there but cannot be read.
pub fn read(directory: &Directory, name: &OsStr) -> io::Result<Option<Slimmed>> {
    let markers = match directory.below(DIRECTORY.as_ref()) {
        Ok(markers) => markers,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let text = read_head(&markers, name, LONGEST)?;
    Ok(text.and_then(|text| serde_json::from_slice(&text).ok()))
}

/// The time, in nanoseconds since the epoch.
#[must_use]
pub fn now() -> Option<i128> {
    nanoseconds(SystemTime::now())
}

fn nanoseconds(time: SystemTime) -> Option<i128> {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    since.as_nanos().try_into().ok()
}

fn failed_name(name: &OsStr) -> OsString {
    let mut failed = name.to_owned();
    failed.push(FAILED_SUFFIX);
    failed
}

/// Removes the markers and traces of captures that are gone; says how many. Files that are neither are left alone.
pub(super) fn forget_gone(captures: &Directory, markers: &Directory) -> io::Result<usize> {
    let there: HashSet<OsString> = captures.names()?.into_iter().collect();
    let is_there = |name: &[u8]| there.contains(OsStr::from_bytes(name));
    let mut gone = 0;
    for name in markers.names()? {
        if name == super::private::NAME {
            continue;
        }
        // A staging file that nothing was written to yet looks like an empty marker.
        if name.as_bytes().ends_with(STAGING_SUFFIX.as_bytes()) {
            continue;
        }
        let is_of_one_there = |suffix: &str| {
            name.as_bytes()
                .strip_suffix(suffix.as_bytes())
                .is_some_and(is_there)
        };
        if is_there(name.as_bytes())
            || is_of_one_there(FAILED_SUFFIX)
            || is_of_one_there(TRACE_SUFFIX)
            || !is_ours(markers, &name)?
        {
            continue;
        }
        RealDisk.remove(markers, &name)?;
        gone += 1;
    }
    Ok(gone)
}

/// How every marker of ours begins.
const BEGINNING: &[u8] = b"{\"version\":\"";

/// Whether a file in the marker directory is a marker (empty, or one of ours, be it torn) or a trace.
fn is_ours(markers: &Directory, name: &OsStr) -> io::Result<bool> {
    let text = read_head(markers, name, LONGEST)?;
    Ok(text.is_some_and(|text| {
        if name.as_bytes().ends_with(TRACE_SUFFIX.as_bytes()) {
            return text.starts_with(&MAGIC);
        }
        // 0.1 wrote in place: a power failure may have left zeros.
        text.starts_with(BEGINNING) || text.iter().all(|&byte| byte == 0)
    }))
}

/// The marker directory of one directory of captures, for writing.
#[derive(Debug)]
pub struct Markers<'a, D: Disk> {
    disk: &'a D,
    directory: Directory,
    private: Arc<Private>,
    owner: Option<(u32, u32)>,
}

impl<'a, D: Disk> Markers<'a, D> {
    /// Opens the marker directory beside the captures in `captures`, or makes it, mode 0755; and the private directory in
    /// it.
    ///
    /// # Errors
    /// When one of them can be neither made nor opened, or is no directory; see [`Private::open`].
    pub fn open(disk: &'a D, captures: &Directory, owner: Option<(u32, u32)>) -> Result<Self, Error> {
        let failed = failed("use the marker directory");
        let directory = Self::directory_in(disk, captures, owner).map_err(failed)?;
        Ok(Self {
            disk,
            private: Arc::new(Private::open(disk, &directory, captures)?),
            directory,
            owner,
        })
    }

    fn directory_in(disk: &D, captures: &Directory, owner: Option<(u32, u32)>) -> io::Result<Directory> {
        let directory = match disk.make_directory(captures, DIRECTORY.as_ref(), MODE) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return captures.below(DIRECTORY.as_ref());
            }
            made => made?,
        };
        if let Some(owner) = owner {
            disk.set_directory_owner(&directory, owner)?;
        }
        disk.sync_directory(captures)?;
        Ok(directory)
    }

    /// The marker directory itself.
    #[must_use]
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// The private directory in it.
    #[must_use]
    pub fn private(&self) -> &Arc<Private> {
        &self.private
    }

    /// The disk that the markers are on.
    #[must_use]
    pub fn disk(&self) -> &'a D {
        self.disk
    }

    /// The text of the marker of the capture `name`; `None` where there is none.
    ///
    /// # Errors
    /// When it is there but cannot be read.
    pub fn text(&self, name: &OsStr) -> io::Result<Option<Vec<u8>>> {
        read_head(&self.directory, name, LONGEST)
    }

    /// Gives the capture `name` the marker that it had before; `None`: none.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn restore(&self, name: &OsStr, before: Option<&[u8]>) -> io::Result<()> {
        match before {
            Some(text) => self.prepare_line(text)?.rename(name)?,
            None => match self.disk.remove(&self.directory, name) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            },
        }
        self.disk.sync_directory(&self.directory)
    }

    /// Marks the capture `name` as slimmed, and takes a failed marker away.
    ///
    /// # Errors
    /// When the disk refuses; the capture is slimmed all the same.
    pub fn write(&self, name: &OsStr, marker: &Slimmed) -> io::Result<()> {
        self.prepare_line(&marker.line()?)?.publish(name)
    }

    /// Writes the marker of the capture `name` before that is replaced, and brings it to the device, but not to its own
    /// name yet. A crash after the exchange then cannot lose what the original was: its private name tells recovery both
    /// files, `original` and `slimmed` as it will be.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn prepare(
        &self,
        name: &OsStr,
        marker: &Slimmed,
        (original, slimmed): (&Identity, &Identity),
    ) -> io::Result<Prepared<'_, 'a, D>> {
        let private = Exchange::new(original, slimmed, name).name(MARKER);
        let file = self.private.create_as(self.disk, &private)?;
        self.prepare_in(&file, private, &marker.line()?)
    }

    /// Marks the capture `name` as one that can never be slimmed.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn write_failed(&self, name: &OsStr, marker: &Failed) -> io::Result<()> {
        let mut line = serde_json::to_vec(marker)?;
        line.push(b'\n');
        self.prepare_line(&line)?.rename(&failed_name(name))?;
        self.disk.sync_directory(&self.directory)
    }

    /// Never into a file that is there, which might be a link to anything, and never into a marker that counts: a power
    /// failure would leave it empty or torn.
    fn prepare_line(&self, line: &[u8]) -> io::Result<Prepared<'_, 'a, D>> {
        let (file, name) = self.private.create(self.disk)?;
        self.prepare_in(&file, name, line)
    }

    /// The same, in a file that was just created in the private directory.
    fn prepare_in(&self, file: &File, name: OsString, line: &[u8]) -> io::Result<Prepared<'_, 'a, D>> {
        let prepared = Prepared {
            markers: self,
            name,
            renamed: false,
        };
        self.disk.write(file, line, 0)?;
        if let Some(owner) = self.owner {
            self.disk.set_owner(file, owner)?;
        }
        self.disk.set_mode(file, 0o644)?;
        self.disk.sync(file)?;
        Ok(prepared)
    }
}

/// A marker that is written and synced, under a private name. Dropped before it is published, it is removed.
#[derive(Debug)]
pub struct Prepared<'m, 'd, D: Disk> {
    markers: &'m Markers<'d, D>,
    name: OsString,
    renamed: bool,
}

impl<'m, D: Disk> Prepared<'m, '_, D> {
    /// Makes it the marker of the capture `name`, takes a failed marker away, and brings both to the device.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn publish(self, name: &OsStr) -> io::Result<()> {
        let disk = self.markers.disk;
        disk.sync_directory(self.take_name(name)?)
    }

    /// The same, but for the device: gives the directory that is to be synced.
    pub(in crate::commit) fn take_name(self, name: &OsStr) -> io::Result<&'m Directory> {
        let Markers { disk, directory, .. } = self.markers;
        self.rename(name)?;
        forget_failed(*disk, directory, name)?;
        Ok(directory)
    }

    fn rename(mut self, name: &OsStr) -> io::Result<()> {
        let Markers { disk, directory, .. } = self.markers;
        let private = self.markers.private.directory();
        disk.rename((private, &self.name), (directory, name))?;
        self.renamed = true;
        Ok(())
    }
}

/// Takes the failed marker of the capture `name` away, which has another marker now.
fn forget_failed(disk: &impl Disk, markers: &Directory, name: &OsStr) -> io::Result<()> {
    match disk.remove(markers, &failed_name(name)) {
        // Nothing has a name that is too long for its directory.
        Err(error)
            if !matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::InvalidFilename
            ) =>
        {
            Err(error)
        }
        _ => Ok(()),
    }
}

/// Publishes a marker for recovery that waited as `waits` in the private directory when a crash came.
pub(super) fn publish_left(
    markers: &Directory,
    (private, waits): (&Directory, &OsStr),
    name: &OsStr,
) -> io::Result<()> {
    RealDisk.rename((private, waits), (markers, name))?;
    forget_failed(&RealDisk, markers, name)?;
    RealDisk.sync_directory(markers)
}

impl<D: Disk> Drop for Prepared<'_, '_, D> {
    fn drop(&mut self) {
        if !self.renamed {
            // What cannot be removed now is removed by the next recovery.
            let Markers { disk, private, .. } = self.markers;
            let _ = disk.remove(private.directory(), &self.name);
        }
    }
}
