//! Writes the page for a browser: whole or not at all, and never over a capture. The one thing that `explain` writes.
//!
//! It grows in a nameless-to-others temporary file beside its name and takes the name when it is on disk. A file that is
//! there is replaced only if the operator says so, and then only an ordinary file that does not begin like a capture of
//! any kind; a link, a directory or a device never. `tempfile` does the creating and renaming: it neither follows what
//! somebody else put in the way, nor leaves its file behind after an error.

use std::fs::{self, File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::Builder;

use crate::capture::{self, format};
use crate::report::printable;

/// Enough for every magic number.
const HEAD: u64 = 64;
/// Whatever the umask leaves of this.
const MODE: u32 = 0o666;

/// Why the page cannot be written.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("{} is there already; --force replaces it", printable(.0))]
    Exists(PathBuf),
    #[error("{} is no ordinary file, so no page is written over it", printable(.0))]
    NotAFile(PathBuf),
    #[error("{} is a capture, so no page is written over it", printable(.0))]
    Capture(PathBuf),
    #[error("cannot write {}", printable(.0))]
    Io(PathBuf, #[source] io::Error),
}

/// Whether a page may be written there.
pub(super) fn check(out: &Path, force: bool) -> Result<(), Error> {
    let failed = |error| Error::Io(out.to_owned(), error);
    let metadata = match out.symlink_metadata() {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let directory = directory(out).metadata().map_err(failed)?;
            return if directory.is_dir() && out.file_name().is_some() {
                Ok(())
            } else {
                Err(failed(io::ErrorKind::NotADirectory.into()))
            };
        }
        Err(error) => return Err(failed(error)),
    };
    if !metadata.is_file() {
        return Err(Error::NotAFile(out.to_owned()));
    }
    let mut head = Vec::new();
    File::open(out)
        .and_then(|file| file.take(HEAD).read_to_end(&mut head))
        .map_err(failed)?;
    match format::detect(&head) {
        Err(capture::Error::NotACapture(_)) if force => Ok(()),
        Err(capture::Error::NotACapture(_)) => Err(Error::Exists(out.to_owned())),
        _ => Err(Error::Capture(out.to_owned())),
    }
}

/// Writes the page, in place of a file that is there only with `force`.
pub(super) fn write(out: &Path, page: &str, force: bool) -> Result<(), Error> {
    check(out, force)?;
    let failed = |error| Error::Io(out.to_owned(), error);
    let mut file = Builder::new()
        .prefix(".pcap-slim-explain-")
        .permissions(Permissions::from_mode(MODE))
        .tempfile_in(directory(out))
        .map_err(failed)?;
    file.write_all(page.as_bytes()).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    let named = if force {
        file.persist(out)
    } else {
        file.persist_noclobber(out)
    };
    named.map_err(|error| failed(error.error))?;
    // The name is on disk too, where the directory can be asked for that.
    fs::File::open(directory(out))
        .and_then(|directory| directory.sync_all())
        .or_else(|error| match error.kind() {
            io::ErrorKind::PermissionDenied => Ok(()),
            _ => Err(failed(error)),
        })
}

fn directory(out: &Path) -> &Path {
    match out.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}
