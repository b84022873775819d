//! Markers: "this capture is slimmed already", and "this one never can be, for this reason".
//!
//! `.slim_markers/NAME` lies beside the captures. Its existence says that NAME is slimmed; an empty one, as other tools
//! leave, counts. Ours holds one line of JSON with the size and modification time of the slimmed capture, so that a new
//! capture under an old name is not taken for it. `NAME.failed` holds the reason and the identity of a capture that
//! was given up. Markers are a convenience, never a proof: losing them costs a second look at each capture.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;

use serde::{Deserialize, Serialize};

use super::disk::{Directory, Disk, Identity, RealDisk, read_head, write_new};
use super::{STAGING_SUFFIX, TRACE_SUFFIX};
use crate::digest::Digests;
use crate::trace::format::MAGIC;

/// The directory, beside the captures, that holds their markers.
pub const DIRECTORY: &str = ".slim_markers";
/// What is appended to a capture's name for its failed marker.
pub const FAILED_SUFFIX: &str = ".failed";

/// More than any marker has, in bytes.
const LONGEST: u64 = 64 << 10;

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
}

/// What a failed marker says of a capture that was given up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// The version that gave up; another one may know better.
    pub version: String,
    /// Why.
    pub reason: String,
    /// Size of the capture, in bytes.
    pub size: u64,
    /// Its modification time, in nanoseconds since the epoch.
    pub modified_ns: i128,
}

/// What the markers say of a capture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Nothing that concerns it as it is now.
    Unmarked,
    /// It is slimmed.
    Slimmed,
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
    if let Some(text) = read_head(&markers, name, LONGEST)? {
        let holds =
            |marker: Slimmed| (marker.bytes_out, marker.modified_ns) == (identity.size, identity.modified);
        // What cannot be read was torn by a crash, or belongs to another capture: slimming again does no harm.
        if text.is_empty() || serde_json::from_slice(&text).is_ok_and(holds) {
            return Ok(State::Slimmed);
        }
    }
    let failed = read_head(&markers, &failed_name(name), LONGEST)?;
    if let Some(failed) = failed.and_then(|text| serde_json::from_slice::<Failed>(&text).ok())
        && (failed.size, failed.modified_ns) == (identity.size, identity.modified)
        && failed.version == VERSION
    {
        return Ok(State::Failed(failed.reason));
    }
    Ok(State::Unmarked)
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

/// Whether a file in the marker directory is a marker (empty, or one of ours) or a trace.
fn is_ours(markers: &Directory, name: &OsStr) -> io::Result<bool> {
    let text = read_head(markers, name, LONGEST)?;
    Ok(text.is_some_and(|text| {
        if name.as_bytes().ends_with(TRACE_SUFFIX.as_bytes()) {
            return text.starts_with(&MAGIC);
        }
        text.is_empty()
            || serde_json::from_slice::<Slimmed>(&text).is_ok()
            || serde_json::from_slice::<Failed>(&text).is_ok()
    }))
}

/// The marker directory of one directory of captures, for writing.
#[derive(Debug)]
pub struct Markers<'a, D: Disk> {
    disk: &'a D,
    directory: Directory,
    owner: Option<(u32, u32)>,
}

impl<'a, D: Disk> Markers<'a, D> {
    /// Opens the marker directory beside the captures in `captures`, or makes it, mode 0755.
    ///
    /// # Errors
    /// When it can be neither made nor opened, or is no directory.
    pub fn open(disk: &'a D, captures: &Directory, owner: Option<(u32, u32)>) -> io::Result<Self> {
        match disk.make_directory(captures, DIRECTORY.as_ref()) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(Self {
                disk,
                directory: captures.below(DIRECTORY.as_ref())?,
                owner,
            }),
            Err(error) => Err(error),
            Ok(()) => {
                let directory = captures.below(DIRECTORY.as_ref())?;
                if let Some(owner) = owner {
                    disk.set_directory_owner(&directory, owner)?;
                }
                disk.sync_directory(captures)?;
                Ok(Self {
                    disk,
                    directory,
                    owner,
                })
            }
        }
    }

    /// The marker directory itself, in which staging files may be made.
    #[must_use]
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Marks the capture `name` as slimmed, and takes a failed marker away.
    ///
    /// # Errors
    /// When the disk refuses; the capture is slimmed all the same.
    pub fn write(&self, name: &OsStr, marker: &Slimmed) -> io::Result<()> {
        self.replace(name, &serde_json::to_vec(marker)?)?;
        match self.disk.remove(&self.directory, &failed_name(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => self.disk.sync_directory(&self.directory),
        }
    }

    /// Marks the capture `name` as one that can never be slimmed.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn write_failed(&self, name: &OsStr, marker: &Failed) -> io::Result<()> {
        self.replace(&failed_name(name), &serde_json::to_vec(marker)?)?;
        self.disk.sync_directory(&self.directory)
    }

    /// Writes a new file under `name`, never into one that is there: it might be a link to anything.
    fn replace(&self, name: &OsStr, line: &[u8]) -> io::Result<()> {
        match self.disk.remove(&self.directory, name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let line = [line, b"\n"].concat();
        let file = write_new(self.disk, &self.directory, name, &line)?;
        if let Some(owner) = self.owner {
            self.disk.set_owner(&file, owner)?;
        }
        self.disk.set_mode(&file, 0o644)?;
        self.disk.sync(&file)
    }
}
