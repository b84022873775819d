//! What a crash left behind: finish it or remove it.
//!
//! In the private directory nothing can be anybody else's, and its lock says whether a process is at work there. What was
//! being written is removed, and so is an original that was replaced, unless it was written to: then it is kept as
//! `NAME.conflict`. A marker that waits for its capture gets its name where that is slimmed, since it says what the original
//! was; otherwise it is removed. A slimmed capture without any is slimmed again, which changes nothing and marks it.
//! Versions before 0.2 left `NAME.tmp` in the marker directory, which is ours, or beside the capture, which may be another
//! tool's: there it must be old, and must not be a capture of its own. Markers and traces whose captures are gone go too.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use super::directory::{Directory, Identity};
use super::disk::{Disk, RealDisk, read_head};
use super::linger::keep_beside;
use super::private::{self, Exchange, Held, Private};
use super::{STAGING_SUFFIX, marker, with_causes};
use crate::capture::compression::{Limit, Plain};
use crate::capture::{Bytes, Error, format};

/// How long a staging file beside captures must not have changed before it is taken for a leftover: other tools that
/// stage under the same name hold no lock.
const OLD: Duration = Duration::from_secs(300);

/// As much of a classic pcap as tells two captures apart: the file header and the first timestamp, in bytes.
const TELLING: usize = 32;

/// As much of a compressed capture as expands to that, in bytes.
const HEAD: u64 = 64 << 10;

/// How certain it is that a staging file without a lock is left over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Certainty {
    /// It lies in the marker directory, where only we write.
    Ours,
    /// It lies beside captures, where other tools write too.
    Beside,
}

/// What was found in a directory, and what was done.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Files that were being written, and originals that were replaced, all removed.
    pub removed: Vec<PathBuf>,
    /// Files that were written to after they had been replaced, under the names by which they are kept.
    pub kept: Vec<PathBuf>,
    /// Files that were left, each with the reason.
    pub left: Vec<(PathBuf, String)>,
    /// How many markers and traces were removed because their captures are gone.
    pub stale: usize,
}

