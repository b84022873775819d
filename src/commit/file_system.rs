//! Which file systems keep to a lease.
//!
//! A lease guards a capture only where every writer goes through the kernel that gave it. FUSE grants leases, but a writer
//! below the mount is not seen (tried with a bind mount); on network and cluster file systems the writer may be on another
//! machine. There a capture counts as unguarded, whatever fcntl(2) answers. overlayfs keeps to leases: changing its
//! layers below it is not allowed while it is mounted.

use std::io;
use std::os::fd::AsFd;

use nix::sys::statfs::fstatfs;

/// File systems with writers that this kernel does not see: `f_type` of statfs(2) and the name, from
/// include/uapi/linux/magic.h and the sources of each.
const UNSEEN_WRITERS: &[(i64, &str)] = &[
    (0x6573_5546, "FUSE"),
    (0x6969, "NFS"),
    (0x517b, "SMB"),
    (0xff53_4d42, "SMB"),
    (0xfe53_4d42, "SMB"),
    (0x0102_1997, "9p"),
    (0x00c3_6400, "Ceph"),
    (0x0bd0_0bd0, "Lustre"),
    (0x0116_1970, "GFS2"),
    (0x7461_636f, "OCFS2"),
    (0x5346_414f, "AFS"),
    (0x6b41_4653, "AFS"),
    (0x7375_7245, "Coda"),
    (0x4750_4653, "GPFS"),
    (0x2003_0528, "OrangeFS"),
    (0x786f_4256, "VirtualBox shared folder"),
    (0x1983_0326, "BeeGFS"),
];

/// The file systems that captures are usually on, for people.
const NAMES: &[(i64, &str)] = &[
    (0xef53, "ext4"),
    (0x5846_5342, "XFS"),
    (0x9123_683e, "btrfs"),
    (0x0102_1994, "tmpfs"),
    (0x794c_7630, "overlayfs"),
    (0xf2f5_2010, "F2FS"),
    (0x2fc1_2fc1, "ZFS"),
    (0x4d44, "FAT"),
    (0x2011_bab0, "exFAT"),
];

/// The type of a file system, as statfs(2) tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileSystem(i64);

impl FileSystem {
    /// That of an open file or directory.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn of(file: impl AsFd) -> io::Result<Self> {
        Ok(Self(fstatfs(file)?.filesystem_type().0))
    }

    /// Its name, where it is one of those on which a lease guards nothing.
    #[must_use]
    pub fn with_unseen_writers(self) -> Option<&'static str> {
        UNSEEN_WRITERS
            .iter()
            .find(|(number, _)| *number == self.0)
            .map(|&(_, name)| name)
    }

    /// What people call it; its number where it is none of the usual ones.
    #[must_use]
    pub fn name(self) -> String {
        UNSEEN_WRITERS
            .iter()
            .chain(NAMES)
            .find(|(number, _)| *number == self.0)
            .map_or_else(|| format!("type {:#x}", self.0), |&(_, name)| name.to_owned())
    }
}
