#!/usr/bin/env python3
"""The owner of a directory of captures, who attacks whatever works in it: `hostile_owner.py STRATEGY DIRECTORY HOME PLAN`.

Without any privilege, until SIGTERM: captures keep arriving in DIRECTORY, and everything that he can reach is swapped,
truncated, linked or renamed in a loop, by one strategy a process. HOME is his, on the same file system. PLAN is JSON:
which captures arrive, which contents may be found under a capture's name, and which files of others he would like to
have changed. What he finds to be wrong is kept in HOME/wrong. His last line is JSON: what he did and what he found.

The strategy `feed` attacks nothing: it is somebody whose captures arrive in a directory that others attack.
"""
import ctypes
import hashlib
import json
import os
import random
import signal
import stat
import struct
import sys
import time
from pathlib import Path

LIBC = ctypes.CDLL(None, use_errno=True)
EXCHANGE, HERE = 2, -100
MARKERS, PRIVATE = ".slim_markers", ".slim_markers/private"
# Never under a capture's name, unless somebody else puts it there.
EVIL = b"never a capture\n" * 40
# What he puts under a capture's name himself.
JUNK = b"put there by its owner\n" * 40
APPENDED = b"appended by its owner\n" * 8
TRUNCATED = (0, 20_000)
PENDING = 6
WRITTEN = 1_700_000_000
PATIENCE = 2  # seconds until a capture that is not slimmed makes room for another one
BURST = 0.03


def exchange(one, other):
    """Exchanges two names; whether it was done."""
    return LIBC.renameat2(HERE, os.fsencode(one), HERE, os.fsencode(other), EXCHANGE) == 0


def quietly(work, *arguments, **named):
    """Does what the other side may make impossible at any time."""
    try:
        return work(*arguments, **named)
    except OSError:
        return None


