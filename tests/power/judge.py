"""What is wrong with a disk after a power cut, and after one more run on it.

Right after the cut every name holds all old or all new bytes, with owner, mode, modification time and extended
attributes; a marker names a slimmed capture; a file in the private directory is whole, and its name tells whether it is
the original, the slimmed file or the marker of that. The next run ends with exit status 0, slims all captures at once and
leaves nothing, and then each marker says how large the original was.
"""
import collections
import re
import subprocess
from dataclasses import dataclass, field

import captures
from captures import MARKERS
from recording import CAPTURES, PRIVATE, is_capture, leftovers, tree
from work import EMPTY, TORN, marked, original_size

STAGING = f"{PRIVATE}staging."
PRIVATE_NAME = re.compile(r"(?P<prefix>[om]-)?(?P<original>[0-9a-f]+)-[0-9a-f]+-[0-9a-f]+-(?P<slimmed>[0-9a-f]+)-.+")


@dataclass
class Verdict:
    """What is wrong, as kind and details; what was found; whether the bytes of a capture are lost."""

    wrong: list = field(default_factory=list)
    found: collections.Counter = field(default_factory=collections.Counter)
    is_lost: bool = False

    def complain(self, kind, details=""):
        self.wrong.append((kind, details))

    def lose(self, kind, details):
        self.complain(kind, details)
        self.is_lost = True


def judge_names(image, recording, folder):
    """The verdict on what the names of an image hold, and nothing else, for the negative control."""
    verdict = Verdict()
    try:
        with recording.system.mounted(image, folder / "at") as at:
            _names(verdict, recording, tree(at / CAPTURES), is_after_end=False)
    except subprocess.CalledProcessError as error:
        verdict.complain("cannot be mounted", error.stderr)
    return verdict


def judge(image, recording, programs, folder, is_after_end, is_checked):
    """The verdict on one image, which is changed."""
    verdict = Verdict()
    try:
        with recording.system.mounted(image, folder / "at") as at:
            directory = at / CAPTURES
            found = tree(directory)
            _names(verdict, recording, found, is_after_end)
            _markers(verdict, recording, found, is_after_end)
            _private(verdict, recording, found)
            _others(verdict, recording, found)
            _next_run(verdict, recording, programs, directory, found)
    except subprocess.CalledProcessError as error:
        verdict.lose("cannot be mounted", error.stderr)
        return verdict
    if is_checked and not recording.system.is_sound(image):
        verdict.complain("the file system is damaged")
    return verdict


def is_slimmed(file, recording, name):
    """Whether a file has the bytes of the slimmed capture. A stream may be compressed in another way each time."""
    expected = recording.after[name].data
    if file.data == expected:
        return True
    if file.data == recording.before[name].data:
        return False
    return captures.is_compressed(expected) and captures.plain(file.data) == captures.plain(expected)


def _names(verdict, recording, found, is_after_end):
    for name in recording.captures():
        if name not in found:
            verdict.lose("is gone", name)
            continue
        old, new, now = recording.before[name], recording.after[name], found[name]
        slimmed = is_slimmed(now, recording, name)
        if not slimmed and now.data != old.data:
            kind = "is empty" if not now.data else "is torn" if any(now.data) else "is all zeros"
            verdict.lose(kind, f"{name}: {len(now.data)} bytes instead of {len(old.data)} or {len(new.data)}")
        elif is_after_end and not slimmed:
            verdict.complain("is not slimmed, but the program had ended", name)
        if now.attributes != old.attributes:
            verdict.complain("has other attributes", f"{name}: {now.attributes} instead of {old.attributes}")
        verdict.found["slimmed" if slimmed else "original"] += 1


def _markers(verdict, recording, found, is_after_end):
    for name in recording.captures():
        path = f"{MARKERS}/{name}"
        if path not in found:
            if is_after_end and path in recording.after:
                verdict.complain("has no marker, but the program had ended", name)
            continue
        text = found[path].data
        if path in recording.before and text == recording.before[path].data:
            verdict.found["marker from before"] += 1
            continue
        verdict.found["marker"] += 1
        says, now = marked(text), found.get(name)
        if says in (EMPTY, TORN):
            verdict.complain(f"marker is {says}", name)
        elif now is None or says != (len(now.data), now.attributes[3]):
            verdict.complain("marker and capture do not agree", f"{name}: {text}")
        elif not is_slimmed(now, recording, name):
            verdict.complain("is called slimmed and is not", name)


