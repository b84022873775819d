//! Finds and opens the trace of a capture, or the trace that is named itself.
//!
//! Apart because every question begins with it. A trace that has no end is read as far as it goes, and that is told; a
//! trace is never mapped, since nothing keeps others from writing to it.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::{Error, tell};
use crate::commit::disk::Directory;
use crate::commit::{TRACE_SUFFIX, marker, trace_name};
use crate::report::printable;
use crate::trace::{self, Reader, Storage};

/// A trace on disk.
#[derive(Debug)]
pub(super) struct Stored {
    file: File,
    size: u64,
}

impl Storage for Stored {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, position: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(bytes, position)
    }
}

/// A file by the directory that it is in and its name there.
pub(super) fn place(path: &Path) -> Result<(Directory, OsString), Error> {
    let failed = |source| Error::Open(printable(path), source);
    let name = path
        .file_name()
        .ok_or_else(|| failed(io::ErrorKind::InvalidInput.into()))?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let directory = Directory::open(parent.unwrap_or(Path::new("."))).map_err(failed)?;
    Ok((directory, name.to_owned()))
}

/// The trace at `path`, or that of the capture there. One without an end is read as far as it goes.
pub(super) fn trace(path: &Path) -> Result<Reader<Stored>, Error> {
    let (directory, name) = place(path)?;
    let is_trace = name.as_encoded_bytes().ends_with(TRACE_SUFFIX.as_bytes());
    let opened = if is_trace {
        let file = directory.open_file(&name);
        Some(stored(file).map_err(|source| Error::Open(printable(path), source))?)
    } else {
        of_capture(&directory, &name)?
    };
    let stored = opened.ok_or_else(|| Error::NoTrace(printable(trace_base(&directory, &name))))?;
    let again = stored.file.try_clone();
    match Reader::open(stored) {
        Err(error @ trace::Error::NoEnd { .. }) => {
            let file = again.map_err(|source| Error::Open(printable(path), source))?;
            let size = file.metadata().map_or(0, |metadata| metadata.len());
            let reader = Reader::scan(Stored { file, size })?;
            tell(&format!("{error}; this is what there is of it"));
            Ok(reader)
        }
        opened => Ok(opened?),
    }
}

/// The trace of the capture `name` in `directory`, not looked into yet; `None` where it has none.
pub(super) fn of_capture(directory: &Directory, name: &std::ffi::OsStr) -> Result<Option<Stored>, Error> {
    let name = trace_name(name);
    let opened = directory
        .below(marker::DIRECTORY.as_ref())
        .and_then(|markers| stored(markers.open_file(&name)));
    match opened {
        Ok(stored) => Ok(Some(stored)),
        // Nothing has a name that is too long for its directory.
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::InvalidFilename
            ) =>
        {
            Ok(None)
        }
        Err(source) => Err(Error::Open(printable(&name), source)),
    }
}

fn stored(file: io::Result<File>) -> io::Result<Stored> {
    let file = file?;
    let metadata = file.metadata()?;
    if metadata.is_file() {
        let size = metadata.len();
        Ok(Stored { file, size })
    } else {
        Err(io::Error::other("not a regular file"))
    }
}

/// Where the trace of a capture would be, but for its suffix.
fn trace_base(directory: &Directory, name: &std::ffi::OsStr) -> std::path::PathBuf {
    directory.path().join(marker::DIRECTORY).join(name)
}
