#!/usr/bin/env python3
"""What can still be read in captures after slimming, with tshark as the judge.

    judge.py [--folders] [--at-most FOLDER=PERCENT]... [--show N] [--json FILE] BEFORE AFTER

BEFORE and AFTER are two captures, or two directories with the same file names below them. Evidence is every value of
the fields in fields.py, tied to its conversation and counted. Prints how much of BEFORE's evidence is in AFTER, what
AFTER shows that BEFORE never had (invented), the bytes left, and each lost item with capture, frame and field. The exit
status is 1 when anything is lost or invented, when a capture has another number of packets or cannot be read any more,
or when more bytes are left of a folder's Ethernet captures than --at-most allows. Captures that tshark cannot read
before either are counted and named. Needs tshark.
"""
import argparse
import collections
import concurrent.futures
import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from fields import FIELDS, FLOW

VALUE, COLUMN = "\x02", "\x01"
LONGEST = 300  # seconds for one capture
ETHERNET = 1


class Unreadable(Exception):
    """tshark cannot read the capture."""


@dataclass
class Evidence:
    """What tshark reads of a capture: the frames of each (field, conversation, value)."""

    packets: int = 0
    frames: dict = field(default_factory=lambda: collections.defaultdict(list))


@dataclass
class Verdict:
    """A capture before and after. Lost and invented are (frame, field, conversation, value)."""

    name: str
    sizes: tuple = (0, 0)
    link: int = 0
    packets: tuple = (0, 0)
    counts: collections.Counter = field(default_factory=collections.Counter)
    lost: list = field(default_factory=list)
    invented: list = field(default_factory=list)
    failure: str = ""
    unreadable: str = ""

    @property
    def total(self):
        return sum(self.counts.values())

    def is_good(self):
        return not (self.lost or self.invented or self.failure)


def known_fields():
    """-> (fields that this tshark knows, those that it does not know)"""
    told = subprocess.run(["tshark", "-G", "fields"], capture_output=True, text=True, check=True).stdout
    names = {line.split("\t")[2] for line in told.splitlines() if line.startswith("F\t")}
    return [name for name in FIELDS if name in names], [name for name in FIELDS if name not in names]


def evidence(capture, fields, decode=()):
    """Reads a capture; `decode` are tshark's -d arguments, for conversations on ports that it would not guess."""
    command = ["tshark", "-n", "-r", str(capture), "-T", "fields", "-E", f"separator={COLUMN}",
               "-E", f"aggregator={VALUE}", "-E", "occurrence=a"]
    for setting in ("tcp.desegment_tcp_streams:TRUE", "tcp.reassemble_out_of_order:TRUE", "tcp.check_checksum:FALSE",
                    "udp.check_checksum:FALSE", "ip.check_checksum:FALSE"):
        command += ["-o", setting]
    for rule in decode:
        command += ["-d", rule]
    for name in ["frame.number", *FLOW, *fields]:
        command += ["-e", name]
    try:
        done = subprocess.run(command, capture_output=True, timeout=LONGEST)
    except subprocess.TimeoutExpired as error:
        raise Unreadable(f"tshark was not done after {LONGEST} s") from error
    read = Evidence()
    for line in done.stdout.decode("latin-1").split("\n"):
        if line:
            read.packets += 1
            number, *columns = line.split(COLUMN)
            flow = tuple(columns[:len(FLOW)])
            for name, values in zip(fields, columns[len(FLOW):]):
                for value in values.split(VALUE) if values else ():
                    read.frames[name, flow, value].append(int(number))
    # Of a capture that ends within a record, tshark reads the rest.
    if done.returncode and not read.packets:
        raise Unreadable(done.stderr.decode(errors="replace").strip().rpartition("\n")[2] or f"exit {done.returncode}")
    return read


def surplus(mine, others):
    """What `mine` has more of than `others`: (frame, field, conversation, value) each, frames that differ first."""
    more = []
    for key, frames in mine.frames.items():
        there = others.frames.get(key, ())
        missing = len(frames) - len(there)
        if missing > 0:
            frames = sorted(frames, key=lambda frame: (frame in there, frame))
            more += [(frame, *key) for frame in frames[:missing]]
    return sorted(more)


