"""The captures that are slimmed while the power is cut, and what versions 0.x may have left around them.

Small ones are the inputs of fixtures, larger ones come from tests/bench/traffic.py; some are compressed, one has long
runs of zeros. Each gets an owner, a mode, times and an extended attribute that no other has, so that losing those is
seen. Every byte is the same in every run.
"""
import functools
import gzip
import json
import lzma
import os
import shutil
import struct
import subprocess
import sys
import zlib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MARKERS = ".slim_markers"
SMALL = {
    "slim": (
        "big-endian-nanosecond", "frame-above-libpcap-s-maximum-is-cut", "frame-of-64-kib-is-cut", "header-only",
        "ipv6-chains-snapped-anywhere-are-kept", "little-endian-microseconds", "one-byte-changed-in-ipv4-tcp",
        "other-tags-are-kept", "snaplen-64", "tls-application-data-on-every-tls-port-is-cut",
        "tls-handshake-on-443-is-kept", "torn-tail-that-hides-whole-records", "udp-53-is-kept",
    ),
    "containers": (
        "modified-pcap", "pcapng-enhanced", "pcapng-options-big-endian", "pcapng-secrets", "pcapng-sections",
    ),
}
MEGABYTES = (1, 2, 3, 5)
OLD = 600  # seconds: a staging file in a place that other tools use too counts as a leftover after five minutes
UNREADABLE = "unreadable.pcap"
GZIP, XZ, ZSTD = b"\x1f\x8b", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd"


def make(directory, is_compressed=True):
    """Writes the captures to a new directory."""
    directory.mkdir()
    for folder, names in SMALL.items():
        for name in names:
            source, = (ROOT / "fixtures" / folder / name).glob("in.*")
            shutil.copyfile(source, directory / f"{name}{source.suffix}")
    for megabytes in MEGABYTES:
        arguments = ["--mb", str(megabytes), "--seed", str(megabytes), "--flows", str(megabytes * 10)]
        command = [sys.executable, ROOT / "tests" / "bench" / "traffic.py", _traffic(directory, megabytes), *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    (directory / "zeros.pcap").write_bytes(zeros())
    if is_compressed:
        for name, kind, compress in (
            ("traffic-1", "gzip", _gzip),
            ("traffic-2", "zstd", _zstd),
            ("one-byte-changed-in-ipv4-tcp", "xz", lzma.compress),
        ):
            (directory / f"{kind}.pcap").write_bytes(compress((directory / f"{name}.pcap").read_bytes()))


def _traffic(directory, megabytes):
    return directory / f"traffic-{megabytes}.pcap"


def _gzip(data):
    return gzip.compress(data, mtime=0)


def _zstd(data):
    return subprocess.run(["zstd", "--quiet"], input=data, check=True, stdout=subprocess.PIPE).stdout


def zeros():
    """A capture with a link type that is kept whole, and blocks of zeros that become holes."""
    frames = [bytes(60_000 if number % 2 else 100) + b"end" for number in range(8)]
    head = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 147)
    return head + b"".join(struct.pack("<IIII", 1, 0, len(frame), len(frame)) + frame for frame in frames)


@functools.lru_cache(maxsize=32)
def plain(data):
    """The bytes of a capture without its compression; None where they are not whole."""
    try:
        return _decompressed(data)
    except (OSError, EOFError, lzma.LZMAError, zlib.error, subprocess.CalledProcessError):
        return None


def is_compressed(data):
    return data.startswith((GZIP, XZ, ZSTD))


def _decompressed(data):
    if data.startswith(GZIP):
        return gzip.decompress(data)
    if data.startswith(XZ):
        return lzma.decompress(data)
    if data.startswith(ZSTD):
        return subprocess.run(["zstd", "--quiet", "--decompress"], input=data, check=True, capture_output=True).stdout
    return data


def distinguish(directory):
    """Gives each capture attributes that no other has."""
    for number, path in enumerate(sorted(directory.iterdir())):
        os.setxattr(path, "user.sensor", b"%d" % number)
        os.chown(path, 1000 + number % 3, 1000)
        os.chmod(path, (0o640, 0o644, 0o600)[number % 3])
        os.utime(path, ns=(10**18 + number, 15 * 10**17 + number * 1001))


def leave_what_0_x_left(directory, slimmed, version):
    """Adds what version 0.x leaves after a crash or a power cut, and its markers, to a directory of captures.

    `slimmed` is the same directory after slimming. Staging files beside captures are older than five minutes.
    """
    markers = directory / MARKERS
    markers.mkdir()

    def staging(path, data):
        path.write_bytes(data)
        path.chmod(0o600)
        old = path.stat().st_mtime - OLD
        os.utime(path, (old, old))

    half = {path.name: path.read_bytes()[: path.stat().st_size // 2] for path in slimmed.glob("*.pcap*")}
    staging(markers / "traffic-5.pcap.tmp", half["traffic-5.pcap"])
    staging(markers / "gzip.pcap.tmp", half["gzip.pcap"])
    staging(markers / "traffic-3.pcap.slimtrace.tmp", b"")
    staging(directory / "traffic-2.pcap.tmp", half["traffic-2.pcap"])
    staging(directory / "zstd.pcap.tmp", half["zstd.pcap"])
    staging(directory / "xz.pcap.tmp", bytes(4096))
    staging(directory / "snaplen-64.pcap.tmp", b"")
    # Slimmed and marked, slimmed and not marked, and with a marker that a crash has torn.
    marked, unmarked, torn = "traffic-1.pcap", "other-tags-are-kept.pcap", "frame-of-64-kib-is-cut.pcap"
    for name in (marked, unmarked):
        _replace(directory / name, (slimmed / name).read_bytes())
    (markers / marked).write_bytes((slimmed / MARKERS / marked).read_bytes())
    (markers / torn).write_bytes((slimmed / MARKERS / torn).read_bytes()[:20])
    # Another tool's marker, the marker of a capture that is gone, and a capture that was given up.
    (markers / "udp-53-is-kept.pcap").touch()
    (markers / "gone.pcap").write_bytes((slimmed / MARKERS / marked).read_bytes())
    given_up = directory / UNREADABLE
    given_up.write_bytes(b"no capture\n" * 10)
    about = given_up.stat()
    reason = {"version": version, "reason": "not a capture", "size": about.st_size, "modified_ns": about.st_mtime_ns}
    (markers / f"{UNREADABLE}.failed").write_text(json.dumps(reason) + "\n")


def _replace(path, data):
    """Writes other bytes to a file, which keeps its times."""
    about = path.stat()
    path.write_bytes(data)
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))
