//! Markers: "this capture is slimmed already", and "this one never can be, for this reason".
//!
//! `.slim_markers/NAME` lies beside the captures: one line of JSON with what NAME was and what it is since it was slimmed.
//! Its `earlier` holds the slimmings before, the first of them first: what is known of an original is never overwritten.
//! Which file a marker is of, and whether that was changed since, is decided in `same`. An empty marker, as other tools
//! leave, counts for a capture that is not newer. `NAME.failed` holds the reason and the identity of a capture that was
//! given up. Markers are written in `write`. They are a convenience, never a proof: losing them costs a second look at each capture.

mod same;
mod write;

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::directory::open_regular;
use super::disk::{Directory, Disk, Identity, RealDisk, read_head};
use super::{STAGING_SUFFIX, TRACE_SUFFIX};
use crate::digest::Digests;
use crate::trace::format::MAGIC;
pub use same::{born, born_at};
pub(super) use write::publish_left;
pub use write::{Markers, Prepared};

/// The directory, beside the captures, that holds their markers.
pub const DIRECTORY: &str = ".slim_markers";
/// What is appended to a capture's name for its failed marker.
pub const FAILED_SUFFIX: &str = ".failed";

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
    let failed = read_head(&markers, &failed_name(name), LONGEST)?
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
    let Some(file) = open_regular(markers, name)? else {
        return Ok(None);
    };
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
