//! What a Malcolm installation says of itself, and the configuration that follows from it.
//!
//! Read are its `docker-compose.yml`, for where the directory of captures lies on the host, and the environment files
//! that it names, for the owner of captures and for what is captured. The compose file is read by a YAML crate, since
//! Malcolm uses anchors, merged mappings and both ways to write a volume; environment files are lines, and read here as
//! docker reads them. The files are an operator's, edited by hand: whatever is odd in them is an error with the file
//! and the reason, and nothing in them is run or expanded beyond plain variables.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_saphyr::options::{DuplicateKeyPolicy, Options};

use super::{ARKIME_LIVE, PROCESSED};

/// The largest file that is read, in bytes; Malcolm's are a tenth of this at most.
const LARGEST: u64 = 1 << 20;

/// Services that have the directory of captures, and where they have it; the first that is found counts.
const CAPTURES: [(&str, &str); 5] = [
    ("arkime-live", "/data/pcap"),
    ("arkime", "/data/pcap"),
    ("pcap-monitor", "/pcap"),
    ("pcap-monitor", "/data/pcap"),
    ("zeek", "/pcap"),
];

/// The user and group that Malcolm uses when it is not told.
const DEFAULT_OWNER: u32 = 1000;

/// Why an installation cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file cannot be read.
    #[error("{path:?} cannot be read")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// A file is not what an operator writes.
    #[error("{path:?} cannot be used: {what}")]
    Odd {
        /// The file.
        path: PathBuf,
        /// What is odd about it.
        what: String,
    },
    /// There is a compose file, but none of Malcolm's services in it.
    #[error(
        "{path:?} is no compose file of Malcolm's: none of its services arkime-live, arkime, pcap-monitor and zeek \
         mounts a directory of this machine for captures"
    )]
    NotMalcolm {
        /// The compose file.
        path: PathBuf,
    },
}

/// An installation, as far as slimming is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installation {
    /// Where it is.
    pub directory: PathBuf,
    /// Where its captures are on this machine: the directory that holds `upload`, `processed` and `arkime-live`.
    pub captures: PathBuf,
    /// The user and group ids that own the captures.
    pub owner: (u32, u32),
    /// Whether Arkime captures live here, into `arkime-live`.
    pub is_live: bool,
    /// Whether captures are recorded by netsniff-ng or tcpdump, into `upload` and from there to `processed`.
    pub is_recorded: bool,
}

impl Installation {
    /// Reads the installation in `directory`, or in `~/Malcolm`.
    ///
    /// # Errors
    /// As [`Installation::read`].
    pub fn read_or_default(directory: Option<&Path>) -> Result<Self, Error> {
        let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join("Malcolm");
        Self::read(&directory.map_or_else(home, Path::to_owned))
    }

    /// Reads the installation in `directory`.
    ///
    /// # Errors
    /// The first file that cannot be read or understood, and that it is no installation of Malcolm.
    pub fn read(directory: &Path) -> Result<Self, Error> {
        let directory = std::path::absolute(directory).map_err(|source| Error::Read {
            path: directory.to_owned(),
            source,
        })?;
        let path = directory.join("docker-compose.yml");
        let compose = Compose::parse(&read(&path)?, &path)?;
        let project = variables_if_there(&directory.join(".env"))?;
        let captures = compose
            .captures(&project, &path)?
            .ok_or(Error::NotMalcolm { path })?;
        let captures = place(&directory, &captures);
        let variables = compose.variables(&directory)?;
        let id = |name| number(&variables, name).transpose();
        let is_on = |name| variables.get(name).is_some_and(|(value, _)| is_true(value));
        Ok(Self {
            captures,
            owner: (
                id("PUID").unwrap_or(Ok(DEFAULT_OWNER))?,
                id("PGID").unwrap_or(Ok(DEFAULT_OWNER))?,
            ),
            is_live: is_on("ARKIME_LIVE_CAPTURE"),
            is_recorded: is_on("PCAP_ENABLE_NETSNIFF") || is_on("PCAP_ENABLE_TCPDUMP"),
            directory,
        })
    }

    /// A configuration for it, ready to be written to a file: `arkime-live` is watched, `processed` is prepared.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let quoted = |path: &Path| toml_text(&path.to_string_lossy());
        let (user, group) = self.owner;
        let (live, processed) = (self.captures.join(ARKIME_LIVE), self.captures.join(PROCESSED));
        let found = match (self.is_live, self.is_recorded) {
            (true, false) => "Arkime captures live here, into arkime-live.",
            (true, true) => {
                "Arkime captures live here, into arkime-live; netsniff-ng or tcpdump record too, into upload, from \
                 where\n# captures are moved to processed."
            }
            (false, true) => {
                "Nothing is captured into arkime-live here: netsniff-ng or tcpdump record into upload, from where \
                 captures\n# are moved to processed. To slim those, read on below."
            }
            (false, false) => {
                "Nothing is captured on this machine as it is configured now; what is uploaded ends up in processed."
            }
        };
        format!(
            "# For the Malcolm in {}, made by pcap-slimd discover-malcolm.\n\
             # {found}\n\
             # Sessions of slimmed captures can not be opened from Arkime's session view: the packet positions in \
             its\n# index are those of the originals.\n\
             \n\
             [[watch]]\n\
             path = {}\n\
             marker_owner = \"{user}:{group}\"\n\
             \n\
             # Malcolm takes each capture that is slimmed in processed for a new one and ingests it again: its \
             sessions\n# appear twice. Where that is acceptable, take away the \"#\" before the keys. Malcolm sets all \
             times of change\n# there to now whenever it starts, so the age counts from the last packet.\n\
             #[[watch]]\n\
             #path = {}\n\
             #marker_owner = \"{user}:{group}\"\n\
             #age_from = \"last-packet\"\n\
             #reingest = \"accepted\"\n",
            quoted(&self.directory),
            quoted(&live),
            quoted(&processed),
        )
    }
}

