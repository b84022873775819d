//! Writes markers: under a private name first, synced, and then under their own.
//!
//! Apart from what they say, since a marker of a capture that is being replaced waits under a name by which recovery finds
//! that capture ([`Exchange`]).

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::sync::Arc;

use super::{DIRECTORY, Failed, LONGEST, Slimmed, failed_name};
use crate::commit::disk::{Directory, Disk, Identity, RealDisk, read_head};
use crate::commit::private::{Exchange, MARKER, Private};
use crate::commit::{Error, failed};

/// The mode of the marker directory.
const MODE: u32 = 0o755;

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
pub(in crate::commit) fn publish_left(
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
