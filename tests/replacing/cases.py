"""Kinds of loss that this protocol was made against, each by itself and at every step where it can happen.

    tests/replacing/run cases [--way WORD]

What faults.py, stops.py, swaps.py and owner.py choose from is played here in full, as far as a case needs it.
"""
import fcntl
import errno
import os
import signal
import subprocess
import time

import captures
import judge
import owner
import places
import stops
import swaps
import tracer
import writers

CASES = {}


def case(sentence):
    """Registers a function of a campaign, which gives complaints, under what must be true."""
    def decorate(function):
        CASES[sentence] = function
        return function
    return decorate


def played(play, points):
    """Complaints of all points."""
    for point in points:
        hit, outcome, complaints = play(point)
        yield from (f"{point} at {hit} ({outcome}): {complaint}" for complaint in complaints)


@case("the owner of a directory who exchanges .slim_markers for a link changes no file of anybody else's")
def markers_exchanged(campaign):
    attack = swaps.Swaps(campaign)
    calls = range(len(attack.calls(0)))
    name = f"watched/{judge.MARKERS}"
    yield from played(attack.play, (swaps.Point(0, at, name, lure, False) for at in calls for lure in ("secret", "closed")))


@case("the owner of .slim_markers puts nothing of his in the place of a capture")
def staging_exchanged(campaign):
    attack = swaps.Swaps(campaign)
    for number in (2, 3):
        calls = range(len(attack.calls(number)))
        names = swaps.SCENES[number][1]
        yield from played(attack.play, (swaps.Point(number, at, name, lure, False)
                                        for at in calls for name in names for lure in ("text", "secret")))


@case("a writer that opens the capture while its name is taken loses nothing")
def writer_in_the_window(campaign):
    beside = stops.Stops(campaign, stops.GUARDED)
    kinds = [kind for kind in writers.KINDS if kind.name in ("append", "truncate", "overwrite")]
    calls = beside.calls()
    yield from played(beside.play, (stops.Point(call.call.name, call.nth, kind) for call in calls for kind in kinds))


class NoLease(tracer.Watcher):
    """Every lease is refused, by one error."""

    def __init__(self, error):
        self.error = error

    def before(self, seen):
        is_lease = seen.call.name == "fcntl" and seen.arguments[1] == fcntl.F_SETLEASE
        return self.error if is_lease else None


def held(campaign, name, run):
    """A capture that a writer keeps open while `run` tries to slim it in its directory, and to which it writes then."""
    directory = campaign.place.fresh(name)
    path = campaign.capture.put(directory)
    with open(path, "ab", buffering=0) as writer:
        before = os.stat(path).st_ino
        report = run(directory)
        entries = judge.entries(directory)
        writer.write(writers.WRITTEN)
    if report.status not in ("skipped_unguarded", "skipped_busy"):
        yield f"{name}: reported as {report.status} ({report.error})"
    if report.status == "skipped_unguarded" and not report.error:
        yield f"{name}: no reason is given"
    if os.stat(path).st_ino != before or path.read_bytes() != campaign.capture.original + writers.WRITTEN:
        yield f"{name}: what was written is lost"
    if entries != [captures.NAME]:
        yield f"{name}: the directory has {entries}"


@case("where no lease can be had, a capture that is open for writing is left alone")
def no_lease(campaign):
    for name in ("EINVAL", "EACCES", "ENOLCK", "EOPNOTSUPP"):
        for options in ((), ("--unguarded", "accept")):
            ours = campaign.program.with_options(*options)
            refuse = NoLease(getattr(errno, name))
            run = lambda directory: ours.traced(directory, refuse)  # noqa: E731
            yield from held(campaign, f"{name} {' '.join(options)}".strip(), run)


@case("a user who may not take a lease leaves captures of others alone")
def other_user(campaign):
    capabilities = "-all,+dac_override,+chown,+fowner"
    others = [f"--{kind}={capabilities}" for kind in ("inh-caps", "ambient-caps", "bounding-set")]
    user = owner.DAEMON
    ours = campaign.program.behind("/usr/bin/setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", *others)
    yield from held(campaign, "other-user", ours.run)
    directory = campaign.place.fresh("other-user-alone")
    campaign.capture.put(directory)
    report = ours.run(directory)
    if report.status != "skipped_unguarded" or judge.entries(directory) != [captures.NAME]:
        yield f"without a writer: {report}, {judge.entries(directory)}"


@case("a watched directory that becomes a link has nobody else's captures slimmed")
def root_exchanged(campaign):
    base = campaign.place.fresh("roots")
    alice, bob = base / "alice", base / "bob"
    alice.mkdir()
    bob.mkdir(mode=0o700)
    os.chown(alice, owner.HOSTILE, owner.HOSTILE)
    campaign.capture.put(bob)
    daemon = campaign.program.path.with_name(campaign.program.path.name + "d")
    if not daemon.exists():
        yield "there is no daemon"
        return
    config = base / "config.toml"
    config.write_text(f"""
[[watch]]
path = "{alice}/captures"
age_minutes = 0
policy = "reference"
[[watch]]
path = "{bob}"
age_minutes = 5256000
[daemon]
rescan_minutes = 1
""")
    for is_there in (False, True):
        if is_there:
            with swaps.as_owner():
                (alice / "captures").mkdir()
        log = base / f"log-{is_there}"
        command = [daemon, "--config", config, "--socket", base / "socket"]
        with open(log, "wb") as output:
            process = subprocess.Popen(command, stdout=output, stderr=output)
        time.sleep(1)
        with swaps.as_owner():
            if is_there:
                (alice / "captures").rename(alice / "away")
            (alice / "captures").symlink_to(bob)
        time.sleep(5)
        process.send_signal(signal.SIGHUP)
        time.sleep(3)
        process.terminate()
        process.wait(timeout=30)
        if judge.content_of(bob / captures.NAME, campaign.capture) != "original" or (bob / judge.MARKERS / captures.NAME).exists():
            yield f"the directory was{'' if is_there else ' not'} there at the start: {judge.entries(bob)} {log.read_text()[-200:]}"
        (alice / "captures").unlink()


def run(campaign, options):
    """Runs the cases; -> whether there was no complaint."""
    is_well = True
    for sentence, function in CASES.items():
        if options.way and options.way not in f"{function.__name__} {sentence}":
            continue
        place = places.Place(campaign.place.kind, campaign.place.fresh(function.__name__), campaign.place.below)
        begun = time.monotonic()
        complaints = list(function(type(campaign)(campaign.program, campaign.capture, place)))
        for complaint in complaints[:10]:
            print(f"not ok - {function.__name__}: {complaint}", flush=True)
        word = f"not ok ({len(complaints)} complaints)" if complaints else "ok"
        print(f"{word} - {sentence} ({time.monotonic() - begun:.0f} s)", flush=True)
        is_well &= not complaints
    return is_well
