"""Captures that wait to be slimmed, for the measurements of manners: as many and as large as wanted, on the disk or in
the page cache.

One stretch of generated traffic is repeated behind one file header, which a reader takes for one capture. `budgets` and
`beside` use this; what they measure is theirs.
"""
import os
import shutil
import subprocess
import time
from pathlib import Path

from measure import drop

HERE = Path(__file__).resolve().parent
FILE_HEADER = 24
STRETCH_MB = 20
REST = 1  # second in which the device frees the room of what was there before


class Traffic:
    """A stretch of traffic that captures of any size are made of."""

    def __init__(self, directory):
        made = directory / "stretch.pcap"
        command = [HERE / "traffic.py", made, "--mb", str(STRETCH_MB)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        whole = made.read_bytes()
        made.unlink()
        self.header, self.packets = whole[:FILE_HEADER], whole[FILE_HEADER:]

    def capture(self, path, size):
        """Writes a capture of at least `size` bytes, to the device."""
        with open(path, "wb") as file:
            file.write(self.header)
            for _ in range(-(-int(size) // len(self.packets))):
                file.write(self.packets)
            file.flush()
            os.fsync(file.fileno())

    def backlog(self, directory, count, size, is_cold):
        """`count` captures in a directory where nothing else is."""
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir()
        for number in range(count):
            path = directory / f"backlog-{number:04}.pcap"
            self.capture(path, size)
            if is_cold:
                drop(path)
        os.sync()
        time.sleep(REST)