def link_type(capture):
    """The link type of a classic capture, of either byte order; 0 for anything else."""
    with open(capture, "rb") as file:
        head = file.read(24)
    if len(head) < 24 or head[:4] not in (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1", b"\xa1\xb2\xc3\xd4", b"\xa1\xb2\x3c\x4d"):
        return 0
    return int.from_bytes(head[20:24], "big" if head[0] == 0xA1 else "little") & 0xFFFF


def judge(name, before, after, fields, decode=()):
    """-> Verdict of one capture."""
    verdict = Verdict(name, (before.stat().st_size, after.stat().st_size), link_type(before))
    try:
        original = evidence(before, fields, decode)
    except Unreadable as error:
        verdict.unreadable = str(error)
        return verdict
    try:
        slimmed = evidence(after, fields, decode)
    except Unreadable as error:
        verdict.failure = f"cannot be read any more: {error}"
        return verdict
    verdict.packets = original.packets, slimmed.packets
    if original.packets != slimmed.packets:
        verdict.failure = f"had {original.packets} packets and has {slimmed.packets}"
    for (name_of, _, _), frames in original.frames.items():
        verdict.counts[name_of] += len(frames)
    verdict.lost = surplus(original, slimmed)
    verdict.invented = surplus(slimmed, original)
    return verdict


def judge_all(captures, workers=2):
    """Verdicts of (name, before, after, fields, decode), in that order, so many at a time."""
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        return list(pool.map(lambda capture: judge(*capture), captures))


def percent(part, whole):
    return 100 * part / whole if whole else 100.0


@dataclass
class Sum:
    """The figures of several verdicts."""

    captures: int = 0
    unreadable: int = 0
    before: int = 0
    lost: int = 0
    invented: int = 0
    bytes_before: int = 0
    bytes_after: int = 0

    @staticmethod
    def of(verdicts):
        figures = Sum()
        for verdict in verdicts:
            figures.captures += 1
            figures.unreadable += bool(verdict.unreadable)
            figures.before += verdict.total
            figures.lost += len(verdict.lost)
            figures.invented += len(verdict.invented)
            figures.bytes_before += verdict.sizes[0]
            figures.bytes_after += verdict.sizes[1]
        return figures

    @property
    def left(self):
        return percent(self.bytes_after, self.bytes_before)

    def __str__(self):
        kept = self.before - self.lost
        told = (f"{self.captures} captures, evidence {kept} of {self.before} = {percent(kept, self.before):.3f} %, "
                f"invented {self.invented}, bytes left {self.bytes_after} of {self.bytes_before} = {self.left:.2f} %")
        return told + (f", {self.unreadable} not readable by tshark" if self.unreadable else "")


def tell(verdict, show):
    """Each item that a capture lost or shows anew, up to so many."""
    if verdict.unreadable:
        print(f"{verdict.name}: not judged, {verdict.unreadable}")
    if verdict.failure:
        print(f"{verdict.name}: {verdict.failure}")
    for word, items in (("lost", verdict.lost), ("invented", verdict.invented)):
        for frame, name, flow, value in items[:show]:
            ends = " ".join(part for part in flow if part).replace(VALUE, ",")
            print(f"{verdict.name}: {word} in frame {frame}: {name} = {value[:80]!r} ({ends})")
        if len(items) > show:
            print(f"{verdict.name}: {word}: {len(items) - show} more")


def pairs(before, after):
    """(name, before, after) of two captures, or of what two directories both hold."""
    if before.is_file():
        return [(before.name, before, after)]
    names = sorted(path.relative_to(before) for path in before.rglob("*") if path.is_file())
    return [(str(name), before / name, after / name) for name in names if (after / name).is_file()]


def limit(text):
    folder, _, most = text.partition("=")
    return folder, float(most)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--folders", action="store_true", help="the figures of each folder, too")
    parser.add_argument("--at-most", type=limit, action="append", default=[], metavar="FOLDER=PERCENT")
    parser.add_argument("--show", type=int, default=20, metavar="N", help="items to show of each capture")
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()

    fields, unknown = known_fields()
    if unknown:
        print("this tshark does not know:", *unknown)
    verdicts = judge_all((*pair, fields) for pair in pairs(arguments.before, arguments.after))
    return conclude(verdicts, arguments)


def conclude(verdicts, arguments):
    """Prints everything; -> exit status."""
    is_good = bool(verdicts) and all(verdict.is_good() for verdict in verdicts)
    for verdict in verdicts:
        tell(verdict, arguments.show)
    folders = collections.defaultdict(list)
    for verdict in verdicts:
        folders[verdict.name.partition("/")[0] if "/" in verdict.name else "."].append(verdict)
    if arguments.folders:
        for folder, members in sorted(folders.items()):
            print(f"{folder}: {Sum.of(members)}")
    for folder, most in arguments.at_most:
        ethernet = Sum.of(verdict for verdict in folders[folder] if verdict.link == ETHERNET)
        print(f"{folder}, of Ethernet: {ethernet}; at most {most} % may be left")
        is_good &= ethernet.captures > 0 and ethernet.left <= most
    print(f"all: {Sum.of(verdicts)}")
    if arguments.json:
        told = {verdict.name: {"bytes": verdict.sizes, "evidence": verdict.counts, "lost": verdict.lost,
                               "invented": verdict.invented, "unreadable": verdict.unreadable,
                               "failure": verdict.failure} for verdict in verdicts}
        arguments.json.write_text(json.dumps(told, indent=1))
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
