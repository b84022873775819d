#!/usr/bin/env python3
"""Somebody who owns a directory of captures, and tries to make a program with more rights than his own change what is not
his: hostile.py DIRECTORY OUTSIDE SECONDS SEED OWNS HOW

OWNS says what is his: `directory` (the captures and all that is beside them), `markers` (only `.slim_markers`, in a
directory of root's), `parent` (the directory above, too, so that he exchanges the watched one). With `chase`
for HOW he exchanges names for links to OUTSIDE in a tight loop, the moment they appear; with `anything` he also links,
truncates, removes and makes anew whatever he reaches, and holds leases and locks on it. All that he writes is one of
the contents that owner.py knows.
"""
import contextlib
import ctypes
import fcntl
import os
import random
import sys
import time

import captures

EVIL = b"evil\n"
LENGTHS = (0, 24)  # to which he truncates
EXCHANGE = 2
HERE = -100  # AT_FDCWD
CAPTURES = ("c0.pcap", "c1.pcap", "c2.pcap", "sub/c3.pcap")

libc = ctypes.CDLL(None, use_errno=True)


def exchange(one, other):
    """Whether both names were there and changed places."""
    return libc.renameat2(HERE, one.encode(), HERE, other.encode(), EXCHANGE) == 0


def write(path, content):
    """A new file, by a rename over what is there."""
    own = os.path.join(os.path.dirname(path), f"his.{os.getpid()}")
    with open(own, "wb") as file:
        file.write(content)
    os.chmod(own, random.choice((0o600, 0o640, 0o644)))
    os.rename(own, path)


def remove(path):
    """Whatever it is, if it is not in use."""
    try:
        os.unlink(path)
    except IsADirectoryError:
        os.rmdir(path)


class Hostile:
    """What he does, one tactic after the other."""

    def __init__(self, outside, owns, seed):
        self.random = random.Random(seed)
        self.outside, self.original = outside, captures.original()
        self.owns = owns
        self.reaches = [".slim_markers/private", ".slim_markers/c0.pcap", ".slim_markers/c0.pcap.tmp",
                        ".slim_markers/c1.pcap.slimtrace", ".slim_markers/c1.pcap.failed"]
        if owns != "markers":
            self.reaches += [*CAPTURES, ".slim_markers", "sub", "sub/.slim_markers", "sub/.slim_markers/private",
                             "c0.pcap.tmp", "c1.pcap.conflict", "c2.pcap.tmp"]
        self.root = os.getcwd()
        if owns == "parent":
            self.reaches += [self.root] * 8
        self.swaps = 0

    def run(self, seconds, how):
        tactics = [self.chase] if how == "chase" else [self.exchange_for_links, self.anything, self.hold]
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.owns != "markers":
                self.renew()
            tactic = self.random.choice(tactics)
            with contextlib.suppress(OSError):
                tactic()
        return self.swaps

    def renew(self):
        """Captures that there is something to slim in."""
        for name in CAPTURES:
            with contextlib.suppress(OSError):
                os.makedirs(os.path.dirname(name) or ".", exist_ok=True)
                write(name, self.original)

    def target(self):
        """What a link leads to."""
        inside = ("secret", "readable", "capture.pcap", "closed", "", "markers", "bob", "bob/capture.pcap", "missing")
        return os.path.join(self.outside, self.random.choice(inside))

    def lure(self, beside):
        """Something to be put in the place of a name, in the same directory."""
        path = os.path.join(os.path.dirname(beside) or ".", "lure")
        with contextlib.suppress(OSError):
            remove(path)
        kind = self.random.randrange(8)
        if kind < 5:
            os.symlink(self.target(), path)
        elif kind == 5:
            os.mkdir(path, self.random.choice((0o700, 0o777)))
        elif kind == 6:
            os.mkfifo(path)
        else:
            write(path, EVIL)
        return path

    def chase(self):
        """Takes something of the slimmer's away, so that it is made anew, and exchanges it the moment it is there."""
        name = self.random.choice([name for name in self.reaches if not name.endswith((".pcap", "sub"))])
        lure = os.path.join(os.path.dirname(name) or ".", "chaser")
        for _ in range(10):
            if self.owns != "markers":
                self.renew()
            with contextlib.suppress(OSError):
                remove(lure)
            with contextlib.suppress(OSError):
                if self.random.random() < 0.3 and "/" in name:
                    write(lure, EVIL)
                else:
                    os.symlink(self.target(), lure)
            if name != self.root:
                with contextlib.suppress(OSError):
                    os.rename(name, f"{lure}-{self.swaps}")
            end = time.monotonic() + 0.1
            while time.monotonic() < end:
                if exchange(name, lure):
                    self.swaps += 1
                    time.sleep(self.random.choice((0, 0.0005, 0.0015, 0.003, 0.02)))
                    exchange(name, lure)
                    break

    def exchange_for_links(self):
        """In a tight loop, as soon as the name is there; then back, after a moment or none."""
        name = self.random.choice(self.reaches)
        lure = self.lure(name)
        end = time.monotonic() + self.random.choice((0.005, 0.03, 0.1))
        while time.monotonic() < end:
            if exchange(name, lure):
                self.swaps += 1
                if self.random.random() < 0.5:
                    time.sleep(self.random.random() * 0.002)
                exchange(name, lure)
        if self.random.random() < 0.5 and exchange(name, lure):
            time.sleep(0.02)
            exchange(name, lure)

    def anything(self):
        """Some hundred single steps."""
        for _ in range(300):
            with contextlib.suppress(OSError):
                self.step(self.random.choice(self.reaches), self.random.choice(self.reaches))

    def step(self, name, other):
        kind = self.random.randrange(12)
        if kind == 0:
            remove(name)
        elif kind == 1 and name.endswith(".pcap"):
            os.truncate(name, self.random.choice(LENGTHS))
        elif kind == 2:
            os.link(name, other, follow_symlinks=False)
        elif kind == 3:
            os.symlink(self.target(), name)
        elif kind == 4:
            os.rename(name, other)
        elif kind == 5:
            exchange(name, other)
        elif kind == 6:
            os.mkdir(name, 0o777)
        elif kind == 7:
            write(name, EVIL)
        elif kind == 8:
            os.chmod(name, self.random.choice((0o600, 0o644, 0o777, 0o4755, 0o2755, 0)))
        elif kind == 9:
            os.link(self.target(), name)
        elif kind == 10:
            os.mkfifo(name)
        else:
            write(name, self.original)

    def hold(self):
        """Keeps leases and locks on whatever he can open."""
        held = []
        for name in self.reaches:
            with contextlib.suppress(OSError):
                descriptor = os.open(name, os.O_RDONLY | os.O_NONBLOCK)
                held.append(descriptor)
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        time.sleep(0.05)
        for descriptor in held:
            os.close(descriptor)


if __name__ == "__main__":
    import signal
    signal.signal(signal.SIGIO, signal.SIG_IGN)
    os.umask(0)
    os.chdir(sys.argv[1])
    print("swaps", Hostile(sys.argv[2], sys.argv[5], sys.argv[4]).run(float(sys.argv[3]), sys.argv[6]))