/// Takes up what a crash left in one directory (not recursive) and its marker directory.
///
/// # Errors
/// When the directory cannot be read.
pub fn directory(captures: &Directory) -> io::Result<Recovered> {
    let mut recovered = Recovered::default();
    match captures.below(marker::DIRECTORY.as_ref()) {
        Ok(markers) => {
            // First, since what is beside captures and also there is certain to be ours.
            private(captures, &markers, &mut recovered)?;
            sweep(&markers, Certainty::Ours, &mut recovered)?;
            recovered.stale = marker::forget_gone(captures, &markers)?;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => recovered
            .left
            .push((captures.path().join(marker::DIRECTORY), error.to_string())),
    }
    sweep(captures, Certainty::Beside, &mut recovered)?;
    Ok(recovered)
}

/// Takes up what is in the private directory, unless a process is at work in it.
fn private(captures: &Directory, markers: &Directory, recovered: &mut Recovered) -> io::Result<()> {
    let private = match Private::open_left(markers) {
        Ok(Some(private)) => private,
        Ok(None) => return Ok(()),
        Err(error) => {
            let path = markers.path().join(private::NAME);
            recovered.left.push((path, with_causes(&error)));
            return Ok(());
        }
    };
    let mut names = private.directory().names()?;
    // What a marker waits for may have to get its name first.
    names.sort_by_key(|name| matches!(Held::parse(name), Some(Held::Marker(_))));
    for name in names {
        let path = private.directory().path().join(&name);
        match resolve(captures, markers, &private, &name) {
            Ok(Some(Resolved::Removed)) => recovered.removed.push(path),
            Ok(Some(Resolved::Kept(kept))) => recovered.kept.push(kept),
            Ok(Some(Resolved::Marked)) => {}
            Ok(None) => recovered
                .left
                .push((path, "not a file of this program".to_owned())),
            Err(error) => recovered.left.push((path, error.to_string())),
        }
    }
    Ok(())
}

enum Resolved {
    Removed,
    Kept(PathBuf),
    Marked,
}

/// Takes up one file of the private directory; `None` where it is none of ours.
fn resolve(
    captures: &Directory,
    markers: &Directory,
    private: &Private,
    name: &OsStr,
) -> io::Result<Option<Resolved>> {
    let identity = private.directory().identity(name)?;
    let exchange = match Held::parse(name) {
        None => return Ok(None),
        Some(Held::Staging) => {
            remove_twin(captures, &identity)?;
            RealDisk.remove(private.directory(), name)?;
            return Ok(Some(Resolved::Removed));
        }
        Some(Held::Marker(exchange)) => {
            let slimmed = name_of(captures, &exchange, |there| exchange.is_slimmed(there))?;
            return Ok(Some(if let Some(capture) = slimmed {
                marker::publish_left(markers, (private.directory(), name), &capture)?;
                Resolved::Marked
            } else {
                RealDisk.remove(private.directory(), name)?;
                Resolved::Removed
            }));
        }
        Some(Held::Exchange(exchange)) => exchange,
    };
    let is_unchanged = exchange.is_original(&identity) || exchange.is_slimmed(&identity);
    let capture = name_of(captures, &exchange, |there| {
        [exchange.original, exchange.slimmed].contains(&there.inode.1)
    })?;
    if is_unchanged && capture.is_some() {
        RealDisk.remove(private.directory(), name)?;
        return Ok(Some(Resolved::Removed));
    }
    if is_unchanged && captures.identity(&exchange.capture).is_err() {
        // Nothing has the name: whatever became of the other file, this one is whole.
        let to = (captures, exchange.capture.as_os_str());
        if RealDisk.rename_new((private.directory(), name), to).is_ok() {
            RealDisk.sync_directory(captures)?;
            return Ok(Some(Resolved::Kept(captures.path().join(&exchange.capture))));
        }
    }
    if is_unchanged && exchange.is_slimmed(&identity) {
        RealDisk.remove(private.directory(), name)?;
        return Ok(Some(Resolved::Removed));
    }
    let capture = capture.unwrap_or(exchange.capture);
    let kept = keep_beside(&RealDisk, (private, name), (captures, &capture)).map_err(io::Error::other)?;
    Ok(Some(Resolved::Kept(kept)))
}

/// The name beside the captures of the file of an exchange that `is_it` knows.
fn name_of(
    captures: &Directory,
    exchange: &Exchange,
    is_it: impl Fn(&Identity) -> bool,
) -> io::Result<Option<OsString>> {
    let has_it = |name: &OsStr| captures.identity(name).is_ok_and(|there| is_it(&there));
    if has_it(&exchange.capture) {
        return Ok(Some(exchange.capture.clone()));
    }
    // Its name did not fit, or somebody has renamed it.
    Ok(captures.names()?.into_iter().find(|name| has_it(name)))
}

/// Removes the name beside a capture that a staging file has too.
fn remove_twin(captures: &Directory, identity: &Identity) -> io::Result<()> {
    for name in captures.names()? {
        if name.as_bytes().ends_with(STAGING_SUFFIX.as_bytes())
            && captures
                .identity(&name)
                .is_ok_and(|there| there.inode == identity.inode)
        {
            RealDisk.remove(captures, &name)?;
        }
    }
    Ok(())
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

/// Removes the staging file `name` beside captures if it is certain to be left over from a crash; says whether it did.
pub(super) fn remove_beside(disk: &impl Disk, directory: &Directory, name: &OsStr) -> io::Result<bool> {
    remove_leftover(disk, directory, name, Certainty::Beside)
}

/// Removes the staging file `name` if it is certain to be left over from a crash; says whether it did.
fn remove_leftover(
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
    let staged = read_head(directory, name, HEAD)?.unwrap_or_default();
    let capture = if stem.is_empty() {
        None
    } else {
        read_head(directory, OsStr::from_bytes(stem), HEAD)?
    };
    let (staged, capture) = (expanded_head(&staged), capture.map(|head| expanded_head(&head)));
    let foreign = !matches!(format::detect(&staged), Err(Error::NotACapture(_)));
    Ok(capture.is_some_and(|capture| capture.starts_with(&staged) || !foreign))
}

/// As much of a capture's beginning as tells it from others, expanded where it is compressed: two streams of the same bytes
/// need not begin with the same ones.
fn expanded_head(head: &[u8]) -> Vec<u8> {
    let mut expanded = match Plain::open(head, Limit::NONE) {
        Ok(plain) if plain.compression().is_some() => plain,
        _ => return head.get(..TELLING).unwrap_or(head).to_vec(),
    };
    // A stream that ends too early gives what came before that.
    let length = (0..=TELLING).rev().find(|&length| {
        expanded
            .window(0, length)
            .is_ok_and(|window| window.len() >= length)
    });
    let window = expanded.window(0, length.unwrap_or_default()).unwrap_or_default();
    window
        .get(..length.unwrap_or_default())
        .unwrap_or_default()
        .to_vec()
}
