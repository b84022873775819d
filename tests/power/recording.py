"""A recording: a disk with captures, the log of what was written to it while they were slimmed, and what must be left.

`record` makes one, `save` keeps it with all that is needed to judge it again, `load` reads it back.
"""
import os
import pickle
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import captures
from cuts import copy
from disks import FILE_SYSTEMS, FileSystem, logging
from work import WAYS, Way

CAPTURES = "captures"
PRIVATE = f"{captures.MARKERS}/private/"


class Unfinished(Exception):
    """Without any power cut the captures were not slimmed, or something was left."""


@dataclass(frozen=True)
class File:
    """A file as it was found. The attributes are mode, owner, group, modification time and extended attributes."""

    data: bytes
    attributes: tuple
    inode: int


@dataclass
class Recording:
    """`before` and `after` have every file by its path; `end` is the length of the log when slimming had ended."""

    system: FileSystem
    way: Way
    base: Path
    log: Path
    end: int
    before: dict
    after: dict

    def captures(self):
        """The names of the captures."""
        return [name for name in self.before if is_capture(name)]

    def markers(self):
        """The captures that must have a marker of their own in the end."""
        return [name for name in self.captures() if f"{captures.MARKERS}/{name}" in self.after]

    def save(self, folder):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        copy(self.base, folder / "base")
        copy(self.log, folder / "log")
        rest = (self.system.name, self.way.name, self.end, self.before, self.after)
        (folder / "recording").write_bytes(pickle.dumps(rest))


def load(folder):
    """A recording that was kept. Where `end` is there, it says how long the log was when slimming had ended."""
    system, way, end, before, after = pickle.loads((folder / "recording").read_bytes())
    if (folder / "end").exists():
        end = int((folder / "end").read_text())
    return Recording(FILE_SYSTEMS[system], WAYS[way], folder / "base", folder / "log", end, before, after)


def is_capture(path):
    return "/" not in path and not path.endswith((".tmp", ".conflict"))


def tree(directory):
    """Every file below a directory, by its path there."""
    found = {}
    for path in sorted(directory.rglob("*")):
        if path.is_dir():
            continue
        about = path.lstat()
        extended = {name: os.getxattr(path, name) for name in os.listxattr(path)}
        attributes = (about.st_mode, about.st_uid, about.st_gid, about.st_mtime_ns, extended)
        found[str(path.relative_to(directory))] = File(path.read_bytes(), attributes, about.st_ino)
    return found


def prepare(system, way, programs, folder, is_compressed=True):
    """Makes a disk with captures, and slims a copy of it undisturbed; gives a recording that has no log yet."""
    source, at, base, copied = folder / "source", folder / "at", folder / "base", folder / "copied"
    at.mkdir()
    captures.make(source, is_compressed)
    system.create(base)
    with system.mounted(base, at):
        shutil.copytree(source, at / CAPTURES)
        captures.distinguish(at / CAPTURES)
    if way.before == "0.x":
        # What 0.x left is made of what slimming gives.
        slimmed = folder / "slimmed"
        copy(base, copied)
        with system.mounted(copied, at):
            ended = WAYS["markers"].slim(programs, at / CAPTURES, [])
            if ended.status != 0:
                raise Unfinished(str(ended))
            shutil.copytree(at / CAPTURES, slimmed)
        with system.mounted(base, at):
            captures.leave_what_0_x_left(at / CAPTURES, slimmed, version(programs))
    copy(base, copied)
    with system.mounted(copied, at):
        before = tree(at / CAPTURES)
        names = [name for name in before if is_capture(name) and name != captures.UNREADABLE]
        ended = way.slim(programs, at / CAPTURES, names)
        after = tree(at / CAPTURES)
    copied.unlink()
    if ended.status != 0 or leftovers(after):
        raise Unfinished(f"without a power cut: {ended}; left: {leftovers(after)}")
    return Recording(system, way, base, folder / "log", None, before, after)


def version(programs):
    command = [programs / "pcap-slim", "--version"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1]


def leftovers(files):
    """What must not be there when a run has ended."""
    return [path for path in files if path.endswith((".tmp", ".conflict")) or path.startswith(PRIVATE)]


def record(recording, programs, folder, preload=None):
    """Slims the captures of a recording's disk, and logs what is written to it."""
    at, worked = folder / "at", folder / "worked"
    at.mkdir(exist_ok=True)
    copy(recording.base, worked)
    with logging(worked, recording.log, folder) as disk, recording.system.mounted(disk, at):
        ended = recording.way.slim(programs, at / CAPTURES, recording.markers(), preload)
        recording.end = recording.log.stat().st_size
    worked.unlink()
    if ended.status != 0:
        raise Unfinished(f"while the disk was logged: {ended}")
