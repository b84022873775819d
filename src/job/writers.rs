//! Who has a file open for writing, as far as /proc tells.
//!
//! It stands in for a lease where none can be had, and is weaker: a process that opens the file afterwards is not seen, nor
//! are the descriptors of other users' processes without `CAP_SYS_PTRACE`, nor writers on other machines.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The flags of open(2) that let a process write, in octal as fdinfo shows them.
const WRITING: u32 = 0o3;

/// The number of a process that has the file open for writing; device and inode name it.
pub(super) fn of(inode: (u64, u64)) -> Option<u32> {
    let processes = fs::read_dir("/proc").ok()?;
    processes.flatten().find_map(|process| {
        let number = process.file_name().to_str()?.parse().ok()?;
        writes(&process.path(), inode).ok()?.then_some(number)
    })
}

/// Whether a process has the file open for writing.
fn writes(process: &Path, inode: (u64, u64)) -> io::Result<bool> {
    for descriptor in fs::read_dir(process.join("fd"))? {
        let descriptor = descriptor?;
        let is_it =
            fs::metadata(descriptor.path()).is_ok_and(|metadata| (metadata.dev(), metadata.ino()) == inode);
        if is_it && is_open_for_writing(&process.join("fdinfo").join(descriptor.file_name())) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn is_open_for_writing(fdinfo: &Path) -> bool {
    let flags = |text: String| {
        let line = text.lines().find_map(|line| line.strip_prefix("flags:"))?;
        u32::from_str_radix(line.trim(), 8).ok()
    };
    fs::read_to_string(fdinfo)
        .ok()
        .and_then(flags)
        .is_some_and(|flags| flags & WRITING != 0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::fs::File;

    use super::*;

    #[test]
    fn a_process_that_reads_is_no_writer_and_one_that_appends_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        fs::write(&path, b"a").unwrap();
        let metadata = fs::metadata(&path).unwrap();
        let inode = (metadata.dev(), metadata.ino());
        let _reader = File::open(&path).unwrap();
        assert_eq!(of(inode), None);
        let _writer = File::options().append(true).open(&path).unwrap();
        assert_eq!(of(inode), Some(std::process::id()));
    }
}
