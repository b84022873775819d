"""Every system call by which a capture is replaced fails with every error that it may give, and is the last one before
kill -9.

    tests/replacing/run faults [--all] [--seed S] [--count N] [--on tmpfs,ext4,...] [--way WORD]

After each run the capture is judged (see judge.py), and a second run, undisturbed, must complete what the first did not.
--all takes every call with every error, otherwise --count of them are chosen.
"""
import multiprocessing
import random
import shutil
from collections import Counter
from dataclasses import dataclass

import captures
import judge
import places
import program
import tracer

KILL = "kill -9"


@dataclass(frozen=True)
class Way:
    """How the program replaces: its options; whether there is a trace; at which call a run before it was killed."""

    name: str
    options: tuple = ()
    with_trace: bool = False
    crashed: str = None  # `before` or `after` the exchange


WAYS = (
    Way("plain"),
    Way("beside", ("--staging", "beside")),
    Way("trace", ("--trace", "--digest", "sha256"), with_trace=True),
    Way("after a crash before the exchange", crashed="before"),
    Way("after a crash behind the exchange", crashed="after"),
)
EXCHANGES = ("renameat2", "renameat", "rename")
# A file system in user space has neither leases that guard nor an exchange nor nameless files.
ACCEPT = ("--unguarded", "accept", "--unguarded-linger-seconds", "1")
FUSE_WAYS = (Way("unguarded", ACCEPT), Way("unguarded, beside", (*ACCEPT, "--staging", "beside")))


def ways_on(place):
    return FUSE_WAYS if place.is_fuse else WAYS


@dataclass(frozen=True)
class Point:
    """A call of a run, by its name and its number among those of that name, and what happens there: an error number or
    KILL."""

    way: Way
    name: str
    nth: int
    fault: object


class Recorder(tracer.Watcher):
    """Lists the calls of a run."""

    def __init__(self):
        self.seen = []

    def after(self, seen):
        self.seen.append(seen)


class Breaker(tracer.Watcher):
    """Has one call fail, or kills the process before it."""

    def __init__(self, point):
        self.name, self.nth, self.fault = point.name, point.nth, point.fault
        self.hit = None

    def before(self, seen):
        if (seen.call.name, seen.nth) != (self.name, self.nth):
            return None
        self.hit = seen
        return tracer.Tracer.KILL if self.fault == KILL else self.fault


class Crasher(tracer.Watcher):
    """Kills the process before or after the exchange."""

    def __init__(self, when):
        self.when = when

    def at(self, when, seen):
        is_exchange = seen.call.name in EXCHANGES and captures.NAME in seen.about
        return tracer.Tracer.KILL if is_exchange and when == self.when else None

    def before(self, seen):
        return self.at("before", seen)

    def after(self, seen):
        return self.at("after", seen)


@dataclass
class Campaign:
    """What every process of the campaign knows."""

    program: program.Program
    capture: captures.Capture
    place: places.Place

    def prepare(self, way, name):
        """A directory with a fresh original, and what a crash left there; -> it, and whether it has extended attributes."""
        directory = self.place.fresh(name)
        path = self.capture.put(directory)
        had = judge.has_attribute(path)
        if way.crashed and self.program.traced(directory, Crasher(way.crashed)).exit != -9:
            raise RuntimeError("the capture was not exchanged")
        return directory, had

    def calls(self, way):
        """The calls of an undisturbed run."""
        directory, _ = self.prepare(way, "recorded")
        recorder = Recorder()
        report = self.program.with_options(*way.options).traced(directory, recorder)
        # Behind the exchange, recovery has its marker take its name.
        if report.status not in (("ok", "skipped_marker") if way.crashed == "after" else ("ok",)):
            raise RuntimeError(f"{way.name}: an undisturbed run fails: {report}")
        shutil.rmtree(directory)
        return recorder.seen

    def play(self, point):
        """One fault; -> the call that it met, what was reported, and the complaints."""
        name = f"{point.way.name}-{point.name}-{point.nth}-{point.fault}".replace(" ", "-")
        directory, had = self.prepare(point.way, name)
        ours = self.program.with_options(*point.way.options)
        breaker = Breaker(point)
        try:
            report = ours.traced(directory, breaker)
        except tracer.Hung:
            return str(breaker.hit), "", ["it hangs"]
        complaints = list(judge.after_fault(directory, self.capture, report, had, point.way.crashed == "after"))
        program.age_staging(directory)
        again = ours.run(directory)
        complaints += judge.after_completion(directory, self.capture, again, point.way.with_trace, had)
        shutil.rmtree(directory, ignore_errors=True)
        return str(breaker.hit), f"{report.status} {report.error}", complaints


def points_of(way, seen):
    for call in seen:
        yield from (Point(way, call.call.name, call.nth, fault) for fault in (KILL, *call.call.errors))


CAMPAIGN = None


def play(point):
    return point, CAMPAIGN.play(point)


def told(fault):
    import errno
    return fault if fault == KILL else errno.errorcode[fault]


def run(campaign, ways, options):
    """Plays the points of some ways; -> whether there was no complaint."""
    global CAMPAIGN
    CAMPAIGN = campaign
    chosen = []
    for way in ways:
        points = list(points_of(way, campaign.calls(way)))
        if not options.all:
            wanted = min(len(points), max(1, options.count // len(ways)))
            points = random.Random(f"{options.seed} {way.name}").sample(points, wanted)
        chosen += points
    is_well, met, missed = True, Counter(), 0
    with multiprocessing.get_context("fork").Pool() as pool:
        for point, (hit, outcome, complaints) in pool.imap_unordered(play, chosen):
            met[point.name] += 1
            missed += hit == "None"
            for complaint in complaints:
                is_well = False
                print(f"not ok - {point.way.name}, {told(point.fault)} at {hit} ({outcome}): {complaint}", flush=True)
    faults = ", ".join(f"{name} {count}" for name, count in sorted(met.items()))
    print(f"{'ok' if is_well else 'not ok'} - {campaign.place.kind}: {len(chosen)} faults ({missed} were not met): {faults}",
          flush=True)
    return is_well