def until(seconds):
    """Goes on for so long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        yield


def discard(path):
    """Removes what can be removed; a directory that cannot be looked into may still be empty."""
    if os.path.islink(path) or not os.path.isdir(path):
        quietly(os.unlink, path)
        return
    for name in quietly(os.listdir, path) or ():
        discard(f"{path}/{name}")
    quietly(os.rmdir, path)


class Owner:
    """What all strategies share: captures that arrive, and what becomes of them."""

    # Whether nobody but the program may change, move or remove captures here.
    strict = True
    # Which contents a capture may have.
    vocabulary = "strict"
    pending = PENDING
    patience = PATIENCE

    def __init__(self, directory, home, plan):
        self.home, self.directory = home, directory
        self.originals = [Path(path).read_bytes() for path in plan["originals"]]
        self.slimmed, self.allowed = set(plan["slimmed"]), set(plan["allowed"][self.vocabulary])
        self.targets = plan["targets"]
        self.captures = {}  # name to when it arrived, where, and what must stay as it is
        self.done = {"arrived": 0, "slimmed": 0, "left": 0, "attacks": 0, "wrong": [], "slowest": 0.0}
        self.places = [os.open(directory, os.O_DIRECTORY)]
        os.chdir(directory)
        (home / "wrong").mkdir(exist_ok=True)
        self.begin()

    def begin(self):
        """What is done before the first attack."""

    def attack(self):
        """One burst."""

    def end(self):
        """Undoes what would keep the program from settling."""

    def supply(self):
        """Has captures arrive, under names that were never there, old enough to be due at once."""
        while len(self.captures) < self.pending:
            self.done["arrived"] += 1
            name, made = f"{self.home.name}-{self.done['arrived']}.pcap", self.home / "arriving"
            place = random.choice(self.places)
            made.write_bytes(random.choice(self.originals))
            os.chmod(made, random.choice((0o600, 0o640, 0o644)))
            os.utime(made, (WRITTEN, WRITTEN))
            kept = self.kept(os.stat(made))
            os.rename(made, name, dst_dir_fd=place)
            self.captures[name] = (time.monotonic(), place, kept)

    @staticmethod
    def kept(there):
        return there.st_uid, there.st_gid, there.st_mode, there.st_mtime_ns

    def retire(self, last=False):
        """Takes captures away that are slimmed, or have had their time; judges each."""
        for name, (arrived, place, kept) in list(self.captures.items()):
            content, changed = self.look(name, place, kept)
            age = time.monotonic() - arrived
            digest = content is not None and hashlib.sha256(content).hexdigest()
            if content is None and self.strict:
                self.found(name, "is gone, or no ordinary file")
            elif content is not None and digest not in self.allowed:
                self.found(name, f"has {len(content)} bytes, {content[:40]!r}", content)
            elif changed and self.strict:
                self.found(name, changed)
            elif digest in self.slimmed:
                self.done["slimmed"] += 1
                self.done["slowest"] = max(self.done["slowest"], round(age, 1))
            elif age < self.patience and not last:
                continue
            else:
                self.done["left"] += 1
            del self.captures[name]
            quietly(os.unlink, name, dir_fd=place)

    def look(self, name, place, kept):
        """The content of a capture, None where there is no ordinary file; and what is not as it was beside that."""
        opened = quietly(os.open, name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=place)
        if opened is None:
            return None, None
        there = os.fstat(opened)
        if not stat.S_ISREG(there.st_mode):
            os.close(opened)
            return None, None
        with open(opened, "rb") as file:
            changed = None
            if self.kept(there) != kept:
                changed = f"has owner, mode and time {self.kept(there)}, not {kept}"
            if "system.posix_acl_access" in os.listxattr(opened):
                changed = "has an access control list"
            return file.read(), changed

    def found(self, name, what, content=None):
        """Keeps what must not be there."""
        number = len(self.done["wrong"])
        self.done["wrong"].append(f"{name} {what}")
        if content is not None and number < 20:
            (self.home / "wrong" / f"{number}-{name}").write_bytes(content)

    @staticmethod
    def aside(path):
        """Renames what is there, in its directory: one of another's cannot be moved to a new parent."""
        directory, name = os.path.split(path)
        for other in quietly(os.listdir, directory or ".") or ():
            if other.startswith(f"{name}-old-"):
                discard(os.path.join(directory, other))
        return quietly(os.rename, path, f"{path}-old-{time.monotonic_ns()}")

    def target(self):
        return random.choice(self.targets)

    def put(self, path, content=EVIL):
        """A file of his, made beside and moved there at once."""
        made = self.home / "made"
        quietly(made.write_bytes, content)
        return quietly(os.rename, made, path)

    def link(self, path, target=None):
        """A symbolic link, in the place of whatever can be replaced."""
        made = self.home / "link"
        quietly(made.unlink)
        quietly(os.symlink, target or self.target(), made)
        return quietly(os.rename, made, path)


class Feed(Owner):
    """Attacks nothing, and waits for long."""

    patience = 30

    def attack(self):
        time.sleep(BURST)


class Swap(Owner):
    """Exchanges one directory for a link to something that is not his, the moment that it appears."""

    where = MARKERS

    def attack(self):
        bait = f"{self.where}-bait"
        for _ in until(BURST):
            quietly(os.symlink, self.target(), bait)
            for _ in range(2000):
                if exchange(self.where, bait):
                    self.done["attacks"] += 1
                    time.sleep(random.choice((0, 0.0002, 0.0015)))
                    # The link goes, and what was there too, so that it is made once more.
                    quietly(os.unlink, self.where)
                    self.aside(bait)
                    break
            quietly(os.unlink, bait)
        time.sleep(BURST * random.random())

    def end(self):
        if os.path.islink(self.where):
            quietly(os.unlink, self.where)


class SwapPrivate(Swap):
    """The same with the private directory; and he makes one himself, of every kind, before the program does."""

    where = PRIVATE

    def attack(self):
        if random.random() < 0.6:
            return super().attack()
        self.done["attacks"] += 1
        self.aside(PRIVATE)
        kind = random.randrange(5)
        if kind < 2:
            quietly(os.mkdir, PRIVATE, (0o700, 0o777)[kind])
        elif kind == 2:
            self.put(PRIVATE)
        elif kind == 3:
            quietly(os.mkfifo, PRIVATE)
        else:
            self.link(PRIVATE)
        time.sleep(BURST)
        self.aside(PRIVATE)
        return time.sleep(BURST)

    def end(self):
        super().end()
        if os.path.lexists(PRIVATE) and os.lstat(PRIVATE).st_uid == os.getuid():
            self.aside(PRIVATE)