def _private(verdict, recording, found):
    by_inode = {found[name].inode: name for name in recording.captures() if name in found}
    for path, file in found.items():
        if not path.startswith(PRIVATE):
            continue
        parts = PRIVATE_NAME.fullmatch(path.removeprefix(PRIVATE))
        if not parts:
            verdict.found["private: staging file" if path.startswith(STAGING) else "private: other file"] += 1
            continue
        if parts["prefix"] == "m-":
            verdict.found["private: marker"] += 1
            continue
        inodes = {kind: int(parts[kind], 16) for kind in ("original", "slimmed")}
        kind = next((kind for kind, inode in inodes.items() if inode == file.inode), None)
        other = by_inode.get(inodes["slimmed" if kind == "original" else "original"])
        if kind is None or other is None:
            verdict.complain("private name does not tell what it is", f"{path} is inode {file.inode:x}")
            continue
        verdict.found[f"private: {kind}"] += 1
        if kind == "original" and recording.system.overwrites_freed_blocks:
            continue  # it may have been unlinked, and is not needed
        whole = recording.before[other].data if kind == "original" else recording.after[other].data
        if file.data != whole and not (kind == "slimmed" and is_slimmed(file, recording, other)):
            verdict.complain(f"private {kind} file is not whole", path)


def _others(verdict, recording, found):
    for path, file in found.items():
        if path in recording.before or path in recording.after or path.startswith(PRIVATE):
            continue
        size = "empty" if not file.data else "with data" if any(file.data) else "zeros"
        kind = "staging file" if path.endswith(".tmp") else "other file"
        place = "in .slim_markers" if path.startswith(MARKERS) else "beside"
        verdict.found[f"{kind} {place}, {size}"] += 1
        if path.endswith(".conflict"):
            verdict.complain("conflict without a writer", path)


def _next_run(verdict, recording, programs, directory, found):
    markers = recording.markers()
    ended = recording.way.slim(programs, directory, markers, is_after_cut=True)
    again = tree(directory)
    if ended.status != 0:
        verdict.complain("next run fails", str(ended))
    for name, (status, _) in ended.files.items():
        is_changed = name in found and not is_slimmed(found[name], recording, name)
        if status == "skipped_marker" and is_changed:
            verdict.complain("next run takes it for slimmed", name)
    for name in recording.captures():
        now, old, new = again.get(name), recording.before[name], recording.after[name]
        if now is None or not is_slimmed(now, recording, name):
            details = f"{name}: {ended.files.get(name)}"
            if now is None or now.data != old.data:
                verdict.lose("is lost by the next run", details)
            else:
                verdict.complain("is not slimmed by the next run", details)
        elif now.attributes != old.attributes:
            verdict.complain("has other attributes after the next run", f"{name}: {now.attributes}")
    for path in leftovers(again):
        verdict.complain("is left by the next run", path)
    expected = {path for path in recording.after if not path.startswith(PRIVATE)}
    missing, added = expected - again.keys(), again.keys() - expected - set(leftovers(again))
    if missing or added:
        verdict.complain("other files after the next run", f"missing {sorted(missing)}, more {sorted(added)}")
    _markers_after(verdict, recording, again)
    _verify(verdict, recording, programs, directory)


def _markers_after(verdict, recording, again):
    for path, new in recording.after.items():
        if not path.startswith(MARKERS) or path not in again or path.startswith(PRIVATE):
            continue
        now, name = again[path], path.removeprefix(f"{MARKERS}/")
        if now.attributes[:3] != new.attributes[:3]:
            verdict.complain("marker has other attributes", f"{path}: {now.attributes} instead of {new.attributes}")
        if name not in recording.before or not is_capture(name):
            continue
        if marked(now.data) != marked(new.data):
            verdict.complain("marker is wrong after the next run", f"{path}: {now.data} instead of {new.data}")
        elif original_size(now.data) != original_size(new.data):
            verdict.complain("marker has lost the size of the original", f"{path}: {now.data} instead of {new.data}")


def _verify(verdict, recording, programs, directory):
    """Has pcap-slim itself say whether the slimmed captures are what was left of them."""
    ours = [name for name in recording.markers() if marked(recording.after[f"{MARKERS}/{name}"].data) != EMPTY]
    command = [programs / "pcap-slim", "verify", "--output", "csv", *(directory / name for name in ours)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        lines = [line for line in done.stdout.splitlines()[1:] if ",same," not in line]
        verdict.complain("pcap-slim verify complains", " ".join(lines) + done.stderr)
