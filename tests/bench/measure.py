"""A program's turns, measured from outside: time, processor time, instructions, and the most memory it had at once.

Memory is the program's own high-water mark (VmHWM in /proc/PID/status), looked at every 10 ms while it runs. What
wait4(2) calls ru_maxrss will not do: a child begins with its parent's, which is that of this interpreter.
"""
import os
import re
import select
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

# How often the memory of what runs is looked at, in milliseconds.
LOOK = 10


@dataclass
class Turn:
    """A program's turns: what it runs, on how many bytes, and what each turn took."""

    name: str
    command: list
    moved: int
    prepare: object = None
    wall: list = field(default_factory=list)
    cpu: list = field(default_factory=list)
    peak: int = 0

    def take(self):
        """One turn. A program that fails ends the whole run."""
        if self.prepare:
            self.prepare()
        with tempfile.TemporaryFile() as said:
            before = time.perf_counter()
            child = subprocess.Popen(self.command, stdout=said, stderr=said)
            self.peak = max(self.peak, most_memory(child.pid))
            _, status, used = os.wait4(child.pid, 0)
            self.wall.append(time.perf_counter() - before)
            child.returncode = os.waitstatus_to_exitcode(status)
            if child.returncode != 0:
                said.seek(0)
                sys.exit(f"{self.name}: exit status {child.returncode}: {said.read().decode(errors='replace')}")
        self.cpu.append(used.ru_utime + used.ru_stime)

    def instructions(self):
        """One turn under valgrind: how many instructions the program executes outside of the kernel. Hardly another
        number on a busy machine, or on the next run; processor time is another by a third then."""
        if self.prepare:
            self.prepare()
        counter = ["valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]
        ran = subprocess.run([*counter, *self.command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        counted = re.search(r"I +refs: +([0-9,]+)", ran.stderr)
        if ran.returncode != 0 or not counted:
            sys.exit(f"{self.name}: exit status {ran.returncode}: {ran.stderr}")
        return int(counted[1].replace(",", ""))

    @property
    def seconds(self):
        return statistics.median(self.wall)

    @property
    def processor(self):
        return statistics.median(self.cpu)


def most_memory(pid):
    """The most bytes that a process had in memory, known when it has ended and is not yet waited for."""
    most = 0
    process = os.pidfd_open(pid)
    ended = select.poll()
    ended.register(process, select.POLLIN)
    try:
        while not ended.poll(LOOK):
            most = max(most, high_water(pid))
    finally:
        os.close(process)
    return most


def high_water(pid):
    """VmHWM in bytes; 0 where there is none, since the process is ending, or is a copy of this interpreter yet."""
    try:
        with open(f"/proc/{pid}/status") as status:
            lines = dict(line.split(":", 1) for line in status)
        is_copy = Path(f"/proc/{pid}/cmdline").read_bytes() == Path("/proc/self/cmdline").read_bytes()
    except OSError:
        return 0
    return 0 if is_copy or "VmHWM" not in lines else int(lines["VmHWM"].split()[0]) * 1024


def take_all(turns, rounds):
    """Every program gets its turn in every round, so that what else the machine does meets all of them alike."""
    turns = list(turns)
    for _ in range(rounds):
        for turn in turns:
            turn.take()
    return turns


def fresh(original, copies, is_cold=False):
    """Gives each of `copies` the bytes of `original`, on the disk, with nothing else beside them."""

    def prepare():
        for directory in {copy.parent for copy in copies}:
            shutil.rmtree(directory, ignore_errors=True)
            directory.mkdir()
        for copy in copies:
            shutil.copyfile(original, copy)
            with open(copy, "rb") as file:
                os.fsync(file.fileno())
            if is_cold:
                drop(copy)

    return prepare


def drop(path):
    """Has the page cache let go of a file that is on the disk (posix_fadvise(2), POSIX_FADV_DONTNEED)."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def gone(path):
    """Removes what the turn before left."""
    return lambda: path.unlink(missing_ok=True)
