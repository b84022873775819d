"""The ways in which captures are slimmed while the power is cut: by pcap-slim or the daemon, and what was there before.

`WAYS` has them by name. Each slims a directory, and says what must be in it before. The run that follows a power cut
is one of the same way.
"""
import json
import os
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from captures import MARKERS

LONGEST = 60  # seconds for one run
LONGEST_RECOVERY = 10
LOOK = 0.01
LEFT = f"{MARKERS}/private/*"
# No budget slows it down, and a file system of 64 MB has room enough.
CONFIGURATION = """
[defaults]
age_minutes = 0
marker_owner = "root:root"

[[watch]]
path = "{directory}"

[budget]
max_io_mbps = "unlimited"
max_cpu_percent = "unlimited"
cpu_backoff_above = "unlimited"
pressure_above = "unlimited"
min_free_mb = 0
"""


@dataclass
class Ended:
    """How a run ended."""

    status: int  # None where it did not end
    files: dict  # by capture: the status in the report, and the error
    said: str

    def __str__(self):
        unusual = {name: said for name, said in self.files.items() if said[0] not in ("ok", "skipped_marker")}
        return f"exit status {self.status} {unusual or ''} {self.said[-500:]}".strip()


@dataclass(frozen=True)
class Way:
    """A way to slim a directory. `before` says what is there: captures as they came, what 0.x left, or a power cut."""

    name: str
    arguments: str = ""
    is_daemon: bool = False
    before: str = "captures"

    def slim(self, programs, directory, markers, preload=None, is_after_cut=False):
        """Slims all captures of a directory. The daemon is stopped when all of `markers` are there.

        After a power cut it also gets a moment to remove what the cut left, which it does beside its work.
        """
        environment = dict(os.environ, **({"LD_PRELOAD": str(preload)} if preload else {}))
        if self.is_daemon:
            moment = LONGEST_RECOVERY if is_after_cut else 0
            return _watch(programs / "pcap-slimd", directory, markers, environment, moment)
        command = [programs / "pcap-slim", "--dir", directory, "--output", "json", *self.arguments.split()]
        try:
            done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=LONGEST)
        except subprocess.TimeoutExpired:
            return Ended(None, {}, f"did not end in {LONGEST} s")
        try:
            files = json.loads(done.stdout)["files"]
        except ValueError:
            files = []
        said = {Path(file["file"]).name: (file["status"], file["error"]) for file in files}
        return Ended(done.returncode, said, done.stderr)


def _watch(program, directory, markers, environment, moment):
    """Runs the daemon until all captures are marked and it answers at its socket, and then until nothing is left of a
    power cut, but not longer than `moment`."""
    with tempfile.TemporaryDirectory() as name, open(Path(name) / "said", "w+") as said:
        config, socket = Path(name) / "config.toml", Path(name) / "status.sock"
        config.write_text(CONFIGURATION.format(directory=directory))
        command = [program, "--config", config, "--socket", socket]
        daemon = subprocess.Popen(command, stdout=said, stderr=said, env=environment)
        end = time.monotonic() + LONGEST
        try:
            while daemon.poll() is None and time.monotonic() < end:
                if all(_is_marked(directory, marker) for marker in markers) and _answers(program, socket):
                    break
                time.sleep(LOOK)
            end = time.monotonic() + moment
            while time.monotonic() < end and any(directory.glob(LEFT)):
                time.sleep(LOOK)
            daemon.send_signal(signal.SIGTERM)
            status = daemon.wait(LONGEST)
        except subprocess.TimeoutExpired:
            status = None
        finally:
            daemon.kill()
            daemon.wait()
        said.seek(0)
        return Ended(status, {}, said.read())


def _answers(program, socket):
    """Whether the daemon has started: before, it would not know the signal that stops it."""
    asked = subprocess.run([program, "--socket", socket, "status"], capture_output=True)
    return asked.returncode == 0


def _is_marked(directory, name):
    """Whether a capture has a marker that agrees with it, or that another tool left."""
    try:
        about = (directory / name).stat()
        text = (directory / MARKERS / name).read_bytes()
    except FileNotFoundError:
        return False
    return marked(text) in (EMPTY, (about.st_size, about.st_mtime_ns))


EMPTY, TORN = "empty", "torn"


def marked(text):
    """Size and modification time of the slimmed capture, as its marker has them; EMPTY, or TORN."""
    if not text:
        return EMPTY
    try:
        marker = json.loads(text)
        return marker["bytes_out"], marker["modified_ns"]
    except (ValueError, KeyError, TypeError):
        return TORN


def original_size(text):
    """Size of the capture before its first slimming, as its marker has it; None where it has none."""
    marker = json.loads(text or b"{}")
    return marker.get("earlier", [marker])[0].get("bytes_in")


_MARKERS = "--staging markers --workers 2 --trace --digest sha256"
WAYS = {
    way.name: way
    for way in (
        Way("markers", _MARKERS),
        Way("beside", "--staging beside"),
        Way("daemon", is_daemon=True),
        Way("migration", "--staging beside --trace", before="0.x"),
        Way("recovery", _MARKERS, before="cut"),
        Way("daemon-recovery", is_daemon=True, before="cut"),
    )
}
