//! Who owns a directory and the captures in it, and what this process may do with files of others.
//!
//! Apart from what is tried, since here nothing is: no capture is opened or leased only to see whether that works.

use std::ffi::OsString;
use std::{fs, io};

use nix::fcntl::AtFlags;
use nix::sys::stat::{SFlag, fstatat};
use nix::unistd::{Uid, geteuid};
use serde::{Deserialize, Serialize};

use super::Answer;
use crate::commit::directory::Directory;

/// How many entries of a directory are looked at.
const MOST_LOOKED_AT: usize = 10_000;

/// What it takes to slim a capture of another user, by capabilities(7): number and name.
const NEEDED: [(u32, &str); 3] = [(28, "CAP_LEASE"), (0, "CAP_CHOWN"), (3, "CAP_FOWNER")];

/// A user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// User id.
    pub id: u32,
    /// Login name, where this machine knows one.
    pub name: Option<String>,
}

impl User {
    pub(super) fn of(id: u32) -> Self {
        let user = nix::unistd::User::from_uid(Uid::from_raw(id)).ok().flatten();
        Self {
            id,
            name: user.map(|user| user.name),
        }
    }

    pub(super) fn us() -> Self {
        Self::of(geteuid().as_raw())
    }
}

impl std::fmt::Display for User {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.name {
            Some(name) => formatter.write_str(name),
            None => write!(formatter, "user {}", self.id),
        }
    }
}

/// Whether files in the directory that belong to others can be slimmed.
pub(super) fn may_slim_others(directory: &Directory) -> io::Result<Answer> {
    let us = geteuid().as_raw();
    let names = directory.names()?;
    let owner = |name: &OsString| {
        let stat = fstatat(directory, name.as_os_str(), AtFlags::AT_SYMLINK_NOFOLLOW).ok()?;
        let kind = SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT;
        (kind == SFlag::S_IFREG).then_some(stat.st_uid)
    };
    let mut owners = names.iter().take(MOST_LOOKED_AT).filter_map(owner);
    let Some(other) = owners.find(|&owner| owner != us) else {
        return Ok(Answer::yes());
    };
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let missing = missing(&status);
    if missing.is_empty() {
        return Ok(Answer::yes());
    }
    Ok(Answer::no(format!(
        "there are files of {}, and {} lacks {}",
        User::of(other),
        User::us(),
        missing.join(", ")
    )))
}

/// Which of the needed capabilities are not in effect, by the text of /proc/self/status.
fn missing(status: &str) -> Vec<&'static str> {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let set = line.and_then(|set| u64::from_str_radix(set.trim(), 16).ok());
    let set = set.unwrap_or_default();
    let missing = NEEDED.iter().filter(|(number, _)| set & (1 << number) == 0);
    missing.map(|&(_, name)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_that_are_missing_are_named() {
        assert!(missing("Name:\tx\nCapEff:\t000001ffffffffff\n").is_empty());
        assert_eq!(missing("CapEff:\t0000000010000009\n"), [""; 0]);
        assert_eq!(missing("CapEff:\t0000000000000009\n"), ["CAP_LEASE"]);
        assert_eq!(missing(""), ["CAP_LEASE", "CAP_CHOWN", "CAP_FOWNER"]);
    }
}
