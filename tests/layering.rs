//! Holds the sources to the architecture that `src/lib.rs` draws: who may import whom, where each outside crate is at
//! home, which modules are pure, where `unsafe` may stand, who may change owner, mode, times or attributes of a file, and
//! how a file opens and ends.
//!
//! The tables below are the rule. Every check works on source text, so that `layering/violations.rs` can show
//! that a violation of each kind is found; `layering/names.rs` reads what a file names. Code under `cfg(test)` is exempt from imports, homes and purity.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use syn::buffer::{Cursor, TokenBuffer};

#[path = "layering/names.rs"]
mod names;
#[path = "layering/violations.rs"]
mod violations;

use names::Names;

/// Each module and the modules that it may import. Binaries may import anything, `lib.rs` nothing.
const IMPORTS: &[(&str, &str)] = &[
    ("words", ""),
    ("budget", ""),
    ("capture", ""),
    ("entry", ""),
    ("queue", ""),
    ("journal", ""),
    ("service", ""),
    ("limits", ""),
    ("threads", ""),
    ("digest", "words"),
    ("slim", "capture words"),
    ("trace", "slim"),
    ("alerts", "slim"),
    ("lease", "budget"),
    ("commit", "capture digest trace words lease"),
    ("report", "digest words journal"),
    ("input", "capture commit digest budget lease"),
    (
        "job",
        "input slim trace alerts commit capture digest budget report threads words",
    ),
    ("pool", "job commit budget report words"),
    (
        "provenance",
        "trace commit input slim capture digest budget report threads words",
    ),
    ("scan", "capture commit"),
    ("config", "budget digest job slim alerts words scan"),
    ("watch", "queue scan commit capture config report"),
    ("place", "oneshot job commit lease report"),
    ("status", "place job report threads words commit entry"),
    ("stream", "capture slim job report threads words"),
    ("restore", "capture entry slim oneshot report"),
    ("malcolm", "config job scan words"),
    ("unit", "malcolm"),
    (
        "explain",
        "oneshot input slim job commit capture budget report words",
    ),
    (
        "cli",
        "words slim alerts job config budget digest trace oneshot explain place provenance restore report status stream malcolm",
    ),
    ("oneshot", "pool job scan commit budget report threads"),
    (
        "daemon",
        "watch queue scan pool job alerts commit budget report config capture journal place service status threads",
    ),
];

/// Each outside crate and the only places that may name it: modules, or files of a module.
const HOMES: &[(&str, &str)] = &[
    ("blake3", "digest"),
    ("bzip2", "capture/compression/bzip2"),
    ("ciborium", "trace"),
    ("clap", "cli bin"),
    ("comfy_table", "report/grid"),
    ("crc32c", "trace"),
    ("flate2", "capture/compression/gzip capture/compression/arkime"),
    ("flatbuffers", "trace/footer"),
    ("globset", "scan config oneshot alerts"),
    ("humantime", "provenance/show"),
    ("humansize", "report oneshot"),
    ("indicatif", "report oneshot"),
    ("libc", "input lease"),
    ("liblzma", "capture/compression/xz"),
    ("lz4_flex", "capture/compression/lz4"),
    ("maud", "explain/html"),
    ("memmap2", "input"),
    (
        "nix",
        "input lease commit budget config oneshot job alerts watch daemon/clock place status/server stream pool/lingering entry limits threads",
    ),
    ("notify", "watch"),
    ("pcap_parser", "capture"),
    ("rustix", "commit/attributes commit/directory"),
    ("sd_notify", "service"),
    (
        "serde",
        "config report commit/marker digest malcolm/discover provenance status trace explain/json alerts/json place",
    ),
    ("serde_saphyr", "malcolm/discover"),
    ("serde_json", "report oneshot commit/marker status alerts/json"),
    ("sha2", "digest"),
    ("tempfile", "explain/page daemon/tests malcolm/discover/tests"),
    ("thiserror", ANYWHERE),
    ("tokio", "pool daemon oneshot watch status stream threads bin"),
    ("toml", "config"),
    (
        "tracing",
        "report journal daemon watch status service oneshot bin",
    ),
    ("tracing_journald", "journal"),
    ("tracing_subscriber", "journal"),
    ("xattr", "commit"),
    (
        "zstd",
        "trace capture/compression/zstd capture/compression/arkime",
    ),
];
const ANYWHERE: &str = "*";

