"""Where the disk counts: a capture that is not in the page cache, one of 20 GB, and 100,000 small ones.

The page cache is emptied of the one file (posix_fadvise(2)), not of everything, so that programs and directories stay
warm. A virtual machine's host may still hold it: ratios within one run are what counts.
"""
import os
import shutil
from pathlib import Path

from measure import Turn, fresh
from record import markdown

LARGE = 20_000_000_000
SMALL = 10_000
REPLACE_EACH = Path(__file__).resolve().parent / "replace_each.py"


def cold(bench):
    """Turns on a capture that is not in the page cache, and what writing the results costs: by policy, the turn that
    slims, and the one that writes as much."""
    # On a copy that is as new as ours, for it may matter to the device how long ago it was written.
    anew = fresh(bench.capture, [bench.ours], is_cold=True)
    yield Turn("cat > /dev/null", ["sh", "-c", 'cat "$0" >/dev/null', bench.ours], bench.size, anew), None
    yield bench.slim("--policy", "reference", "--check-only", is_cold=True), None
    for policy in ("reference", "evidence"):
        slim = bench.slim("--policy", policy, is_cold=True)
        yield slim, written(bench, policy)


def written(bench, policy):
    """A turn that writes what slimming by `policy` makes, and syncs it."""
    result = bench.directory / f"{policy}.pcap"
    copy = bench.slim("--policy", policy)
    copy.take()
    shutil.move(bench.ours, result)
    command = ["dd", f"if={result}", f"of={bench.out}", "bs=1M", "conv=fsync", "status=none"]
    return Turn(f"writing and syncing the result of {policy}", command, result.stat().st_size)


def cold_table(pairs):
    """Throughput beside that of cat, less what writing the result costs."""
    cat = pairs[0][0]
    rows = []
    for turn, write in pairs:
        writing = write.seconds if write else 0
        rows.append(
            [
                turn.name,
                f"{turn.seconds:.2f} s",
                f"{turn.moved / turn.seconds / 1e9:.2f}",
                f"{writing:.2f} s",
                f"{100 * cat.seconds / (turn.seconds - writing):.0f} %",
            ]
        )
    head = ["command", "time", "GB/s", "writing and syncing as much", "of cat's throughput, less writing"]
    return markdown(head, rows)


def repeated(capture, size, out):
    """Makes a capture of about `size` bytes: the file header of `capture`, and its records again and again."""
    header = 24
    with open(out, "wb") as file, open(capture, "rb") as source:
        os.sendfile(file.fileno(), source.fileno(), 0, header)
        while file.seek(0, os.SEEK_END) < size:
            offset = header
            while moved := os.sendfile(file.fileno(), source.fileno(), offset, 1 << 30):
                offset += moved
        os.fsync(file.fileno())


def large(bench, policy, size=LARGE):
    """One turn on a capture of `size` bytes, and one on the capture that it repeats; the large one is removed."""
    before = bench.slim("--policy", policy)
    before.take()
    turn = bench.slim("--policy", policy)
    turn.prepare = lambda: repeated(bench.capture, size, bench.ours)
    shutil.rmtree(bench.ours.parent)
    bench.ours.parent.mkdir()
    turn.take()
    turn.moved = size
    shutil.rmtree(bench.ours.parent)
    return before, turn


def large_table(pairs):
    """Memory is to be the same for both of a pair."""
    rows = [
        [
            turn.name,
            f"{turn.moved / 1e9:.0f} GB",
            f"{turn.seconds:.1f} s",
            f"{turn.moved / turn.seconds / 1e9:.2f}",
            f"{turn.peak / 1e6:.0f} MB",
        ]
        for pair in pairs
        for turn in pair
    ]
    return markdown(["command", "capture", "time", "GB/s", "memory"], rows)


def small_captures(capture, directory, count):
    """Cuts `capture` into `count` captures of whole records, of 10 KB and a packet at most; begins anew at its end."""
    directory.mkdir()
    content = capture.read_bytes()[:100_000_000]
    header, begin, end, made = content[:24], 24, 24, 0
    while made < count:
        length = 16 + int.from_bytes(content[end + 8 : end + 12], "little")
        if end + length > len(content):
            begin = end = 24
            continue
        end += length
        if end - begin >= SMALL - len(header):
            (directory / f"capture-{made:06}.pcap").write_bytes(header + content[begin:end])
            begin, made = end, made + 1


def many(bench, count):
    """Turns on `count` small captures in one directory."""
    captures, copy, work = (bench.directory / name for name in ("captures", "copy", "work"))
    small_captures(bench.capture, captures, count)

    def anew():
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(captures, work)
        os.sync()

    yield Turn("cp -r", ["cp", "-r", captures, copy], count, lambda: shutil.rmtree(copy, ignore_errors=True))
    yield Turn("tests/bench/replace_each.py", [REPLACE_EACH, work], count, anew)
    slim = [bench.program, "--progress", "never", "--policy", "reference", "--dir", work]
    yield Turn("pcap-slim --policy reference --check-only", [*slim, "--check-only"], count, anew)
    for workers in ("1", "2"):
        yield Turn(f"pcap-slim --policy reference --workers {workers}", [*slim, "--workers", workers], count, anew)
    yield Turn("the same again, all of them marked", slim, count)


def many_table(taken):
    """What one capture costs."""
    rows = [
        [
            turn.name,
            f"{turn.seconds:.1f} s",
            f"{turn.seconds / turn.moved * 1e6:.0f} µs",
            f"{turn.processor / turn.moved * 1e6:.0f} µs",
            f"{turn.peak / 1e6:.0f} MB",
        ]
        for turn in taken
    ]
    return markdown(["command", "time", "a capture", "CPU a capture", "memory"], rows)
