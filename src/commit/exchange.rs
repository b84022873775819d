//! The exchange: from a synced slimmed file to one that has the name of the capture, while the original waits under a
//! private name.
//!
//! Apart from what comes before it, because from here on the capture can be another file, and every way out must leave its
//! name with a whole one. Between a look at a name and its exchange the owner of the directory can put another file
//! there; so what was exchanged is looked at afterwards, and exchanged back where it is not the original.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::directory::{Directory, Identity};
use super::disk::Disk;
use super::linger::{Lingering, Side, Standing, Watched, lacks};
use super::marker::Prepared;
use super::private::{Exchange, LINKED};
use super::{Error, Original, Staging, failed};
use crate::lease::{Lease, Refused};

/// How often, and after which pause, a lease on the slimmed file is tried for again.
const MOST_TRIES: u32 = 100;
const BETWEEN_TRIES: Duration = Duration::from_millis(2);

/// Steps 7 to 11: from a synced slimmed file to one that has the name of the capture, and its marker.
pub(super) fn exchange<'d, D: Disk>(
    mut staging: Staging<'d, D>,
    dressed: &Identity,
    original: Original<'_>,
    marker: Option<Prepared<'_, 'd, D>>,
) -> Result<Lingering<'d, D>, Error> {
    let (disk, private) = (staging.disk, Arc::clone(&staging.private));
    let exchange = Exchange::new(&original.identity, dressed, original.name);
    let held = exchange.name("");
    staging.rename(&held)?;
    // A file that is open for writing gets no lease, and closing it under the capture's name would tell watchers that
    // somebody had written to it.
    let file = staging.reopen()?;
    let watched = original.watched()?;
    if Identity::now(&original.file).ok() != Some(original.identity) {
        return Err(Error::Changed);
    }
    original.is_there()?;
    let slimmed = Identity::of(&file).map_err(failed("look at the slimmed file"))?;
    if slimmed.inode != dressed.inode || !exchange.is_slimmed(&slimmed) || slimmed.size != dressed.size {
        return Err(Error::Changed);
    }
    let guarded = if original.is_guarded {
        Watched::Leased(lease_of_ours(&file)?)
    } else {
        Watched::Compared(slimmed)
    };
    let (from, to) = (
        (private.directory(), held.as_os_str()),
        (&**original.directory, original.name),
    );
    let linked = match disk.exchange(from, to) {
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => return Err(Error::Elsewhere),
        // Somebody has removed the capture.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Error::Changed),
        Err(error) if lacks(&error) => Some(link_and_rename(disk, &original, &exchange, from, to)?),
        exchanged => {
            exchanged.map_err(failed("exchange the slimmed file and the capture"))?;
            None
        }
    };
    staging.is_gone();
    let mut lingering = Lingering {
        disk,
        directory: Arc::clone(original.directory),
        name: original.name.to_owned(),
        held: linked.as_ref().unwrap_or(&held).clone(),
        original: Side {
            inode: original.identity.inode,
            file: original.file,
            watched,
        },
        slimmed: Side {
            inode: slimmed.inode,
            file,
            watched: guarded,
        },
        without_exchange: linked.is_some().then_some(held),
        private,
        standing: Standing::Replaced,
        marked: Ok(()),
        since: Instant::now(),
        linger: original.linger,
        settled: false,
    };
    lingering.confirm(marker);
    Ok(lingering)
}

/// Takes a lease on the slimmed file. Nobody else can have it open; but where this process starts another one, that has
/// all descriptors until it executes its program, the one by which the file was written among them.
fn lease_of_ours(file: &File) -> Result<Lease, Error> {
    for _ in 0..MOST_TRIES {
        match Lease::take(file) {
            Ok(lease) => return Ok(lease),
            Err(Refused::Busy) => std::thread::sleep(BETWEEN_TRIES),
            Err(Refused::Unavailable(source)) => return Err(Error::Unguarded(source)),
        }
    }
    Err(Error::Busy)
}

/// Replaces the capture where names cannot be exchanged; gives the name that the original has in the private directory.
fn link_and_rename<D: Disk>(
    disk: &D,
    original: &Original<'_>,
    exchange: &Exchange,
    from: (&Directory, &OsStr),
    to: (&Directory, &OsStr),
) -> Result<OsString, Error> {
    let name = exchange.name(LINKED);
    match disk.link(&original.file, (from.0, &name)) {
        Err(error) if lacks(&error) || error.kind() == io::ErrorKind::PermissionDenied => {
            return Err(Error::NoExchange);
        }
        // Somebody has removed the capture.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Error::Changed),
        linked => linked.map_err(failed("link the capture into the private directory"))?,
    }
    // Linking changed when the original was last changed, so only its inode is compared. What is put under the name
    // between this and the rename is lost: no call of such a file system leaves it.
    let is_there =
        to.0.identity(to.1)
            .is_ok_and(|there| there.inode == original.identity.inode);
    let renamed = if is_there {
        disk.rename(from, to).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Error::Changed,
            _ => failed("rename the slimmed file over the capture")(error),
        })
    } else {
        Err(Error::Changed)
    };
    if let Err(error) = renamed {
        // What cannot be removed now is removed by recovery.
        let _ = disk.remove(from.0, &name);
        return Err(error);
    }
    Ok(name)
}

impl<'d, D: Disk> Lingering<'d, D> {
    /// Whether each name leads to the other file, on the device too; otherwise the capture is put back. Gives the capture its
    /// marker before the directories are synced, so that one commit of a journal holds it all. Asks for a writer that came
    /// in the meantime.
    fn confirm(&mut self, marker: Option<Prepared<'_, 'd, D>>) {
        let private = Arc::clone(&self.private);
        let named = self.directory.identity(&self.name).map(|there| there.inode);
        let waits = private.directory().identity(&self.held).map(|there| there.inode);
        if waits.ok() != Some(self.original.inode) {
            // Another file had been put under the name.
            return self.put_back(Error::Changed);
        }
        match named {
            Ok(inode) if inode == self.slimmed.inode => {}
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                let operation = "look at the slimmed capture";
                return self.put_back(Error::Disk { operation, source });
            }
            _ => return self.keep(),
        }
        if let Err(error) = self.compare_from_now() {
            return self.put_back(error);
        }
        let named_marker = marker.map(|marker| marker.take_name(&self.name));
        let synced = self
            .disk
            .sync_directory(&self.directory)
            .and_then(|()| self.disk.sync_directory(private.directory()));
        if let Err(source) = synced {
            let operation = "sync the directory";
            return self.put_back(Error::Disk { operation, source });
        }
        // Where this fails the capture is replaced all the same.
        self.marked = named_marker.map_or(Ok(()), |markers| self.disk.sync_directory(markers?));
        self.since = Instant::now();
        self.ask();
    }

    /// Where no lease tells of writers, what the files are now, after the exchange changed when they were last changed.
    /// Somebody may have written to the slimmed file since it has the name.
    fn compare_from_now(&mut self) -> Result<(), Error> {
        if !self.original.is_renamed()? {
            return Err(Error::Changed);
        }
        if !self.slimmed.is_renamed()? {
            self.slimmed.let_writer_in();
        }
        Ok(())
    }
}
