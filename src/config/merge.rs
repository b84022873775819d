//! Many files into one [`Settings`]: later files win key by key, watches take over the defaults, and the
//! whole must not contradict itself.
//!
//! Settings begin as the defaults and every key that is written is applied to them in order; so there is no
//! second set of structs with everything optional. All `[defaults]` are applied before any watch, for a
//! drop-in that changes a default means the watches of earlier files too.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::file::{Document, Table};
use super::keys::{self, Key, PATH};
use super::mistake::{Mistakes, Place, printable};
use super::{Budget, Daemon, Judge, Objection, Settings, Watch, value};
use crate::slim::PolicyName;
use crate::slim::policy::evidence::Options;
use crate::words::Word;

/// How a mistake names the path of a watch.
const WATCH_PATH: &str = "watch.path";

/// Settings of one section, and where each of its keys was written last.
#[derive(Clone, Default)]
pub(super) struct Section<T> {
    pub(super) settings: T,
    written: BTreeMap<&'static str, Written>,
}

/// A key as a mistake names it, with its section, and where it is.
#[derive(Clone)]
struct Written {
    key: String,
    place: Place,
}

impl Written {
    fn path(place: Place) -> Self {
        let key = WATCH_PATH.to_owned();
        Self { key, place }
    }
}

impl<T> Section<T> {
    /// Takes over every key of `table`, which are those of `known`; `name` is the section's, for mistakes.
    fn apply(&mut self, name: &str, known: &[&[Key<T>]], table: &Table, mistakes: &mut Mistakes) {
        let known = || known.iter().copied().flatten();
        for entry in &table.entries {
            let key = format!("{name}.{}", entry.key);
            let result = match known().find(|key| key.name == entry.key) {
                Some(known) => (known.read)(&mut self.settings, &entry.value).map(|()| known.name),
                None => Err(keys::unknown(&entry.key, known().map(|key| key.name))),
            };
            match result {
                Err(what) => mistakes.add(Some(&entry.place), &key, what),
                Ok(name) => {
                    let place = entry.place.clone();
                    self.written.insert(name, Written { key, place });
                }
            }
        }
    }
}

/// The settings that `documents`, in this order, come to; `judge` has a say on each watch.
pub(super) fn merge(documents: &mut [Document], judge: Judge, mistakes: &mut Mistakes) -> Settings {
    let mut defaults = Section::<Watch>::default();
    let mut budget = Section::<Budget>::default();
    let mut daemon = Section::<Daemon>::default();
    for document in &*documents {
        defaults.apply("defaults", &[keys::CAPTURE], &document.defaults, mistakes);
        budget.apply("budget", &[keys::BUDGET], &document.budget, mistakes);
        daemon.apply("daemon", &[keys::DAEMON], &document.daemon, mistakes);
    }
    let mut watches = Vec::new();
    for table in documents.iter_mut().flat_map(|document| &mut document.watches) {
        // Where it cannot be told which watch it is, what else is wrong with it can.
        let mut nowhere = defaults.clone();
        let watch = match take_path(table, mistakes) {
            Some((path, place)) => watch_at(path, place, &defaults, &mut watches, mistakes),
            None => &mut nowhere,
        };
        watch.apply("watch", &[keys::CAPTURE, keys::WATCH], table, mistakes);
    }
    find_contradictions(&watches, mistakes);
    hear(judge, &watches, mistakes);
    for watch in &mut watches {
        // A default for those that heed it; shown, it would be a mistake here.
        if watch.settings.policy != PolicyName::Evidence {
            watch.settings.evidence = Options::DEFAULT;
        }
    }
    Settings {
        watches: watches.into_iter().map(|watch| watch.settings).collect(),
        budget: budget.settings,
        daemon: daemon.settings,
    }
}

/// A watch of `path` with the built-in defaults, as the command line makes it.
pub(super) fn on_command_line(path: PathBuf) -> Section<Watch> {
    let mut watch = Section::<Watch>::default();
    watch.settings.path = path;
    watch
}

/// Takes the path, and where it is written, out of the table of a watch.
fn take_path(table: &mut Table, mistakes: &mut Mistakes) -> Option<(PathBuf, Place)> {
    let Some(index) = table.entries.iter().position(|entry| entry.key == PATH) else {
        let what = "missing; say which directory to watch";
        mistakes.add(table.place.as_ref(), WATCH_PATH, what);
        return None;
    };
    let entry = table.entries.swap_remove(index);
    match value::directory(&entry.value) {
        Ok(path) => Some((path, entry.place)),
        Err(what) => {
            mistakes.add(Some(&entry.place), WATCH_PATH, what);
            None
        }
    }
}

