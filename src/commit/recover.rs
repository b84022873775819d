//! What a crash left behind: finish it or remove it.
//!
//! A crash can leave a staging file, or a slimmed capture without its marker. The latter needs nothing: slimming it
//! again changes nothing and marks it. A staging file is removed when nobody holds its lock and nothing that only it
//! holds would be lost. In the marker directory every `*.tmp` is ours. Beside captures it may be another tool's: there
//! it must be old, and must not be a capture of its own. Markers and traces whose captures are gone go too.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::disk::{Directory, Disk, Identity, RealDisk, read_head};
use super::{STAGING_SUFFIX, marker};
use crate::capture::{Error, format};

/// How long a staging file beside captures must not have changed before it is taken for a leftover: other tools that
/// stage under the same name hold no lock.
const OLD: Duration = Duration::from_secs(300);

/// As much of a classic pcap as tells two captures apart: the file header and the first timestamp, in bytes.
const TELLING: u64 = 32;

/// How certain it is that a staging file without a lock is left over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Certainty {
    /// It lies in the marker directory, where only we write.
    Ours,
    /// It lies beside captures, where other tools write too.
    Beside,
}

/// What was found in a directory, and what was done.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Staging files that were removed.
    pub removed: Vec<PathBuf>,
    /// Staging files that were left, each with the reason.
    pub left: Vec<(PathBuf, String)>,
    /// How many markers and traces were removed because their captures are gone.
    pub stale: usize,
}

/// Removes what a crash left in one directory (not recursive) and its marker directory.
///
/// # Errors
/// When the directory cannot be read.
pub fn directory(path: &Path) -> io::Result<Recovered> {
    let captures = Directory::open(path)?;
    let mut recovered = Recovered::default();
    sweep(&captures, Certainty::Beside, &mut recovered)?;
    match captures.below(marker::DIRECTORY.as_ref()) {
        Ok(markers) => {
            sweep(&markers, Certainty::Ours, &mut recovered)?;
            recovered.stale = marker::forget_gone(&captures, &markers)?;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => recovered
            .left
            .push((path.join(marker::DIRECTORY), error.to_string())),
    }
    Ok(recovered)
}

fn sweep(directory: &Directory, certainty: Certainty, recovered: &mut Recovered) -> io::Result<()> {
    for name in directory.names()? {
        if !name.as_bytes().ends_with(STAGING_SUFFIX.as_bytes()) {
            continue;
        }
        let path = directory.path().join(&name);
        match remove_leftover(&RealDisk, directory, &name, certainty) {
            Ok(true) => recovered.removed.push(path),
            Ok(false) if certainty == Certainty::Ours => recovered.left.push((path, "in use".to_owned())),
            // Beside captures a name that ends so need not be any slimmer's.
            Ok(false) => {}
            Err(error) => recovered.left.push((path, error.to_string())),
        }
    }
    Ok(())
}

/// Removes the staging file `name` if it is certain to be left over from a crash; says whether it did.
pub(super) fn remove_leftover(
    disk: &impl Disk,
    directory: &Directory,
    name: &OsStr,
    certainty: Certainty,
) -> io::Result<bool> {
    let file = match directory.open_file(name) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    // The lock is held until the name is gone, so that whoever creates it anew cannot be mistaken for this one.
    if !file.metadata()?.is_file() || file.try_lock().is_err() {
        return Ok(false);
    }
    if certainty == Certainty::Beside && !(is_old(&file)? && holds_nothing_else(directory, name)?) {
        return Ok(false);
    }
    if directory.identity(name)?.inode != Identity::of(&file)?.inode {
        return Ok(false);
    }
    disk.remove(directory, name)?;
    Ok(true)
}

fn is_old(file: &File) -> io::Result<bool> {
    let modified = file.metadata()?.modified()?;
    Ok(SystemTime::now()
        .duration_since(modified)
        .is_ok_and(|age| age >= OLD))
}

/// Whether a staging file beside captures is that of the capture it is named after, or no capture at all (as after a
/// power loss).
fn holds_nothing_else(directory: &Directory, name: &OsStr) -> io::Result<bool> {
    let stem = name
        .as_bytes()
        .strip_suffix(STAGING_SUFFIX.as_bytes())
        .unwrap_or_default();
    let staged = read_head(directory, name, TELLING)?.unwrap_or_default();
    let capture = if stem.is_empty() {
        None
    } else {
        read_head(directory, OsStr::from_bytes(stem), TELLING)?
    };
    let foreign = !matches!(format::detect(&staged), Err(Error::NotACapture(_)));
    Ok(capture.is_some_and(|capture| capture.starts_with(&staged) || !foreign))
}
