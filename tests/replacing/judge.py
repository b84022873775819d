"""What must be true of a directory after a capture in it was, or was not, replaced.

The name holds the whole original or the whole slimmed capture, with the attributes of the original; the report agrees
with that; no marker lies; and once a run has come to its end undisturbed, nothing is left over.
"""
import json
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from captures import ATTRIBUTE, MODE, MODIFIED, NAME, OWNER

MARKERS = ".slim_markers"
PRIVATE = "private"


@dataclass
class Report:
    """What a run said: its exit status, and the status (`ok`, `skip`, `fail`) of its capture with the error and notes.
    A run that was killed said nothing."""

    exit: int
    status: str = None
    error: str = ""
    notes: list = field(default_factory=list)

    @classmethod
    def of(cls, exit_status, output):
        try:
            file = json.loads(output)["files"][0]
        except (ValueError, LookupError):
            return cls(exit_status)
        return cls(exit_status, file["status"], file.get("error") or "", file.get("notes") or [])


def content_of(path, capture):
    """`original`, `slimmed`, or what else is there."""
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        return f"unreadable ({error.strerror})"
    if content == capture.original:
        return "original"
    return "slimmed" if content == capture.slimmed else f"neither ({len(content)} bytes)"


def attributes(path):
    """What is wrong with the attributes of the capture."""
    is_ = os.lstat(path)
    if not stat.S_ISREG(is_.st_mode):
        yield "no regular file"
        return
    if (is_.st_uid, is_.st_gid) != OWNER:
        yield f"the owner is {is_.st_uid}:{is_.st_gid}"
    if stat.S_IMODE(is_.st_mode) != MODE:
        yield f"the mode is {stat.S_IMODE(is_.st_mode):o}"
    if is_.st_mtime_ns != MODIFIED:
        yield f"the modification time is {is_.st_mtime_ns}"
    if is_.st_nlink != 1:
        yield f"it has {is_.st_nlink} names"


def has_attribute(path):
    try:
        return os.getxattr(path, ATTRIBUTE[0], follow_symlinks=False) == ATTRIBUTE[1]
    except OSError:
        return False


def entries(directory):
    """The names in a directory."""
    try:
        return sorted(os.listdir(directory))
    except FileNotFoundError:
        return []


def after_fault(directory, capture, report, had_attribute=True, was_slimmed=False):
    """Complaints about a run in which something failed, or which was killed (`report.status` is None). `was_slimmed` says
    that it was slimmed before."""
    path = Path(directory) / NAME
    now = content_of(path, capture)
    if now not in ("original", "slimmed"):
        yield f"the capture is {now}"
        return
    yield from attributes(path)
    if had_attribute and not has_attribute(path):
        yield "the extended attribute is gone"
    markers = entries(path.parent / MARKERS)
    if NAME in markers and now == "original":
        yield "the original is marked as slimmed"
    if f"{NAME}.failed" in markers:
        yield "it is given up for good"
    if any(".conflict" in name for name in entries(directory)):
        yield "there is a conflict, and nobody wrote"
    if report.status == "ok" and now == "original":
        yield "reported as slimmed, and it is the original"
    if report.status not in (None, "ok") and now == "slimmed" and not was_slimmed:
        yield f"reported as {report.status} ({report.error}), and it is slimmed"
    if report.exit == 0 and report.status == "fail":
        yield f"exit status {report.exit} with {report.status}"
    if report.exit not in (0, 1, 2, -9):
        yield f"exit status {report.exit}"


def after_completion(directory, capture, report, with_trace=False, had_attribute=True):
    """Complaints about an undisturbed run after that."""
    path = Path(directory) / NAME
    now = content_of(path, capture)
    if now != "slimmed":
        yield f"a second run leaves it {now} ({report.status} {report.error})"
        return
    if report.exit != 0:
        yield f"a second run has exit status {report.exit} ({report.error})"
    yield from attributes(path)
    if had_attribute and not has_attribute(path):
        yield "the extended attribute is gone"
    yield from leftovers(directory, with_trace)


def leftovers(directory, with_trace=False):
    """Everything that is there beside the capture, its marker and its trace."""
    directory = Path(directory)
    yield from (f"left over: {name}" for name in entries(directory) if name not in (NAME, MARKERS))
    wanted = {NAME, PRIVATE} | ({f"{NAME}.slimtrace"} if with_trace else set())
    there = set(entries(directory / MARKERS))
    yield from (f"left over: {MARKERS}/{name}" for name in sorted(there - wanted))
    yield from (f"missing: {MARKERS}/{name}" for name in sorted(wanted - there - {PRIVATE}))
    yield from (f"left over: {MARKERS}/{PRIVATE}/{name}" for name in entries(directory / MARKERS / PRIVATE))
