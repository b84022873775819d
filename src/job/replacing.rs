//! A verified slimmed capture takes the place of its original, and is marked.
//!
//! Apart from the reading, which is over: what can go wrong from here on is the commit protocol's (`commit`), and what it
//! means for the outcome is decided here and, once the original has gone, in [`super::ended`].

use super::ended::Waits;
use super::trace::Recorder;
use super::{Error, Job, Place, StagingFile, Told};
use crate::commit::disk::Disk;
use crate::commit::linger::Standing;
use crate::commit::marker::Markers;
use crate::commit::{self, Original, Verified};
use crate::input::Capture;
use crate::report::Note;

impl<'d, D: Disk> Job<'_, 'd, D> {
    /// Has the slimmed capture take the place of the original, and marks it.
    pub(super) fn replace(
        &self,
        place: &Place<'_>,
        capture: Capture,
        verified: Verified<StagingFile<'d, D>>,
        recorder: Option<Recorder<'d, D>>,
        markers: Markers<'d, D>,
        told: &mut Told,
    ) -> Result<Option<Waits<'d, D>>, Error> {
        let trace = self.end_trace(recorder, told)?;
        let is_traced = trace.is_some();
        (self.hooks.commits)();
        let identity = capture.identity;
        let attributes = capture.attributes.clone();
        let original = Original {
            directory: place.directory,
            name: place.name,
            file: capture.into_file(),
            identity,
            attributes: &attributes,
            is_guarded: place.is_guarded,
            linger: if place.is_guarded {
                self.options.linger
            } else {
                self.options.unguarded_linger
            },
        };
        let slimmed = verified.in_place_of(&identity)?;
        let marker = self.marker(&slimmed, verified.born(), told);
        let before = markers.text(place.name).unwrap_or_default();
        let (prepared, unprepared) = match markers.prepare(place.name, &marker, (&identity, &slimmed)) {
            Ok(prepared) => (Some(prepared), Ok(())),
            // It is slimmed all the same: the next run finds nothing to cut and marks it.
            Err(error) => (None, Err(error)),
        };
        let mut lingering = match verified.commit(original, trace, prepared) {
            Err(commit::Error::Larger { .. }) => {
                // The capture takes less of the device as it is.
                told.figures.bytes_out = told.figures.bytes_in;
                told.figures.disk_out = told.figures.disk_in;
                told.notes.push(Note::NothingToCut);
                self.mark(&markers, (place.directory, place.name), &identity, told);
                return Ok(None);
            }
            committed => committed?,
        };
        if let Standing::Replaced = lingering.standing() {
            if !is_traced {
                // One that stays tells by its figures that it is of another capture.
                let _ = commit::forget_trace(self.disk, markers.directory(), place.name);
            }
            told.figures.disk_out = lingering.allocated().unwrap_or_default();
            told.marked(unprepared.and_then(|()| lingering.marked()));
        }
        Ok(Some(Waits {
            lingering,
            markers,
            name: place.name.to_owned(),
            before,
        }))
    }
}
