"""A writer at every step: the program stands still after each of its system calls in turn while somebody else opens the
capture, appends, truncates, renames over it, removes it.

    tests/replacing/run stops [--all] [--seed S] [--count N] [--on tmpfs,ext4,...] [--way WORD]

A writer that a lease keeps waiting goes on when the program does. Where it `holds`, it opened the capture before the
program started, and writes at that step. What it wrote must be there when both are done. The ways differ in what
guards the capture: a lease; nothing, since every lease is refused, where that is accepted or not; and a lease that
guards nothing, since the writer comes from below the mount.
"""
import errno
import fcntl
import multiprocessing
import os
import random
import shutil
import threading
from collections import Counter
from dataclasses import dataclass

import judge
import tracer
import writers

MOMENT = 0.02  # seconds in which a writer is done, or waits for a lease
PATIENCE = 60


@dataclass(frozen=True)
class Point:
    """After which call, by its name and its number among those, which writer comes; `None` for one that opened the capture
    before."""

    name: str
    nth: int
    kind: object


class Held:
    """A writer that has the capture open from the beginning on."""

    def __init__(self, path):
        self.descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)

    def act(self, _path):
        os.write(self.descriptor, writers.WRITTEN)
        os.close(self.descriptor)


@dataclass(frozen=True)
class Way:
    """What guards the capture, and the options for it."""

    name: str
    options: tuple = ()
    has_lease: bool = True
    may_return: bool = False
    is_untouched: bool = False


# Longer than what was written below a mount may stay unseen.
ACCEPT = ("--unguarded", "accept", "--unguarded-linger-seconds", "2")
GUARDED = Way("guarded")
# The exchange is there, and what is removed stays so.
WAYS = (GUARDED, Way("no lease, accepted", ACCEPT, has_lease=False),
        Way("no lease, refused", has_lease=False, is_untouched=True))
# There is no exchange: what somebody does to the name between the last look at it and the rename cannot be told.
FUSE_WAYS = (Way("from below, accepted", ACCEPT, may_return=True), Way("from below, refused", is_untouched=True))


def ways_on(place):
    return FUSE_WAYS if place.is_fuse else WAYS


class Intruder(tracer.Watcher):
    """Lets a writer in after one call; refuses leases, where there are none."""

    def __init__(self, point, act, path, has_lease):
        self.point, self.act, self.path, self.has_lease = point, act, path, has_lease
        self.thread = threading.Thread(target=self.write, daemon=True)
        self.hit, self.wrote, self.error = None, False, None

    def write(self):
        try:
            self.act(self.path)
            self.wrote = True
        except (FileNotFoundError, FileExistsError):
            pass  # nothing was there, or somebody else was quicker
        except OSError as error:
            self.error = error

    def before(self, seen):
        is_lease = seen.call.name == "fcntl" and seen.arguments[1] == fcntl.F_SETLEASE
        return errno.EINVAL if is_lease and not self.has_lease else None

    def after(self, seen):
        if (seen.call.name, seen.nth) == (self.point.name, self.point.nth):
            self.hit = seen
            self.thread.start()
            self.thread.join(MOMENT)

    def wait(self):
        """Waits until the writer is done; -> whether it is."""
        if self.hit is None:
            self.thread.start()
        self.thread.join(PATIENCE)
        return not self.thread.is_alive()


class Stops:
    """A writer at every step on one file system."""

    def __init__(self, campaign, way):
        self.campaign, self.way = campaign, way
        self.program = campaign.program.with_options(*way.options)
        self.place, self.capture = campaign.place, campaign.capture

    def calls(self):
        """The calls of a run that nobody disturbs."""
        directory = self.place.fresh("recorded")
        self.capture.put(directory)
        seen = []

        class Recorder(Intruder):
            def after(self, call):
                seen.append(call)

        self.program.traced(directory, Recorder(None, None, None, self.way.has_lease))
        shutil.rmtree(directory)
        return seen

    def play(self, point):
        """One writer at one step; -> the call that it came after, what was reported, and the complaints."""
        name = f"stop-{point.name}-{point.nth}-{point.kind.name if point.kind else 'held'}".replace(" ", "-")
        directory = self.place.fresh(name)
        path = self.capture.put(directory)
        theirs = self.place.hidden(path)
        kind = point.kind or writers.KINDS[0]
        act = kind.act if point.kind else Held(theirs).act
        intruder = Intruder(point, act, theirs, self.way.has_lease)
        try:
            report = self.program.traced(directory, intruder)
        except tracer.Hung:
            return str(intruder.hit), "", ["it hangs"]
        complaints = [] if intruder.wait() else ["the writer waits for ever"]
        if intruder.error:
            complaints.append(f"the writer fails: {intruder.error}")
        complaints += writers.complaints(theirs.parent, self.capture, kind, report, intruder.wrote)
        if self.way.may_return:
            complaints = [complaint for complaint in complaints if complaint != writers.RETURNED]
            if intruder.hit and intruder.hit.call.name == "linkat" and kind.name in ("replace", "create anew"):
                complaints = []  # it is renamed over, unseen
        if self.way.is_untouched and (report.status == "ok" or judge.MARKERS in judge.entries(theirs.parent)):
            complaints.append(f"it was touched ({report.status})")
        shutil.rmtree(directory, ignore_errors=True)
        return str(intruder.hit), f"{report.status} {report.error}", complaints


STOPS = None


def play(point):
    return point, STOPS.play(point)


def run(stops, options):
    """Plays writers after the calls of a run; -> whether there was no complaint."""
    global STOPS
    STOPS = stops
    seen = stops.calls()
    points = [Point(call.call.name, call.nth, kind) for call in seen for kind in (*writers.KINDS, None)]
    if not options.all:
        points = random.Random(f"{options.seed} stops").sample(points, min(len(points), options.count))
    is_well, met, outcomes = True, Counter(), Counter()
    # Most of a run is waiting where an original lingers.
    with multiprocessing.get_context("fork").Pool(24 if "2" in stops.way.options else None) as pool:
        for point, (hit, outcome, complaints) in pool.imap_unordered(play, points):
            kind = point.kind.name if point.kind else "held"
            met[kind] += 1
            outcomes[outcome.split(":")[0]] += 1
            for complaint in complaints:
                is_well = False
                print(f"not ok - {stops.way.name}: {kind} after {hit} ({outcome}): {complaint}", flush=True)
    word = "ok" if is_well else "not ok"
    print(f"{word} - {stops.place.kind}, {stops.way.name}: {len(points)} writers at {len(seen)} steps: "
          f"{dict(outcomes.most_common(8))}", flush=True)
    return is_well
