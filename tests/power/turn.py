"""One recording with its power cuts: made, judged, and kept where something is wrong."""
import collections
import dataclasses
import os
import random
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from cuts import copy, cuts, images
from disks import FILE_SYSTEMS, FileSystem
from judge import judge, judge_names
from recording import Unfinished, prepare, record
from work import WAYS, Way

CHECKED = 20  # of one image in 20, the file system itself is checked
SHOWN = 2  # images with the same fault
SHORT = 300  # characters of what is wrong
ENOUGH = 3  # images with a lost capture that a control needs
SECOND = 4  # recordings that begin with a power cut
SHARED_MEMORY = Path("/dev/shm")
ROOM = 2 << 30


@dataclass(frozen=True)
class Turn:
    """What to record and how many images to judge; `control` is a library that breaks the disk discipline."""

    system: FileSystem
    way: Way
    images: int
    seed: int
    programs: Path
    keep: Path
    control: Path = None

    def __str__(self):
        return f"{self.system.name} {self.way.name}" + (" control" if self.control else "")


class Result:
    """The sum of verdicts, and what is said of them."""

    def __init__(self, turn):
        self.turn, self.lines, self.images, self.faulty, self.lost = turn, [], 0, 0, 0
        self.found, self.wrong = collections.Counter(), collections.Counter()
        self.is_finished = True

    def add(self, cut, verdict):
        self.images += 1
        self.faulty += bool(verdict.wrong)
        self.lost += verdict.is_lost
        self.found += verdict.found
        kinds = {kind for kind, _ in verdict.wrong}
        if any(self.wrong[kind] < SHOWN for kind in kinds) and not self.turn.control:
            self.lines.append(f"  {cut}:")
            self.lines += [f"    {kind}: {str(details)[:SHORT]}" for kind, details in verdict.wrong[:6]]
        self.wrong.update(kinds)

    def is_good(self):
        """Nothing is wrong; of a control, that captures are lost."""
        return self.is_finished and (self.lost == ENOUGH if self.turn.control else not self.faulty)

    def text(self):
        said = f"{self.images} images, {self.faulty} with something wrong, {self.lost} with a lost capture"
        lines = [f"{'ok' if self.is_good() else 'not ok'} - {self.turn}: {said}", *self.lines]
        if self.found and not self.turn.control:
            lines.append("  found: " + ", ".join(f"{what} {count}" for what, count in sorted(self.found.items())))
        if self.wrong:
            lines.append("  wrong: " + ", ".join(f"{what} {count}" for what, count in self.wrong.most_common()))
        return "\n".join(lines)


def workplace():
    """A new temporary directory, in memory where there is room."""
    room = 0
    if SHARED_MEMORY.is_dir():
        about = os.statvfs(SHARED_MEMORY)
        room = about.f_bavail * about.f_frsize
    return tempfile.TemporaryDirectory(prefix="power-", dir=SHARED_MEMORY if room > ROOM else None)


def take(turn):
    """Records, judges, and keeps what is faulty; gives the result."""
    result = Result(turn)
    try:
        with workplace() as name:
            if turn.way.before == "cut":
                _cut_twice(turn, Path(name), result)
            else:
                recording = prepare(turn.system, turn.way, turn.programs, Path(name), not turn.control)
                _record_and_judge(turn, recording, Path(name), turn.images, result)
    except Unfinished as error:
        result.is_finished = False
        result.lines.append(f"  {error}")
    return result


def _record_and_judge(turn, recording, folder, count, result, suffix=""):
    """Gives the cuts that left something in the private directory."""
    begun = time.monotonic()
    record(recording, turn.programs, folder, turn.control)
    recorded, faulty = time.monotonic() - begun, result.faulty
    busy = judge_cuts(turn, recording, folder, count, result)
    took = time.monotonic() - begun - recorded
    result.lines.append(f"  recorded in {recorded:.1f} s, judged in {took:.1f} s")
    if result.faulty > faulty and not turn.control:
        kept = turn.keep / f"{turn.system.name}-{turn.way.name}-{turn.seed}{suffix}"
        recording.save(kept)
        result.lines.append(f"  kept; judge again: tests/power/run --again {kept} --seed {turn.seed} --images {count}")
    return busy


def judge_cuts(turn, recording, folder, count, result, only=None):
    """Judges `count` cuts of a recording, or only the one with that number."""
    (folder / "at").mkdir(exist_ok=True)
    chosen, possible = cuts(recording.log.read_bytes(), recording.end, count, turn.seed)
    chosen = [cut for cut in chosen if only in (None, cut.number)]
    result.lines.append(f"  {len(recording.captures())} captures, {len(chosen)} of {possible} cuts")
    busy = []
    for at, (cut, image) in enumerate(images(recording.base, recording.log.read_bytes(), chosen, folder)):
        if turn.control:
            result.add(cut, judge_names(image, recording, folder))
            if result.lost == ENOUGH:
                break
            continue
        verdict = judge(image, recording, turn.programs, folder, cut.is_after_end, at % CHECKED == 0)
        result.add(cut, verdict)
        if any(what.startswith("private") for what in verdict.found):
            busy.append(cut)
    return busy


def _cut_twice(turn, folder, result):
    """Cuts the power of a run that follows a power cut. Half of the images are of the first run, to find such cuts."""
    first = WAYS["markers"] if not turn.way.is_daemon else WAYS["daemon"]
    recording = prepare(turn.system, first, turn.programs, folder)
    busy = _record_and_judge(turn, recording, folder, turn.images // 2, result, "-first")
    chosen, _ = cuts(recording.log.read_bytes(), recording.end, turn.images // 2, turn.seed)
    dice = random.Random(turn.seed)
    seconds = dice.sample(busy or chosen, min(SECOND, len(busy or chosen)))
    seconds.sort(key=lambda cut: cut.number)
    bases = []
    for cut, image in images(recording.base, recording.log.read_bytes(), seconds, folder):
        bases.append((cut, folder / f"base-{cut.number}"))
        copy(image, bases[-1][1])
    for number, (cut, base) in enumerate(bases):
        result.lines.append(f"  second run after {cut}")
        again = dataclasses.replace(recording, way=turn.way, base=base, log=folder / "log-2", end=None)
        rest = turn.images - turn.images // 2
        share = rest // len(bases) + (number < rest % len(bases))
        _record_and_judge(turn, again, folder, share, result, f"-{cut.number}")
        base.unlink()


def turns(systems, ways, **rest):
    return [Turn(FILE_SYSTEMS[system], WAYS[way], **rest) for system in systems for way in ways]