/// Where decisions are made: time and bytes are arguments, and nothing is read, written, logged or started.
const PURE: &[&str] = &[
    "slim",
    "capture",
    "trace",
    "digest",
    "queue",
    "budget/governor",
    "explain/account",
    "explain/gather",
    "explain/rows",
    "explain/unread",
    "explain/words",
];
const IMPURE_PATHS: &[&[&str]] = &[
    &["std", "fs"],
    &["std", "env"],
    &["std", "net"],
    &["std", "process"],
    &["std", "thread"],
    &["std", "io", "stdin"],
    &["std", "io", "stdout"],
    &["std", "io", "stderr"],
    &["tracing"],
    &["rand"],
];
const CLOCKS: &[&str] = &["Instant", "SystemTime"];
const PRINTING: &[&str] = &["print", "println", "eprint", "eprintln", "dbg"];

/// What changes owner, mode, times or attributes of the file that a name leads to. Between a look at the name and the
/// change, the owner of a directory can put another file there, so that nothing of this is called anywhere.
const CHANGES_BY_NAME: &[&str] = &[
    "set_permissions",
    "chmod",
    "fchmodat",
    "fchmodat2",
    "chmodat",
    "chown",
    "lchown",
    "fchownat",
    "chownat",
    "utime",
    "utimes",
    "lutimes",
    "futimesat",
    "utimensat",
    "filetime",
    "set_file_times",
    "set_file_mtime",
    "setxattr",
    "lsetxattr",
    "removexattr",
    "lremovexattr",
    "xattr::set",
    "xattr::set_deref",
    "xattr::remove",
    "xattr::remove_deref",
];
/// What does the same to a file that is open, or to every file that is made.
const CHANGES_BY_DESCRIPTOR: &[&str] = &[
    "fchmod",
    "fchown",
    "futimens",
    "FileTimes",
    "set_modified",
    "set_xattr",
    "remove_xattr",
    "fsetxattr",
    "fremovexattr",
    "ioctl_setflags",
    "FS_IOC_SETFLAGS",
    "FS_IOC_FSSETXATTR",
];
const ATTRIBUTES_HOME: &str = "commit/attributes";
/// The umask is the whole process's; the status socket has no other way to its mode than by it.
const UMASK_HOME: &str = "status/server";

const UNSAFE_HOMES: &[&str] = &["input", "lease"];
/// The map of the crate and the commit protocol are prose, and as long as they need to be.
const LONG_OPENINGS: &[&str] = &["lib", "commit"];
const OPENING_LINES: std::ops::RangeInclusive<usize> = 3..=12;
const MOST_CODE_LINES: usize = 500;

/// One file under `src`.
struct Source {
    /// Its place: `slim/dissect/link`, `slim` for `slim/mod.rs`, `bin/pcap-slim`, `lib`.
    place: String,
    text: String,
}

impl Source {
    fn module(&self) -> &str {
        self.place.split('/').next().unwrap_or_default()
    }

