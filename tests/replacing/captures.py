"""The capture that is replaced: made here, with attributes that must survive, and what it is once it is slimmed."""
import os
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

HEADER = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)
OWNER = (1234, 4321)
MODE = 0o640
MODIFIED = 1_700_000_000_123_456_789
ATTRIBUTE = "user.case", b"1234"
NAME = "a.pcap"


def record(frame, second=1_700_000_000):
    """A packet record with all of its frame."""
    return struct.pack("<IIII", second, 7, len(frame), len(frame)) + frame


def frame(port, payload):
    """An Ethernet frame with an IPv4 TCP segment from `port`."""
    ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 40 + len(payload), 1, 0x4000, 64, 6, 0, bytes((10, 0, 0, 1)),
                     bytes((10, 0, 0, 2)))
    tcp = struct.pack(">HHIIBBHHH", port, 40000, 1, 2, 0x50, 0x18, 65535, 0, 0)
    return bytes((2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0)) + ip + tcp + payload


def original(frames=12, fill=b"s"):
    """A capture of TLS records, which the reference policy cuts, and of plain text, which stays."""
    secret = frame(443, bytes((0x17, 3, 3, 4, 0xB0)) + fill * 1200)
    plain = frame(80, b"GET / HTTP/1.1\r\n" + b"a" * 100)
    return HEADER + b"".join(record(plain if n % 4 == 0 else secret, 1_700_000_000 + n) for n in range(frames))


@dataclass(frozen=True)
class Capture:
    """Both contents that a capture may have."""

    original: bytes
    slimmed: bytes

    @classmethod
    def make(cls, program, scratch):
        """The slimmed form is what the program makes of it where nothing disturbs it."""
        path = scratch / "expected.pcap"
        path.write_bytes(original())
        subprocess.run([program, "--policy", "reference", "--single", path], check=True, capture_output=True)
        made = cls(original(), path.read_bytes())
        if len(made.slimmed) >= len(made.original):
            raise RuntimeError("nothing is cut from the capture of these tests")
        return made

    def put(self, directory, name=NAME, owner=OWNER):
        """A fresh original with its attributes; -> its path."""
        path = Path(directory) / name
        with open(path, "xb") as file:
            file.write(self.original)
            os.fchown(file.fileno(), *owner)
            os.fchmod(file.fileno(), MODE)
            try:
                os.setxattr(file.fileno(), *ATTRIBUTE)
            except OSError:
                pass  # not every file system has them
        os.utime(path, ns=(MODIFIED, MODIFIED))
        return path
