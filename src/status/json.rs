//! A snapshot as JSON: what goes over the socket and what `--format json` prints.
//!
//! Times are seconds since 1970 and spans seconds, both with a fraction, so that `jq` can reckon with them. The document
//! is ASCII. A path that is no UTF-8 loses bytes in `path` or `capture`; they are all in `path_bytes` or
//! `capture_bytes`, in hexadecimal, which is there only then.

use super::Snapshot;
use crate::report;

/// The snapshot, one object on one line.
pub(super) fn render(snapshot: &Snapshot) -> String {
    report::document(snapshot)
}

/// A time, in seconds since 1970.
pub(super) mod time {
    use std::time::{Duration, SystemTime};

    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(in super::super) fn serialize<S: Serializer>(
        time: &SystemTime,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(seconds(*time))
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<SystemTime, D::Error> {
        of_seconds(f64::deserialize(deserializer)?).ok_or_else(|| D::Error::custom("no time"))
    }

    /// To the millisecond, which is what is exact when it is read again.
    pub(super) fn seconds(time: SystemTime) -> f64 {
        let seconds = match time.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(after) => after.as_secs_f64(),
            Err(before) => -before.duration().as_secs_f64(),
        };
        (seconds * 1000.0).round() / 1000.0
    }

    pub(super) fn of_seconds(seconds: f64) -> Option<SystemTime> {
        let from_1970 = Duration::try_from_secs_f64(seconds.abs()).ok()?;
        let millis = Duration::from_millis(u64::try_from((from_1970 + HALF).as_millis()).ok()?);
        if seconds < 0.0 {
            SystemTime::UNIX_EPOCH.checked_sub(millis)
        } else {
            SystemTime::UNIX_EPOCH.checked_add(millis)
        }
    }

    /// Half of what is left out.
    const HALF: Duration = Duration::from_micros(500);
}

/// A time as in [`time`], or null.
pub(super) mod maybe_time {
    use std::time::SystemTime;

    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[expect(clippy::ref_option, reason = "serde calls it so")]
    pub(in super::super) fn serialize<S: Serializer>(
        time: &Option<SystemTime>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        time.map(super::time::seconds).serialize(serializer)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<SystemTime>, D::Error> {
        let seconds = Option::<f64>::deserialize(deserializer)?;
        seconds
            .map(|seconds| super::time::of_seconds(seconds).ok_or_else(|| D::Error::custom("no time")))
            .transpose()
    }
}

/// A span, in seconds.
pub(super) mod span {
    use std::time::Duration;

    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(in super::super) fn serialize<S: Serializer>(
        span: &Duration,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(span.as_secs_f64())
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Duration, D::Error> {
        Duration::try_from_secs_f64(f64::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// Makes the module that writes a path under a name, to be flattened into the object that has it.
macro_rules! path_as {
    ($module:ident, $text:literal, $bytes:literal) => {
        pub(super) mod $module {
            use std::path::{Path, PathBuf};

            use serde::{Deserialize, Deserializer, Serialize, Serializer};

            #[derive(Serialize, Deserialize)]
            struct Name {
                #[serde(rename = $text)]
                text: String,
                #[serde(rename = $bytes, default, skip_serializing_if = "Option::is_none")]
                bytes: Option<String>,
            }

            pub(in super::super) fn serialize<S: Serializer>(
                path: &Path,
                serializer: S,
            ) -> Result<S::Ok, S::Error> {
                let text = path.to_string_lossy().into_owned();
                let bytes = crate::report::bytes_if_not_text(path);
                Name { text, bytes }.serialize(serializer)
            }

            pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
                deserializer: D,
            ) -> Result<PathBuf, D::Error> {
                let Name { text, bytes } = Name::deserialize(deserializer)?;
                super::path_of(text, bytes.as_deref())
                    .ok_or_else(|| serde::de::Error::custom(concat!($bytes, " is not hexadecimal")))
            }
        }
    };
}
path_as!(path, "path", "path_bytes");
path_as!(capture, "capture", "capture_bytes");

/// The path that these bytes, in hexadecimal, or else this text spells.
fn path_of(text: String, bytes: Option<&str>) -> Option<std::path::PathBuf> {
    use std::os::unix::ffi::OsStringExt;

    let Some(bytes) = bytes else {
        return Some(text.into());
    };
    let digits: Vec<u32> = bytes
        .chars()
        .map(|digit| digit.to_digit(16))
        .collect::<Option<_>>()?;
    let pairs = digits.chunks_exact(2);
    if !pairs.remainder().is_empty() {
        return None;
    }
    let bytes = pairs.map(|pair| u8::try_from(pair.iter().fold(0, |byte, digit| byte * 16 + digit)).ok());
    let bytes: Vec<u8> = bytes.collect::<Option<_>>()?;
    Some(std::ffi::OsString::from_vec(bytes).into())
}