    fn is_below(&self, home: &str) -> bool {
        home == ANYWHERE
            || self
                .place
                .strip_prefix(home)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// Where its paths start from; binaries and `lib.rs` are roots themselves.
    fn module_path(&self) -> Vec<String> {
        let is_root = matches!(self.module(), "bin" | "lib");
        if is_root {
            Vec::new()
        } else {
            self.place.split('/').map(String::from).collect()
        }
    }
}

fn wrong_imports(source: &Source) -> Vec<String> {
    let module = source.module();
    if module == "bin" {
        return Vec::new();
    }
    let row = IMPORTS.iter().find(|(name, _)| *name == module);
    let allowed: Vec<&str> = row
        .map_or("", |(_, allowed)| allowed)
        .split_whitespace()
        .collect();
    let names = Names::of(source);
    let targets: BTreeSet<&str> = names
        .inside
        .iter()
        .filter_map(|path| Some(path.first()?.as_str()))
        .collect();
    targets
        .into_iter()
        .filter(|target| *target != module && !allowed.contains(target))
        .map(|target| format!("{}: {module} may not import {target}", source.place))
        .collect()
}

fn crates_away_from_home(source: &Source) -> Vec<String> {
    let named: BTreeSet<String> = Names::of(source)
        .outside
        .into_iter()
        .map(|path| path[0].clone())
        .collect();
    HOMES
        .iter()
        .filter(|(name, homes)| named.contains(*name) && !homes.split(' ').any(|home| source.is_below(home)))
        .map(|(name, homes)| format!("{}: {name} is at home in {homes}", source.place))
        .collect()
}

fn impurities(source: &Source) -> Vec<String> {
    if !PURE.iter().any(|pure| source.is_below(pure)) {
        return Vec::new();
    }
    let names = Names::of(source);
    let is_clock = |path: &[String]| {
        path.windows(2)
            .any(|two| CLOCKS.contains(&two[0].as_str()) && two[1] == "now")
    };
    let is_impure = |path: &[String]| {
        IMPURE_PATHS
            .iter()
            .any(|impure| path.len() >= impure.len() && path.iter().zip(*impure).all(|(a, b)| a == b))
    };
    let paths = names
        .outside
        .iter()
        .filter(|path| is_impure(path) || is_clock(path))
        .map(|path| path.join("::"));
    let macros = names
        .macros
        .iter()
        .filter(|name| PRINTING.contains(&name.as_str()))
        .map(|name| format!("{name}!"));
    paths
        .chain(macros)
        .map(|what| format!("{}: {what} in a pure module", source.place))
        .collect()
}

/// Changes of owner, mode, times or attributes: by a name nowhere, by a descriptor in one file.
fn changes_of_attributes(source: &Source) -> Vec<String> {
    if source.place.ends_with("/tests") {
        return Vec::new();
    }
    let names = Names::of(source);
    let is_named = |what: &str| match what.split_once("::") {
        None => names.words.contains(what),
        Some((outer, inner)) => names
            .outside
            .iter()
            .any(|path| path.len() >= 2 && path[path.len() - 2] == outer && path[path.len() - 1] == inner),
    };
    let by_name = CHANGES_BY_NAME
        .iter()
        .filter(|what| is_named(what))
        .map(|what| format!("{}: {what} takes a name; use {ATTRIBUTES_HOME}", source.place));
    let by_descriptor = CHANGES_BY_DESCRIPTOR
        .iter()
        .filter(|what| is_named(what) && !source.is_below(ATTRIBUTES_HOME))
        .map(|what| format!("{}: {what} belongs in {ATTRIBUTES_HOME} alone", source.place));
    let umask = (is_named("umask") && !source.is_below(UMASK_HOME))
        .then(|| format!("{}: umask belongs in {UMASK_HOME} alone", source.place));
    by_name.chain(by_descriptor).chain(umask).collect()
}

fn unsafe_away_from_home(source: &Source) -> Vec<String> {
    let tokens = TokenBuffer::new2(syn::parse_str(&source.text).unwrap());
    if UNSAFE_HOMES.iter().any(|home| source.is_below(home)) || !holds_unsafe(tokens.begin()) {
        return Vec::new();
    }
    vec![format!(
        "{}: unsafe belongs in {} alone",
        source.place,
        UNSAFE_HOMES.join(" and ")
    )]
}

fn holds_unsafe(mut cursor: Cursor) -> bool {
    while !cursor.eof() {
        let group = cursor.any_group();
        if group.is_some_and(|(inner, ..)| holds_unsafe(inner))
            || cursor.ident().is_some_and(|(ident, _)| ident == "unsafe")
        {
            return true;
        }
        let behind_group = group.map(|(.., rest)| rest);
        cursor = behind_group
            .or_else(|| Some(cursor.token_tree()?.1))
            .unwrap_or_else(Cursor::empty);
    }
    false
}

/// `lib.rs` is the map, so its opening may be longer.
fn bad_opening(source: &Source) -> Vec<String> {
    let lines = source
        .text
        .lines()
        .take_while(|line| line.starts_with("//!"))
        .count();
    if OPENING_LINES.contains(&lines)
        || (LONG_OPENINGS.contains(&source.place.as_str()) && lines >= *OPENING_LINES.start())
    {
        return Vec::new();
    }
    vec![format!(
        "{}: opens with {lines} lines of //!, not {OPENING_LINES:?}",
        source.place
    )]
}

fn too_long(source: &Source) -> Vec<String> {
    let before_tests = source
        .text
        .lines()
        .map(str::trim)
        .take_while(|line| !line.starts_with("#[cfg(test)]"));
    let code = before_tests
        .filter(|line| !line.is_empty() && !line.starts_with("//"))
        .count();
    if code <= MOST_CODE_LINES {
        return Vec::new();
    }
    vec![format!(
        "{}: {code} lines of code, more than {MOST_CODE_LINES}",
        source.place
    )]
}

/// The modules that `lib.rs` declares are those that exist and those in the table, and the map has a line for each.
fn gaps_in_the_map(lib: &str, existing: &BTreeSet<String>, in_table: &BTreeSet<String>) -> Vec<String> {
    let items = syn::parse_file(lib).unwrap().items;
    let declared: BTreeSet<String> = items
        .iter()
        .filter_map(|item| {
            if let syn::Item::Mod(item) = item {
                Some(item.ident.to_string())
            } else {
                None
            }
        })
        .collect();
    let all: BTreeSet<&String> = declared.iter().chain(existing).chain(in_table).collect();
    let mut gaps = Vec::new();
    for module in all {
        for (place, modules) in [
            ("src/lib.rs", &declared),
            ("src", existing),
            ("the table", in_table),
        ] {
            if !modules.contains(module) {
                gaps.push(format!("{module} is missing in {place}"));
            }
        }
        if !lib.lines().any(|line| is_map_line(line, module)) {
            gaps.push(format!("{module} has no line in the map of src/lib.rs"));
        }
    }
    gaps
}

/// Whether a line of documentation begins with the module's name and says something about it; the picture's arrows do not.
fn is_map_line(line: &str, module: &str) -> bool {
    let Some(text) = line.strip_prefix("//!") else {
        return false;
    };
    let text = text.trim_start_matches(|c: char| !c.is_alphanumeric());
    let is_end_of_name = |rest: &&str| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_');
    let told = text.strip_prefix(module).filter(is_end_of_name);
    told.is_some_and(|told| !text.contains("->") && told.split_whitespace().count() >= 3)
}

/// Crates that have no home, and homes of crates that are not used any more.
fn homeless_crates(manifest: &str) -> Vec<String> {
    let manifest: toml::Table = manifest.parse().unwrap();
    let used: BTreeSet<String> = manifest["dependencies"]
        .as_table()
        .unwrap()
        .keys()
        .map(|k| k.replace('-', "_"))
        .collect();
    let housed: BTreeSet<String> = HOMES.iter().map(|(name, _)| (*name).to_string()).collect();
    let homeless = used
        .difference(&housed)
        .map(|name| format!("{name} in Cargo.toml has no home in the table"));
    let unused = housed
        .difference(&used)
        .map(|name| format!("{name} has a home and is not in Cargo.toml"));
    homeless.chain(unused).collect()
}

fn sources() -> Vec<Source> {
    fn collect(directory: &Path, place: &str, found: &mut Vec<Source>) {
        for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
            let name = entry.file_name().into_string().unwrap();
            let below = if place.is_empty() {
                name.clone()
            } else {
                format!("{place}/{name}")
            };
            if entry.file_type().unwrap().is_dir() {
                collect(&entry.path(), &below, found);
            } else if let Some(stem) = below.strip_suffix(".rs") {
                let place = stem.strip_suffix("/mod").unwrap_or(stem).to_string();
                found.push(Source {
                    place,
                    text: fs::read_to_string(entry.path()).unwrap(),
                });
            }
        }
    }
    let mut found = Vec::new();
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), "", &mut found);
    assert!(found.len() > 3, "the sources were not found");
    found
}