/// The watch of `path`: the one that an earlier file has, or a new one.
fn watch_at<'a>(
    path: PathBuf,
    place: Place,
    defaults: &Section<Watch>,
    watches: &'a mut Vec<Section<Watch>>,
    mistakes: &mut Mistakes,
) -> &'a mut Section<Watch> {
    let known = watches.iter().position(|watch| watch.settings.path == path);
    let index = known.unwrap_or_else(|| {
        let mut watch = defaults.clone();
        watch.settings.path = path;
        watches.push(watch);
        watches.len() - 1
    });
    #[expect(clippy::indexing_slicing, reason = "either found there or pushed just now")]
    let watch = &mut watches[index];
    let written = Written::path(place);
    match watch.written.get(PATH) {
        Some(earlier) if earlier.place.file == written.place.file => {
            let what = format!("is the same directory as at {}", earlier.place);
            mistakes.add(Some(&written.place), &written.key, what);
        }
        _ => {
            watch.written.insert(PATH, written);
        }
    }
    watch
}

/// Adds what is right by itself but not beside the rest.
pub(super) fn find_contradictions(watches: &[Section<Watch>], mistakes: &mut Mistakes) {
    for (index, watch) in watches.iter().enumerate() {
        let path = &watch.settings.path;
        let mut add = |what| match watch.written.get(PATH) {
            Some(written) => mistakes.add(Some(&written.place), &written.key, what),
            None => mistakes.add(None, "--watch", what),
        };
        let mut earlier = watches.iter().take(index);
        if earlier.any(|earlier| earlier.settings.path == *path) {
            add(format!("{} is given twice", quoted(path)));
        }
        if let Some(outer) = watches.iter().find(|outer| reaches_into(&outer.settings, path)) {
            let (path, outer) = (quoted(path), quoted(&outer.settings.path));
            add(format!("{path} lies inside {outer}, which is recursive"));
        }
        find_useless_patterns(watch, mistakes);
        find_unheeded(watch, mistakes);
    }
    find_unheeded_defaults(watches, mistakes);
}

/// Adds what `judge` objects to, where the key is written that it names, else where the path is.
pub(super) fn hear(judge: Judge, watches: &[Section<Watch>], mistakes: &mut Mistakes) {
    for watch in watches {
        for Objection { key, what } in judge(&watch.settings) {
            let what = format!("{} {what}", quoted(&watch.settings.path));
            match watch.written.get(key).or_else(|| watch.written.get(PATH)) {
                Some(written) => mistakes.add(Some(&written.place), &written.key, what),
                None => mistakes.add(None, "--watch", what),
            }
        }
    }
}

fn reaches_into(outer: &Watch, path: &Path) -> bool {
    outer.recursive && path != outer.path && path.starts_with(&outer.path)
}

/// Adds the patterns that can take nothing, since the other list leaves nothing of them.
fn find_useless_patterns(watch: &Section<Watch>, mistakes: &mut Mistakes) {
    let Watch {
        path,
        include,
        exclude,
        ..
    } = &watch.settings;
    // The default excludes nothing, so where it contradicts, it was written.
    let Some(Written { key, place }) = watch.written.get("exclude") else {
        return;
    };
    let path = quoted(path);
    for pattern in exclude {
        if pattern == "*" {
            mistakes.add(
                Some(place),
                key,
                format!("\"*\" leaves nothing of {path} to take"),
            );
        } else if include.contains(pattern) {
            let what = format!("\"{pattern}\" is in the include of {path} too, where it can take nothing");
            mistakes.add(Some(place), key, what);
        }
    }
}

/// The keys with a value of their own that only the evidence policy would heed.
fn unheeded(watch: &Section<Watch>) -> impl Iterator<Item = &Written> {
    let untouched = Watch::default();
    let is_idle = watch.settings.policy != PolicyName::Evidence;
    let keys = keys::CAPTURE.iter().filter(move |key| {
        let is_own = (key.show)(&watch.settings) != (key.show)(&untouched);
        is_idle && is_own && keys::OF_EVIDENCE.contains(&key.name)
    });
    keys.filter_map(|key| watch.written.get(key.name))
}

/// What is said of such a key.
fn no_effect(policy: PolicyName) -> String {
    format!("has no effect with policy = \"{}\"", policy.word())
}

/// Adds the keys of a watch that its policy does not heed.
fn find_unheeded(watch: &Section<Watch>, mistakes: &mut Mistakes) {
    for Written { key, place } in unheeded(watch).filter(|written| written.key.starts_with("watch.")) {
        mistakes.add(Some(place), key, no_effect(watch.settings.policy));
    }
}

/// Adds the defaults that no watch heeds. One that heeds them is enough.
fn find_unheeded_defaults(watches: &[Section<Watch>], mistakes: &mut Mistakes) {
    let Some((first, others)) = watches.split_first() else {
        return;
    };
    if others
        .iter()
        .chain([first])
        .any(|watch| watch.settings.policy == PolicyName::Evidence)
    {
        return;
    }
    for Written { key, place } in unheeded(first).filter(|written| written.key.starts_with("defaults.")) {
        mistakes.add(Some(place), key, no_effect(first.settings.policy));
    }
}

fn quoted(path: &Path) -> String {
    format!("\"{}\"", printable(path.as_os_str().as_encoded_bytes()))
}
