"""A hostile owner at every step: before each system call of the program in turn, he exchanges a name that he owns for
something else, and puts it back after that call or never.

    tests/replacing/run swaps [--all] [--seed S] [--count N]

What owner.py leaves to chance is certain here, for one exchange in each run: the tracer acts as the owner while the
program stands still. Nothing outside may change, and the capture is what it was, slimmed, or what he put there.
"""
import itertools
import multiprocessing
import os
import random
import shutil
from collections import Counter
from dataclasses import dataclass

import captures
import hostile
import judge
import owner
import tracer

NAME = captures.NAME
MARKERS = judge.MARKERS
# What he owns, the names that he exchanges then, below the directory above the watched one, and options of the program.
SCENES = (
    ("directory", (f"watched/{NAME}", f"watched/{MARKERS}"), ()),
    ("directory", (f"watched/{NAME}.tmp",), ("--staging", "beside")),
    ("markers", tuple(f"watched/{MARKERS}/{name}" for name in (judge.PRIVATE, NAME, f"{NAME}.tmp")),
     ("--staging", "markers")),
    ("markers", tuple(f"watched/{MARKERS}/{NAME}.slimtrace{more}" for more in ("", ".tmp")), ("--trace",)),
    ("parent", ("watched",), ()),
)
LURES = ("closed", "closed/a.pcap", "secret", "directory", "text", "fifo", "capture")


@dataclass(frozen=True)
class Point:
    """Before which call he exchanges which name for what, and whether he puts it back."""

    scene: int
    index: int
    name: str
    lure: str
    is_brief: bool


class Swapper(tracer.Watcher):
    """Exchanges two names before one call."""

    def __init__(self, point, name, lure):
        self.point, self.name, self.lure = point, str(name), str(lure)
        self.hit, self.swapped = None, False

    def exchange(self):
        with as_owner():
            return hostile.exchange(self.name, self.lure)

    def before(self, seen):
        if self.hit is None and seen.index >= self.point.index:
            # Where the name is not there yet, he comes again at the next call.
            self.swapped = self.exchange()
            self.hit = seen if self.swapped else None

    def after(self, seen):
        if seen is self.hit and self.point.is_brief:
            self.exchange()


class as_owner:
    """Has this process be the owner for a while."""

    def __enter__(self):
        os.setegid(owner.HOSTILE)
        os.seteuid(owner.HOSTILE)

    def __exit__(self, *_error):
        os.seteuid(0)
        os.setegid(0)


class Swaps:
    """Exchanges beside one program."""

    def __init__(self, campaign):
        self.campaign, self.capture = campaign, campaign.capture

    def scene(self, number, name):
        owns, _, options = SCENES[number]
        base = self.campaign.place.fresh(name)
        scene = owner.Scene(base, owns, self.capture, None)
        for folder in ("closed", "markers", "bob"):
            scene.outside.make(scene.outside.path / folder / NAME, self.capture.original, 0o600)
        scene.outside.was = scene.outside.now()
        self.capture.put(scene.watched)
        if owns != "markers":
            os.chown(scene.watched / NAME, owner.HOSTILE, owner.HOSTILE)
        return scene, self.campaign.program.with_options(*options)

    def calls(self, number):
        """The calls of an undisturbed run."""
        scene, ours = self.scene(number, f"recorded-{number}")
        seen = []

        class Recorder(tracer.Watcher):
            def after(self, call):
                seen.append(call)

        self.traced(scene, ours, Recorder())
        shutil.rmtree(scene.base)
        return seen

    @staticmethod
    def traced(scene, ours, watcher):
        return ours.traced(scene.watched, watcher, scene.parent)

    def play(self, point):
        """One exchange; -> what it met, what was reported, and the complaints."""
        word = f"{point.index}-{point.name}-{point.lure}-{point.is_brief}".replace("/", "-")
        scene, ours = self.scene(point.scene, f"swap-{point.scene}-{word}")
        name = scene.parent / point.name
        name.parent.mkdir(exist_ok=True)
        lure = self.lure(scene, name.parent, point.lure)
        swapper = Swapper(point, name, lure)
        try:
            report = self.traced(scene, ours, swapper)
        except tracer.Hung:
            return str(swapper.hit), "", ["it hangs"]
        complaints = [*scene.outside.complaints(), *scene.captures()]
        if report.exit not in (0, 1, 2):
            complaints.append(f"exit status {report.exit}")
        shutil.rmtree(scene.base, ignore_errors=True)
        return str(swapper.hit), f"{report.status} {report.error}", complaints

    def lure(self, scene, directory, kind):
        """What he exchanges the name for, beside it."""
        lure = directory / "lure"
        with as_owner():
            if kind == "directory":
                lure.mkdir(0o777)
            elif kind == "text":
                lure.write_bytes(hostile.EVIL)
            elif kind == "fifo":
                os.mkfifo(lure)
            elif kind == "capture":
                lure.write_bytes(self.capture.original)
            else:
                lure.symlink_to(scene.outside.path / kind)
        return lure


SWAPS = None


def play(point):
    return point, SWAPS.play(point)


def points():
    for number, (_, names, _) in enumerate(SCENES):
        calls = range(len(SWAPS.calls(number)))
        yield from (Point(number, *each) for each in itertools.product(calls, names, LURES, (False, True)))


def run(swaps, options):
    """Plays exchanges; -> whether there was no complaint."""
    global SWAPS
    SWAPS = swaps
    chosen = list(points())
    if not options.all:
        chosen = random.Random(f"{options.seed} swaps").sample(chosen, min(len(chosen), options.count))
    is_well, met, outcomes = True, Counter(), Counter()
    with multiprocessing.get_context("fork").Pool() as pool:
        for point, (hit, outcome, complaints) in pool.imap_unordered(play, chosen):
            met[SCENES[point.scene][0] if hit != "None" else "nothing"] += 1
            outcomes[outcome.split()[0]] += 1
            for complaint in complaints:
                is_well = False
                how = "for one call" if point.is_brief else "for good"
                print(f"not ok - {point.name} becomes {point.lure} {how} at {hit} ({outcome}): {complaint}", flush=True)
    word = "ok" if is_well else "not ok"
    print(f"{word} - {len(chosen)} exchanges, by the owner of {dict(met)}: {dict(outcomes)}", flush=True)
    return is_well