/// `text` as a TOML string on one line.
fn toml_text(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            character if character.is_control() => {
                let _ = write!(quoted, "\\u{:04X}", u32::from(character));
            }
            character => quoted.push(character),
        }
    }
    quoted.push('"');
    quoted
}

/// The part of a compose file that matters here.
#[derive(Debug, Deserialize)]
struct Compose {
    services: BTreeMap<String, Service>,
}

#[derive(Debug, Deserialize)]
struct Service {
    #[serde(default)]
    volumes: Option<Vec<Volume>>,
    #[serde(default)]
    environment: Option<Environment>,
    #[serde(default)]
    env_file: Option<OneOrMany>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Volume {
    Short(String),
    Long { source: Option<String>, target: String },
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Environment {
    Mapping(BTreeMap<String, Scalar>),
    List(Vec<String>),
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Scalar {
    Flag(bool),
    Whole(i64),
    Fraction(f64),
    Text(String),
    Nothing(()),
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<EnvironmentFile>),
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum EnvironmentFile {
    Short(String),
    Long { path: String },
}

/// Values by name, each with the file that says it.
type Variables = BTreeMap<String, (String, PathBuf)>;

impl Compose {
    fn parse(text: &str, path: &Path) -> Result<Self, Error> {
        let options = serde_saphyr::options! {
            // Malcolm's own files have several "<<" in one mapping.
            duplicate_keys: DuplicateKeyPolicy::LastWins,
            with_snippet: false,
        };
        parse_yaml(text, options).map_err(|error| odd(path, first_line(&error.to_string())))
    }

    /// The directory of captures, as the file writes it.
    fn captures(&self, project: &Variables, path: &Path) -> Result<Option<String>, Error> {
        for (service, target) in CAPTURES {
            let volumes = self
                .services
                .get(service)
                .and_then(|service| service.volumes.as_ref());
            for volume in volumes.into_iter().flatten() {
                let (source, mounted) = volume.sides(project).map_err(|what| odd(path, what))?;
                // A source without a slash is the name of a docker volume.
                if mounted.trim_end_matches('/') == target && source.contains('/') {
                    return Ok(Some(source));
                }
            }
        }
        Ok(None)
    }

    /// All variables of the services that matter; what a service says itself goes before its files.
    fn variables(&self, directory: &Path) -> Result<Variables, Error> {
        let mut variables = Variables::new();
        for name in ["pcap-monitor", "zeek", "pcap-capture", "arkime", "arkime-live"] {
            let Some(service) = self.services.get(name) else {
                continue;
            };
            for file in service.files() {
                variables.extend(variables_if_there(&place(directory, &file))?);
            }
            let compose = directory.join("docker-compose.yml");
            let own = service
                .own()
                .into_iter()
                .map(|(name, value)| (name, (value, compose.clone())));
            variables.extend(own);
        }
        Ok(variables)
    }
}

impl Service {
    fn files(&self) -> Vec<String> {
        match &self.env_file {
            None => Vec::new(),
            Some(OneOrMany::One(file)) => vec![file.clone()],
            Some(OneOrMany::Many(files)) => files
                .iter()
                .map(|(EnvironmentFile::Short(file) | EnvironmentFile::Long { path: file })| file.clone())
                .collect(),
        }
    }

    fn own(&self) -> Vec<(String, String)> {
        match &self.environment {
            None => Vec::new(),
            Some(Environment::Mapping(mapping)) => mapping
                .iter()
                .map(|(name, value)| (name.clone(), value.text()))
                .collect(),
            Some(Environment::List(list)) => list
                .iter()
                .filter_map(|line| line.split_once('='))
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
        }
    }
}

impl Scalar {
    fn text(&self) -> String {
        match self {
            Self::Flag(flag) => flag.to_string(),
            Self::Whole(whole) => whole.to_string(),
            Self::Fraction(fraction) => fraction.to_string(),
            Self::Text(text) => text.clone(),
            Self::Nothing(()) => String::new(),
        }
    }
}

impl Volume {
    /// What is mounted and where, with the project's variables put in.
    fn sides(&self, project: &Variables) -> Result<(String, String), String> {
        let (source, target) = match self {
            Self::Long { source, target } => (
                expand(source.as_deref().unwrap_or_default(), project)?,
                expand(target, project)?,
            ),
            Self::Short(text) => {
                let text = expand(text, project)?;
                let mut sides = text.split(':').map(str::to_owned);
                (sides.next().unwrap_or_default(), sides.next().unwrap_or_default())
            }
        };
        Ok((source, target))
    }
}

/// `text` with `$NAME`, `${NAME}`, `${NAME:-default}` and `${NAME-default}` replaced, and `$$` for a dollar.
fn expand(text: &str, variables: &Variables) -> Result<String, String> {
    let mut expanded = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        expanded.push_str(before);
        if let Some(after) = after.strip_prefix('$') {
            expanded.push('$');
            rest = after;
            continue;
        }
        let (name, default, behind) =
            reference(after).ok_or_else(|| format!("{text:?} has a \"$\" that is unclear"))?;
        let value = variables.get(name).map(|(value, _)| value.as_str());
        match value.filter(|value| !value.is_empty()).or(default) {
            Some(value) => expanded.push_str(value),
            None => {
                return Err(format!(
                    "{text:?} needs the variable {name}, which .env does not have"
                ));
            }
        }
        rest = behind;
    }
    expanded.push_str(rest);
    Ok(expanded)
}

/// The name, the default and what follows of a reference to a variable, its dollar taken away.
fn reference(text: &str) -> Option<(&str, Option<&str>, &str)> {
    let end_of_name = |text: &str| {
        text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .unwrap_or(text.len())
    };
    let Some(inner) = text.strip_prefix('{') else {
        let (name, behind) = text.split_at(end_of_name(text));
        return (!name.is_empty()).then_some((name, None, behind));
    };
    let (inner, behind) = inner.split_once('}')?;
    let (name, default) = inner.split_at(end_of_name(inner));
    let default = match default {
        "" => None,
        default => Some(default.strip_prefix(":-").or_else(|| default.strip_prefix('-'))?),
    };
    (!name.is_empty() && !default.is_some_and(|default| default.contains('$')))
        .then_some((name, default, behind))
}

/// A path of a compose file from the root, in its shortest spelling.
fn place(directory: &Path, written: &str) -> PathBuf {
    let home = || std::env::var_os("HOME").map(PathBuf::from);
    let path = match written.strip_prefix("~/").zip(home()) {
        Some((below, home)) => home.join(below),
        None => directory.join(written),
    };
    path.components().collect()
}

fn number(variables: &Variables, name: &str) -> Result<Option<u32>, Error> {
    let Some((value, path)) = variables.get(name) else {
        return Ok(None);
    };
    let number = value.parse().ok().filter(|&id| id != u32::MAX);
    number.map(Some).ok_or_else(|| {
        odd(
            path,
            format!("{name} must be the number of a user or group, not {value:?}"),
        )
    })
}

fn is_true(value: &str) -> bool {
    ["true", "1", "yes", "on", "t", "y"].contains(&value.to_ascii_lowercase().as_str())
}

/// The variables in an environment file; none where there is no such file, as docker has it for Malcolm's.
fn variables_if_there(path: &Path) -> Result<Variables, Error> {
    match read(path) {
        Err(Error::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(Variables::new()),
        text => variables_in(&text?, path),
    }
}

fn variables_in(text: &str, path: &Path) -> Result<Variables, Error> {
    let mut variables = Variables::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let line = line.strip_prefix("export ").unwrap_or(line);
        let Some((name, value)) = line.split_once('=') else {
            // A name alone takes the value of the shell that starts docker, which cannot be known.
            continue;
        };
        let name = name.trim();
        let is_name = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        if name.is_empty() || !name.chars().all(is_name) {
            return Err(odd(path, format!("line {} is no NAME=value", index + 1)));
        }
        variables.insert(name.to_owned(), (unquoted(value.trim()), path.to_owned()));
    }
    Ok(variables)
}

/// A value without its quotes, or, where it has none, without a comment behind it.
fn unquoted(value: &str) -> String {
    for quote in ['"', '\''] {
        if let Some((inner, _)) = value.strip_prefix(quote).and_then(|rest| rest.split_once(quote)) {
            return inner.to_owned();
        }
    }
    value.split(" #").next().unwrap_or_default().trim_end().to_owned()
}

/// The text of a regular file of modest size.
fn read(path: &Path) -> Result<String, Error> {
    let failed = |source| Error::Read {
        path: path.to_owned(),
        source,
    };
    // Asked before it is opened, since opening a FIFO waits for its writer.
    if !path.metadata().map_err(failed)?.is_file() {
        return Err(odd(path, "not a regular file"));
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > LARGEST {
        return Err(odd(path, format!("larger than {LARGEST} bytes")));
    }
    String::from_utf8(bytes).map_err(|_| odd(path, "not UTF-8 text"))
}

fn odd(path: &Path, what: impl Into<String>) -> Error {
    Error::Odd {
        path: path.to_owned(),
        what: what.into(),
    }
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().escape_debug().to_string()
}

fn parse_yaml(text: &str, options: Options) -> Result<Compose, serde_saphyr::Error> {
    serde_saphyr::from_str_with_options(text, options)
}

#[cfg(test)]
mod tests;
