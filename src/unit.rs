//! The drop-in by which systemd lets the daemon reach the configured directories.
//!
//! The unit as it is installed may write nowhere: which directories it needs is known from the configuration only.
//! Apart from `config`, for what is printed depends on the disk too: a directory below a place that the unit replaces
//! by an empty one must be mounted into it, and links decide where a directory is. How systemd splits, unquotes and
//! expands such a line is systemd.syntax(7), systemd.unit(5) on specifiers and systemd.exec(5).

use std::fmt::Write;
use std::path::{Path, PathBuf};

use crate::malcolm;

/// Places that the unit does not show, each with what makes it appear as an empty directory to mount into.
const HIDDEN: [(&str, Option<&str>); 5] = [
    ("/home", Some("ProtectHome=tmpfs")),
    ("/root", Some("ProtectHome=tmpfs")),
    ("/run/user", Some("ProtectHome=tmpfs")),
    // Private ones, empty as they are.
    ("/tmp", None),
    ("/var/tmp", None),
];

/// Why there is no drop-in for a directory.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A unit is lines of UTF-8 text.
    #[error("{path:?} cannot be written in a unit: control characters, or not UTF-8")]
    Unwritable {
        /// The directory.
        path: PathBuf,
    },
    /// Mounting it would give the place away that the unit hides.
    #[error("{path:?} is hidden by the unit as a whole; watch a directory below it")]
    Hidden {
        /// The directory.
        path: PathBuf,
    },
}

/// The drop-in for the directories that are written to, and those that are only read. None need exist.
///
/// # Errors
/// A directory that no unit can name, or should.
pub fn drop_in<'a>(
    written: impl IntoIterator<Item = &'a Path>,
    read: impl IntoIterator<Item = &'a Path>,
) -> Result<String, Error> {
    let mut protect_home = None;
    let mut lines = Vec::new();
    let read = read.into_iter().map(|directory| (directory, false));
    for (directory, is_written) in written.into_iter().map(|directory| (directory, true)).chain(read) {
        let resolved = resolved(directory);
        for path in [directory, &resolved] {
            let hidden = HIDDEN.into_iter().find(|(place, _)| path.starts_with(place));
            let (setting, is_hidden_itself) = match hidden {
                // What is not hidden can be read.
                None if !is_written => continue,
                None => {
                    lines.push(format!("ReadWritePaths={}", word(path)?));
                    continue;
                }
                Some((place, setting)) => (setting, path == Path::new(place)),
            };
            if is_hidden_itself {
                let path = path.to_owned();
                return Err(Error::Hidden { path });
            }
            protect_home = protect_home.or(setting);
            if !is_written {
                lines.push(format!("BindReadOnlyPaths={}", word(path)?));
                continue;
            }
            lines.push(format!("BindPaths={}", word(path)?));
            // What makes a directory Malcolm's must be seen in there too.
            for other in malcolm::company(path) {
                lines.push(format!("BindReadOnlyPaths={}", word(&other)?));
            }
        }
    }
    let mut told = Vec::new();
    lines.retain(|line| {
        !told.contains(line) && {
            told.push(line.clone());
            true
        }
    });
    let mut text = HEAD.to_owned();
    for line in protect_home.into_iter().chain(lines.iter().map(String::as_str)) {
        let _ = writeln!(text, "{line}");
    }
    Ok(text)
}

const HEAD: &str = "\
# Lets pcap-slimd reach the directories that its configuration names; made by pcap-slimd print-dropin.
#
#   pcap-slimd print-dropin | tee /etc/systemd/system/pcap-slimd.service.d/directories.conf
#   systemctl daemon-reload && systemctl restart pcap-slimd
#
# ReadWritePaths= makes a directory writable; BindPaths= shows one, writable, below a place that stays hidden
# otherwise; BindReadOnlyPaths= shows what tells that a directory is Malcolm's, and where files that name flows to
# keep are. With the \"-\" a directory may be missing when the service starts; one that is made later is reached from
# the next restart on.
[Service]
";

/// Where the directory is, behind every link that can be followed.
fn resolved(directory: &Path) -> PathBuf {
    for ancestor in directory.ancestors() {
        if let Ok(real) = ancestor.canonicalize() {
            let rest = directory.strip_prefix(ancestor).unwrap_or(Path::new(""));
            // Joining an empty path would put a slash behind it.
            return real.components().chain(rest.components()).collect();
        }
    }
    directory.to_owned()
}