class Plant(Owner):
    """Puts links, files, pipes and directories where the program may want to make files of its own."""

    def begin(self):
        self.planted = []

    def attack(self):
        for _ in until(BURST):
            for name in list(self.captures):
                suffix = random.choice(("", ".tmp", ".failed", ".slimtrace", ".slimtrace.tmp", ".conflict"))
                path = f"{MARKERS}/{name}{suffix}"
                if suffix in (".tmp", ".conflict") and random.random() < 0.5:
                    path = f"{name}{suffix}"
                self.plant(path, name)
        time.sleep(BURST * random.random())
        for path in self.planted:
            discard(path)
        self.planted = []

    def plant(self, path, name):
        self.done["attacks"] += 1
        self.planted.append(path)
        kind = random.randrange(7)
        if kind == 0:
            self.put(path)
        elif kind == 1:
            quietly(os.link, self.target(), path, follow_symlinks=False)
        elif kind == 2:
            quietly(os.mkfifo, path)
        elif kind == 3:
            quietly(os.mkdir, path)
        elif kind == 4:
            self.put(path, b"")
        else:
            self.link(path)

    def end(self):
        for path in self.planted:
            discard(path)


class Tamper(Owner):
    """Writes into, truncates, replaces and opens to everybody whatever lies in the marker directory."""

    def attack(self):
        self.hand_down()
        for _ in until(BURST):
            for path, name in self.below(MARKERS):
                self.tamper(path, name)
        time.sleep(BURST * random.random() / 4)

    def below(self, directory):
        for entry in quietly(os.listdir, directory) or ():
            path = f"{directory}/{entry}"
            if os.path.isdir(path) and not os.path.islink(path):
                yield from self.below(path)
            yield path, entry

    def tamper(self, path, name):
        kind = random.randrange(6)
        if kind == 0 and (".tmp" in name or "private" in path):
            done = self.put(path) is None
        elif kind == 1:
            done = quietly(os.chmod, path, 0o777, follow_symlinks=True) is None
        elif kind == 2:
            done = quietly(os.rename, path, self.home / "taken") is None
        else:
            done = self.write(path)
        self.done["attacks"] += bool(done)

    @staticmethod
    def write(path):
        opened = quietly(os.open, path, os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        if opened is None:
            return False
        quietly(os.ftruncate, opened, 0)
        quietly(os.write, opened, EVIL)
        os.close(opened)
        return True

    def hand_down(self):
        """Has what is made in his directories be open to him, as far as access control lists do that."""
        everything, me = 7, os.getuid()
        entries = [(1, 7, -1), (2, everything, me), (4, 7, -1), (16, 7, -1), (32, 7, -1)]
        value = struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *entry) for entry in entries)
        for path in (MARKERS, PRIVATE):
            quietly(os.setxattr, path, "system.posix_acl_default", value)
            quietly(os.setxattr, path, "system.posix_acl_access", value)


class Marked(Tamper):
    """Owns the marker directory alone; the captures beside it are another's."""

    pending = 0

    def begin(self):
        self.private = SwapPrivate.__new__(SwapPrivate)
        self.private.__dict__ = self.__dict__

    def attack(self):
        if random.random() < 0.5:
            return super().attack()
        SwapPrivate.attack(self.private)
        for _ in until(BURST):
            for name in quietly(os.listdir, ".") or ():
                if name.endswith(".pcap"):
                    self.put(f"{MARKERS}/{name}{random.choice(('', '.tmp', '.slimtrace', '.failed'))}")
        return None

    def end(self):
        SwapPrivate.end(self.private)


