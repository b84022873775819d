//! Owner, mode, times and extended attributes: what a slimmed capture takes over from its original.
//!
//! This is the only file of the program that changes them, and it takes open descriptors, never names: between a look at
//! a name and a change through it, the owner of a directory can put another file there.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, fchown};
use std::time::SystemTime;

use nix::sys::stat::{Mode, fchmod};
use rustix::fs::{IFlags, fremovexattr, ioctl_getflags, ioctl_setflags};
use rustix::io::Errno;

/// The unit of `st_blocks`.
const BLOCK: u64 = 512;

/// The access control list, as an extended attribute.
const ACCESS_LIST: &str = "system.posix_acl_access";

/// The set-user-ID and set-group-ID bits.
const SET_ID: u32 = 0o6000;

/// `FS_NOCOMP_FL` of include/uapi/linux/fs.h, which rustix lacks.
const NO_COMPRESSION: IFlags = IFlags::from_bits_retain(0x400);

/// The inode flags that say how a file is to be stored, and not what state it is in.
const COPIED: IFlags = IFlags::COMPRESSED
    .union(IFlags::NODUMP)
    .union(IFlags::NOATIME)
    .union(NO_COMPRESSION)
    .union(IFlags::NOTAIL)
    .union(IFlags::SYNC)
    .union(IFlags::NOCOW);

/// What a slimmed capture takes over from its original.
#[derive(Debug, Clone)]
pub struct Attributes {
    /// User and group ids.
    pub owner: (u32, u32),
    /// Permission bits.
    pub mode: u32,
    /// Extended attributes, access control lists among them.
    pub extended: Vec<(OsString, Vec<u8>)>,
    /// Last access and last modification.
    pub times: (SystemTime, SystemTime),
    /// The inode flags of chattr(1), where the file system has them.
    pub flags: Option<u32>,
    /// Bytes that are allocated to it on the device.
    pub allocated: u64,
    /// Whether that is less than its size: it has holes.
    pub is_sparse: bool,
}

impl Attributes {
    /// Reads them from an open file.
    ///
    /// # Errors
    /// What the operating system says; a file system without extended attributes has none.
    pub fn of(file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        let times = (metadata.accessed()?, metadata.modified()?);
        let owner = (metadata.uid(), metadata.gid());
        Ok(Self {
            owner,
            mode: metadata.mode() & 0o7777,
            extended: extended_attributes(file)?,
            times,
            flags: ioctl_getflags(file).ok().map(|flags| flags.bits()),
            allocated: metadata.blocks().saturating_mul(BLOCK),
            is_sparse: metadata.blocks().saturating_mul(BLOCK) < metadata.len(),
        })
    }
}

impl Attributes {
    /// Why a file with these attributes cannot be replaced by another one, or must not be.
    #[must_use]
    pub fn obstacle(&self) -> Option<&'static str> {
        let flags = IFlags::from_bits_retain(self.flags.unwrap_or_default());
        if flags.contains(IFlags::IMMUTABLE) {
            Some("it is immutable (lsattr shows i)")
        } else if flags.contains(IFlags::APPEND) {
            Some("it is append-only (lsattr shows a)")
        } else if self.mode & SET_ID != 0 {
            Some("it has a set-user-ID or set-group-ID bit")
        } else {
            None
        }
    }

    /// The flags that a file with the flags `has` gets, so that it has those of this one that can be copied.
    #[must_use]
    pub fn flags_over(&self, has: u32) -> u32 {
        let copied = COPIED.bits();
        (has & !copied) | (self.flags.unwrap_or(has) & copied)
    }
}

/// Bytes that are allocated to a file on the device.
///
/// # Errors
/// What the operating system says.
pub fn allocated(file: &File) -> io::Result<u64> {
    Ok(file.metadata()?.blocks().saturating_mul(BLOCK))
}

fn extended_attributes(file: &File) -> io::Result<Vec<(OsString, Vec<u8>)>> {
    let names = match xattr::FileExt::list_xattr(file) {
        Ok(names) => names,
        Err(error) if error.kind() == io::ErrorKind::Unsupported => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut attributes = Vec::new();
    for name in names {
        if let Some(value) = xattr::FileExt::get_xattr(file, &name)? {
            attributes.push((name, value));
        }
    }
    Ok(attributes)
}

/// Sets owner and group.
///
/// # Errors
/// What the operating system says; so for all the others.
pub fn set_owner(file: impl AsFd, (user, group): (u32, u32)) -> io::Result<()> {
    fchown(file, Some(user), Some(group))
}

/// Sets the permission bits.
///
/// # Errors
/// As [`set_owner`].
pub fn set_mode(file: impl AsFd, mode: u32) -> io::Result<()> {
    Ok(fchmod(file, Mode::from_bits_truncate(mode))?)
}

/// Sets one extended attribute.
///
/// # Errors
/// As [`set_owner`].
pub fn set_extended(file: &File, name: &OsStr, value: &[u8]) -> io::Result<()> {
    xattr::FileExt::set_xattr(file, name, value)
}

/// Takes away the access control list that a new file has from its directory: whoever the directory's owner lets in there
/// would be let into the capture too, which may be another's.
///
/// # Errors
/// As [`set_owner`].
pub fn forget_inherited_list(file: impl AsFd) -> io::Result<()> {
    match fremovexattr(file, ACCESS_LIST) {
        Ok(()) | Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Sets the inode flags of chattr(1).
///
/// # Errors
/// As [`set_owner`].
pub fn set_flags(file: &File, flags: u32) -> io::Result<()> {
    Ok(ioctl_setflags(file, IFlags::from_bits_retain(flags))?)
}

/// Sets last access and last modification.
///
/// # Errors
/// As [`set_owner`].
pub fn set_times(file: &File, (accessed, modified): (SystemTime, SystemTime)) -> io::Result<()> {
    file.set_times(
        std::fs::FileTimes::new()
            .set_accessed(accessed)
            .set_modified(modified),
    )
}