/// A path as one word of a unit file, allowed to be missing: quoted where systemd would split it, with its quotes,
/// backslashes and specifiers made literal. The "-" stands inside of the quotes, since it is looked for afterwards.
fn word(path: &Path) -> Result<String, Error> {
    let unwritable = || Error::Unwritable {
        path: path.to_owned(),
    };
    let text = path.to_str().ok_or_else(unwritable)?;
    if text.chars().any(char::is_control) {
        return Err(unwritable());
    }
    let mut escaped = String::from("-");
    for character in text.chars() {
        match character {
            '%' => escaped.push_str("%%"),
            '"' | '\'' | '\\' => escaped.extend(['\\', character]),
            _ => escaped.push(character),
        }
    }
    let is_plain = |c: char| c.is_alphanumeric() || "/-_.%+@".contains(c);
    Ok(if escaped.chars().all(is_plain) {
        escaped
    } else {
        format!("\"{escaped}\"")
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::ffi::OsStr;
    use std::fs;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;

    use super::*;

    /// The settings of the drop-in, without its head.
    fn settings(directories: &[&str]) -> Vec<String> {
        let text = drop_in(directories.iter().map(Path::new), []).unwrap();
        let settings = text.strip_prefix(HEAD).unwrap();
        settings.lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_directory_becomes_writable_and_may_be_missing() {
        assert_eq!(
            settings(&["/captures/a", "/captures/b", "/captures/a"]),
            ["ReadWritePaths=-/captures/a", "ReadWritePaths=-/captures/b"]
        );
    }

    #[test]
    fn a_directory_below_a_home_is_mounted_and_nothing_else_of_the_homes_is() {
        assert_eq!(
            settings(&["/captures", "/home/nobody-here/pcap", "/tmp/nothing-here"]),
            [
                "ProtectHome=tmpfs",
                "ReadWritePaths=-/captures",
                "BindPaths=-/home/nobody-here/pcap",
                "BindPaths=-/tmp/nothing-here"
            ]
        );
        assert_eq!(settings(&["/homework"]), ["ReadWritePaths=-/homework"]);
        for path in ["/home", "/tmp", "/run/user"] {
            let path = PathBuf::from(path);
            assert_eq!(drop_in([path.as_path()], []), Err(Error::Hidden { path }));
        }
    }

    #[test]
    fn a_directory_that_is_only_read_is_mounted_where_it_is_hidden() {
        let read = ["/var/log/suricata", "/home/nobody-here/zeek"].map(Path::new);
        let text = drop_in([Path::new("/captures")], read).unwrap();
        let settings: Vec<&str> = text.strip_prefix(HEAD).unwrap().lines().collect();
        assert_eq!(
            settings,
            [
                "ProtectHome=tmpfs",
                "ReadWritePaths=-/captures",
                "BindReadOnlyPaths=-/home/nobody-here/zeek"
            ]
        );
        let path = PathBuf::from("/tmp");
        assert_eq!(drop_in([], [path.as_path()]), Err(Error::Hidden { path }));
    }

    #[test]
    fn a_link_into_a_hidden_place_is_followed() {
        let root = tempfile::tempdir_in("/var/tmp").unwrap();
        let real = root.path().join("real");
        fs::create_dir(&real).unwrap();
        let outside = tempfile::tempdir_in("/dev/shm").unwrap();
        let link = outside.path().join("link");
        symlink(&real, &link).unwrap();
        assert_eq!(
            settings(&[link.to_str().unwrap()]),
            [
                format!("ReadWritePaths=-{}", link.display()),
                format!("BindPaths=-{}", real.display())
            ]
        );
    }

    #[test]
    fn what_tells_malcolms_directory_is_shown_too() {
        let root = tempfile::tempdir_in("/var/tmp").unwrap();
        for name in ["arkime-live", "processed"] {
            fs::create_dir(root.path().join(name)).unwrap();
        }
        let at = |name: &str| root.path().join(name).display().to_string();
        assert_eq!(
            settings(&[&at("processed")]),
            [
                format!("BindPaths=-{}", at("processed")),
                format!("BindReadOnlyPaths=-{}", at("arkime-live"))
            ]
        );
    }

    #[test]
    fn names_are_words_to_systemd_whatever_they_hold() {
        for (path, expected) in [
            ("/plain/a-b_c.d", "-/plain/a-b_c.d"),
            ("/100%h", "-/100%%h"),
            ("/a b", "\"-/a b\""),
            ("/a\"b'c\\d", "\"-/a\\\"b\\'c\\\\d\""),
            ("/a:b;c#d", "\"-/a:b;c#d\""),
            ("/trailing\\", "\"-/trailing\\\\\""),
            ("/é", "-/é"),
        ] {
            assert_eq!(word(Path::new(path)).unwrap(), expected);
        }
    }

    #[test]
    fn what_no_unit_can_say_is_an_error() {
        for path in [&b"/a\nb"[..], b"/a\x1bb", b"/\xff", b"/a\tb"] {
            let path = PathBuf::from(OsStr::from_bytes(path));
            let error = drop_in([path.as_path()], []).unwrap_err();
            assert_eq!(error, Error::Unwritable { path });
            assert!(!error.to_string().contains(|c: char| c.is_control()));
        }
    }
}
