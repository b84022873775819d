"""Whole programs on one capture that is in the page cache: slimming beside what a user would take instead.

Slimming includes verification and sync, which none of the others do. tcpdump does not cut what it reads from a file: it
takes every packet from one file to another, and is there for what that costs alone.
"""
import shutil

from measure import Turn, fresh, gone
from record import markdown

# What the ratios are to.
RIVAL = "editcap -F pcap -s 78"


class Bench:
    """A directory, a capture in it, and the program that is measured."""

    def __init__(self, program, directory, capture):
        self.program, self.directory, self.capture = program, directory, capture
        self.size = capture.stat().st_size
        self.out = directory / "out.pcap"
        self.ours = directory / "ours" / "capture.pcap"

    def other(self, name, *command):
        """The turn of a program that reads the capture and may write `out`."""
        return Turn(name, list(command), self.size, gone(self.out))

    def slim(self, *options, is_cold=False):
        """A turn of ours, on a copy that is made anew."""
        command = [self.program, "--progress", "never", "--single", self.ours, *options]
        return Turn(f"pcap-slim {' '.join(options)}", command, self.size, fresh(self.capture, [self.ours], is_cold))

    def pair(self, workers):
        """Two captures, by so many workers."""
        command = [self.program, "--progress", "never", "--policy", "reference", "--workers", str(workers), "--dir"]
        return self.on_two(f"pcap-slim --policy reference, two captures, {workers} worker{'s'[: workers - 1]}", command)

    def rivals(self, at_once):
        """Two of the rival, on a capture each: what a second processor of this machine is worth to it."""
        each = [f'{RIVAL} "$0/{name}.pcap" "$0/{name}.out"' for name in "ab"]
        script = f"{each[0]} & {each[1]} && wait $!" if at_once else " && ".join(each)
        how = "both at once" if at_once else "one after the other"
        return self.on_two(f"{RIVAL}, two captures, {how}", ["sh", "-c", script])

    def on_two(self, name, command):
        """A turn on a directory with two captures, which are made anew."""
        pair = self.directory / "pair"
        anew = fresh(self.capture, [pair / "a.pcap", pair / "b.pcap"])
        return Turn(name, [*command, pair], 2 * self.size, anew)


def rival(bench):
    """What most people would cut with."""
    return bench.other(RIVAL, *RIVAL.split(), bench.capture, bench.out)


def replaced(bench):
    """The rival, with its result in the capture's place, as ours is: the blocks of the capture are to be freed then."""
    command = ["sh", "-c", f'{RIVAL} "$0" "$1" && mv "$1" "$0"', bench.ours, bench.out]
    return Turn(f"{RIVAL}, then mv over the capture", command, bench.size, fresh(bench.capture, [bench.ours]))


def small(bench):
    """Who runs in CI."""
    yield rival(bench)
    for policy in ("reference", "evidence"):
        for lengths in ("rewrite", "preserve"):
            yield bench.slim("--policy", policy, "--lengths", lengths)
    yield bench.slim("--policy", "reference", "--check-only")


def everybody(bench):
    """Who runs for packaging/BENCHMARKS.md."""
    yield bench.other("cat > /dev/null", "sh", "-c", 'cat "$0" >/dev/null', bench.capture)
    yield bench.other("cp", "cp", bench.capture, bench.out)
    yield replaced(bench)
    yield from small(bench)
    yield bench.slim("--policy", "reference", "--mmap")
    if shutil.which("tcprewrite"):
        command = ["tcprewrite", "--mtu=92", "--mtu-trunc", "--fixcsum", "-i", bench.capture, "-o", bench.out]
        yield bench.other("tcprewrite --mtu-trunc --fixcsum", *command)
    if shutil.which("tcpdump"):
        yield bench.other("tcpdump -r -w", "tcpdump", "-Z", "root", "-r", bench.capture, "-w", bench.out)
    yield from (bench.pair(workers) for workers in (1, 2))
    yield from (bench.rivals(at_once) for at_once in (False, True))


def table(taken):
    """The figures, as Markdown."""
    beside = next(turn for turn in taken if turn.name == RIVAL)
    head = ["command", "time", "GB/s", "time beside editcap", "CPU time", "CPU beside editcap", "memory"]
    rows = [
        [
            turn.name,
            f"{turn.seconds:.2f} s",
            f"{turn.moved / turn.seconds / 1e9:.2f}",
            f"{turn.seconds / beside.seconds:.2f}",
            f"{turn.processor:.2f} s",
            f"{turn.processor / beside.processor:.2f}",
            f"{turn.peak / 1e6:.0f} MB",
        ]
        for turn in taken
    ]
    return markdown(head, rows)


def ratios(turns):
    """Instructions beside the rival's, for each of ours."""
    counted = {turn.name: turn.instructions() for turn in turns}
    return {name: round(count / counted[RIVAL], 3) for name, count in counted.items() if name != RIVAL}
