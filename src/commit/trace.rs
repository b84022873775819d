//! Brings a trace into place, and takes it away again where the capture does not follow.
//!
//! A trace grows in the private directory like the slimmed file, so a crash leaves nothing that recovery does not know. Under its own name it is always whole. It is there before the capture
//! is replaced: a slimmed capture whose trace was asked for is never without it. What a trace beside an original means is
//! said in [`super`].

use std::ffi::{OsStr, OsString};
use std::io;

use super::disk::{Attributes, Directory, Disk};
use super::{Error, Staging, Verified, failed, marker};

/// What is appended to a capture's name for its trace.
pub const TRACE_SUFFIX: &str = ".slimtrace";

/// The name of the trace of the capture `name`, in its marker directory.
#[must_use]
pub fn trace_name(name: &OsStr) -> OsString {
    let mut trace = name.to_owned();
    trace.push(TRACE_SUFFIX);
    trace
}

/// A trace under its own name, on the device. Dropped before [`Published::keep`], it is removed.
#[derive(Debug)]
pub(super) struct Published<'a, D: Disk> {
    disk: &'a D,
    markers: Directory,
    name: OsString,
    keep: bool,
}

impl<'a, D: Disk> Verified<Staging<'a, D>> {
    /// Gives the trace the owner and mode of its capture, syncs it and brings it to its name.
    pub(super) fn publish(
        self,
        directory: &Directory,
        capture: &OsStr,
        attributes: &Attributes,
    ) -> Result<Published<'a, D>, Error> {
        let Self(mut staging) = self;
        let (disk, staged) = (staging.disk, staging.named()?);
        let has = Attributes::of(&staging.file).map_err(failed("look at the trace"))?;
        if has.owner != attributes.owner {
            disk.set_owner(&staging.file, attributes.owner)
                .map_err(failed("give the trace to the owner of the capture"))?;
        }
        // Who may read the capture may read what was cut from it; nobody executes it.
        disk.set_mode(&staging.file, attributes.mode & 0o666)
            .map_err(failed("set the mode of the trace"))?;
        disk.sync(&staging.file).map_err(failed("sync the trace"))?;
        let markers = directory
            .below(marker::DIRECTORY.as_ref())
            .map_err(failed("open the marker directory"))?;
        let name = trace_name(capture);
        disk.rename((staging.private.directory(), &staged), (&markers, &name))
            .map_err(failed("bring the trace to its name"))?;
        staging.is_gone();
        let published = Published {
            disk,
            markers,
            name,
            keep: false,
        };
        disk.sync_directory(&published.markers)
            .map_err(failed("sync the marker directory"))?;
        Ok(published)
    }
}

impl<D: Disk> Published<'_, D> {
    /// The capture has followed: the trace stays.
    pub(super) fn keep(mut self) {
        self.keep = true;
    }
}

impl<D: Disk> Drop for Published<'_, D> {
    fn drop(&mut self) {
        if !self.keep {
            // One that cannot be removed says by itself that the capture was not replaced.
            let _ = self.disk.remove(&self.markers, &self.name);
        }
    }
}

/// Removes the trace of the capture `name`, which tells of what the capture no longer is. It is no error that there is
/// none.
///
/// # Errors
/// When the disk refuses.
pub fn forget_trace(disk: &impl Disk, markers: &Directory, name: &OsStr) -> io::Result<()> {
    match disk.remove(markers, &trace_name(name)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
