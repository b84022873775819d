"""What a disk may hold after a power cut, from a log of its writes and flushes.

A log is divided into spans by its flushes. A power cut leaves all spans up to some flush, and of the writes in the next
span any subset, for a disk writes them in any order. Some subsets of each span are tried: none, the first ones, random
ones, only one, all but one, and random blocks of 4096 bytes (no finer: ext4's own superblock does not survive that).
Everything here is a function of the log and the seed.
"""
import os
import random
import shutil
import struct
from dataclasses import dataclass

from logdisk import MAGIC, SECTOR

BLOCK = 4096
IS_FLUSH = 1 | 2  # a flush, or a write that is durable when it is answered
IS_DISCARD = 4
PARTS = (0.2, 0.5, 0.8)  # of a span's writes


@dataclass(frozen=True)
class Cut:
    """One power cut. `writes` are those after the last whole span: (place, data)."""

    number: int
    span: int
    name: str
    writes: list
    is_after_end: bool  # the program had ended, and the disk was flushed since

    def __str__(self):
        return f"cut {self.number}, span {self.span}, {self.name}"


def entries(log):
    """Of each entry: its end in the log, the place on the disk, the data, the flags."""
    data, at = memoryview(log), SECTOR
    magic, _, _, sector = struct.unpack_from("<QQQI", data)
    assert (magic, sector) == (MAGIC, SECTOR)
    while at < len(data):
        place, sectors, flags = struct.unpack_from("<QQQ", data, at)
        length = 0 if flags & IS_DISCARD else sectors * SECTOR  # qemu does not fill in the data's length of a discard
        at += SECTOR + length
        yield at, place * SECTOR, data[at - length:at], flags


def spans(log, end):
    """The writes between flushes, and the first span that begins after all that was logged before `end`."""
    found, first_after_end = [[]], 0
    for at, place, data, flags in entries(log):
        if len(data):
            found[-1].append((place, data))
        if flags & IS_FLUSH:
            if found[-1]:
                found.append([])
            if at <= end:
                first_after_end = len(found) - 1
    return found, first_after_end


def subsets(writes, dice):
    """Names and subsets of a span's writes, as numbers of blocks (see `blocks`); a subset may come twice."""
    numbers, last = [], 0
    for _, data in writes:
        numbers.append(range(last, last + -(-len(data) // BLOCK)))
        last = numbers[-1].stop
    every = range(len(writes))
    tries = [("none", [])]
    tries += [("first", every[:dice.randint(1, len(writes))]) for _ in every[:3]]
    tries += [("some", [at for at in every if dice.random() < part]) for part in PARTS * 2]
    tries += [("only", [dice.choice(every)]) for _ in every[:2]]
    tries += [("all but", [at for at in every if at != without]) for without in dice.sample(every, min(2, len(writes)))]
    for name, chosen in tries:
        yield f"{name} {list(chosen)} of {len(writes)} writes", tuple(block for at in chosen for block in numbers[at])
    for part in PARTS:
        yield f"some blocks of {len(writes)} writes", tuple(block for block in range(last) if dice.random() < part)


def blocks(writes):
    return [(place + at, data[at:at + BLOCK]) for place, data in writes for at in range(0, len(data), BLOCK)]


def cuts(log, end, images, seed):
    """At most `images` power cuts, in the order of the log; and how many there are to choose from."""
    dice = random.Random(seed)
    found, first_after_end = spans(log, end)
    possible = []
    for span, writes in enumerate(found):
        parts = blocks(writes)
        # All writes of a span are the same as none of the next one.
        known = {tuple(range(len(parts)))} if span < len(found) - 1 else set()
        for name, chosen in subsets(writes, dice):
            if chosen not in known:
                known.add(chosen)
                applied = [parts[number] for number in chosen]
                possible.append(Cut(len(possible), span, name, applied, span >= first_after_end))
    picked = possible if len(possible) <= images else random.Random(seed).sample(possible, images)
    return sorted(picked, key=lambda cut: cut.number), len(possible)


def images(base, log, chosen, directory):
    """Makes the image of each cut: yields it and a file, which is the same for all."""
    found, _ = spans(log, 0)
    durable, image = directory / "durable", directory / "image"
    copy(base, durable)
    applied = 0
    with open(durable, "r+b", buffering=0) as disk:
        for cut in chosen:
            for writes in found[applied:cut.span]:
                write(disk, writes)
            applied = max(applied, cut.span)
            copy(durable, image)
            with open(image, "r+b", buffering=0) as crashed:
                write(crashed, cut.writes)
            yield cut, image


def write(disk, writes):
    for place, data in writes:
        os.pwrite(disk.fileno(), data, place)


def copy(source, target):
    """Copies a file with its holes."""
    with open(source, "rb") as old, open(target, "wb") as new:
        end = os.fstat(old.fileno()).st_size
        new.truncate(end)
        at = 0
        while at < end:
            try:
                at = os.lseek(old.fileno(), at, os.SEEK_DATA)
            except OSError:  # nothing but a hole up to the end
                break
            hole = os.lseek(old.fileno(), at, os.SEEK_HOLE)
            os.lseek(old.fileno(), at, os.SEEK_SET)
            os.lseek(new.fileno(), at, os.SEEK_SET)
            while at < hole:
                at += os.sendfile(new.fileno(), old.fileno(), None, hole - at)
    shutil.copymode(source, target)