class Juggle(Owner):
    """Renames, exchanges, links and replaces the captures themselves, and changes their modes and times."""

    strict = False
    vocabulary = "juggle"

    def attack(self):
        names = list(self.captures)
        for _ in until(BURST):
            one, other = random.choice(names), random.choice(names)
            self.juggle(one, other)
            time.sleep(random.random() / 200)
        time.sleep(BURST * random.random())

    def juggle(self, one, other):
        self.done["attacks"] += 1
        kind, aside = random.randrange(12), f"aside-{one}"
        if kind < 3:
            exchange(one, other)
        elif kind == 3:
            self.link(one)
        elif kind == 4:
            quietly(os.link, self.target(), self.home / "hard", follow_symlinks=False)
            quietly(os.rename, self.home / "hard", one)
        elif kind == 5:
            self.put(one, JUNK)
        elif kind == 6:
            quietly(os.rename, one, aside)
            quietly(os.rename, aside, other)
        elif kind == 7:
            quietly(os.link, one, aside, follow_symlinks=False)
            quietly(os.unlink, aside)
        elif kind == 8:
            quietly(os.chmod, one, random.choice((0o600, 0o4755, 0o2755, 0o444, 0)), follow_symlinks=True)
        elif kind == 9:
            quietly(os.utime, one, (WRITTEN, random.choice((WRITTEN - 1, WRITTEN))))
        elif kind == 10:
            quietly(os.mkdir, aside)
            exchange(one, aside)
            discard(aside)
        else:
            quietly(os.rename, one, f"{MARKERS}/{one}{random.choice(('', '.tmp'))}")


class Write(Owner):
    """Truncates and appends to captures, twice each and at any moment of their first second, and holds them open."""

    strict = False
    vocabulary = "write"
    # Whoever writes makes the capture young again.
    patience = 6
    pending = 12

    def begin(self):
        self.moments, self.held = {}, []

    def attack(self):
        for name in self.captures:
            self.moments.setdefault(name, [time.monotonic() + random.random() for _ in range(2)])
        for _ in until(BURST):
            now = time.monotonic()
            for name in self.captures:
                for moment in [moment for moment in self.moments[name] if moment < now]:
                    self.moments[name].remove(moment)
                    self.write(name)
        time.sleep(BURST * random.random())
        for held in self.held:
            os.close(held)
        self.held = []

    def write(self, name):
        opened = quietly(os.open, name, os.O_RDWR | os.O_NOFOLLOW | random.choice((0, os.O_NONBLOCK)) | os.O_APPEND)
        if opened is None:
            return
        self.done["attacks"] += 1
        length = random.choice((*TRUNCATED, None))
        if length is None:
            os.write(opened, APPENDED)
        elif os.fstat(opened).st_size > length:
            os.ftruncate(opened, length)
        if random.random() < 0.5:
            self.held.append(opened)
        else:
            os.close(opened)


class Roots(Owner):
    """Exchanges the watched directory, the one above it and one below it for links into directories of others."""

    def begin(self):
        self.sub = self.directory / "below"
        self.sub.mkdir(exist_ok=True)
        self.places.append(os.open(self.sub, os.O_DIRECTORY))
        self.bait = str(self.home / "bait")

    def attack(self):
        above = self.directory.parent
        others = random.choice([target for target in self.targets if os.path.isdir(target)])
        # Below the other link lies another's directory of the same name.
        for place, target in ((self.directory, others), (self.sub, others), (above, str(Path(others).parent))):
            discard(self.bait)
            quietly(os.symlink, target, self.bait)
            if exchange(place, self.bait):
                self.done["attacks"] += 1
                time.sleep(BURST * 4 * random.random())
                exchange(place, self.bait)
            time.sleep(BURST * random.random())


STRATEGIES = {
    "feed": Feed, "swap-markers": Swap, "swap-private": SwapPrivate, "plant": Plant, "plant-beside": Plant,
    "tamper": Tamper, "marked": Marked, "juggle": Juggle, "write": Write, "roots": Roots,
}


def main():
    strategy, directory, home, plan = sys.argv[1], *map(Path, sys.argv[2:])
    stop = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(True))
    owner = STRATEGIES[strategy](directory, home, json.loads(plan.read_text()))
    while not stop:
        owner.supply()
        owner.attack()
        owner.retire()
    owner.end()
    # What is in work is finished meanwhile.
    end = time.monotonic() + owner.patience
    while owner.captures and time.monotonic() < end:
        time.sleep(0.1)
        owner.retire()
    owner.retire(last=True)
    print(json.dumps(owner.done))


if __name__ == "__main__":
    main()