#[track_caller]
fn assert_everywhere(check: fn(&Source) -> Vec<String>) {
    let violations: Vec<String> = sources().iter().flat_map(check).collect();
    assert!(violations.is_empty(), "\n{}", violations.join("\n"));
}

#[test]
fn modules_import_along_the_arrows() {
    assert_everywhere(wrong_imports);
}

#[test]
fn outside_crates_stay_at_home() {
    assert_everywhere(crates_away_from_home);
}

#[test]
fn every_outside_crate_has_a_home() {
    let manifest = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).unwrap();
    let violations = homeless_crates(&manifest);
    assert!(violations.is_empty(), "\n{}", violations.join("\n"));
}

#[test]
fn pure_modules_are_pure() {
    assert_everywhere(impurities);
}

#[test]
fn unsafe_stands_in_one_file() {
    assert_everywhere(unsafe_away_from_home);
}

#[test]
fn owner_mode_times_and_attributes_change_by_descriptor_in_one_file() {
    assert_everywhere(changes_of_attributes);
}

#[test]
fn every_file_opens_with_what_it_holds() {
    assert_everywhere(bad_opening);
}

#[test]
fn no_file_is_too_long() {
    assert_everywhere(too_long);
}

#[test]
fn the_map_shows_every_module() {
    let sources = sources();
    let existing = sources
        .iter()
        .map(Source::module)
        .filter(|m| !matches!(*m, "lib" | "bin"))
        .map(String::from)
        .collect();
    let in_table = IMPORTS.iter().map(|(module, _)| (*module).to_string()).collect();
    let lib = sources.iter().find(|source| source.place == "lib").unwrap();
    let violations = gaps_in_the_map(&lib.text, &existing, &in_table);
    assert!(violations.is_empty(), "\n{}", violations.join("\n"));
}

#[test]
fn the_import_table_has_no_cycle() {
    let mut placed: Vec<&str> = Vec::new();
    while placed.len() < IMPORTS.len() {
        let next = IMPORTS.iter().find(|(module, imports)| {
            !placed.contains(module) && imports.split_whitespace().all(|import| placed.contains(&import))
        });
        placed.push(
            next.unwrap_or_else(|| panic!("what is not in {placed:?} goes round in circles"))
                .0,
        );
    }
}
