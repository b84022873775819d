"""What the scenarios share: a sensor's capture directories, its daemon, and its journal.

Captures are made by `fixtures/packets.py` and judged by the oracle, neither of which shares code with the program.
Nothing here decides what must hold; that is said in `scenarios/`. Captures come of age after AGE seconds, and budgets
and pressure are off, so that other load on the host does not put anything off.
"""
import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import packets
import reference_slim

UNIT = "pcap-slimd.service"
PACKAGE = Path("/suite/package.deb")
CONFIG = Path("/etc/pcap-slimd")
DROPINS = Path(f"/etc/systemd/system/{UNIT}.d")
CAPTURES = Path("/srv/captures")
LIVE = CAPTURES / "live"
OUTSIDE = CAPTURES / "outside"  # the same file system, watched by nobody
SENSOR = (1000, 1000)
AGE = 1.8
GRACE = 4

SUITE_CONFIG = f"""
[defaults]
age_minutes = {AGE / 60}
# The one that the oracle knows.
policy = "reference"
[budget]
max_io_mbps = "unlimited"
max_cpu_percent = "unlimited"
cpu_backoff_above = "unlimited"
pressure_above = "unlimited"
min_free_mb = 0
[daemon]
shutdown_grace_seconds = {GRACE}
"""


AFTERWARDS = []


class LeftOut(Exception):
    """The machine lacks what a scenario needs."""


def expect(holds, why):
    if not holds:
        raise AssertionError(why)


def eventually(holds, what, seconds=20):
    """Waits until `holds()` is true, and gives what it said."""
    end = time.monotonic() + seconds
    while True:
        said = holds()
        if said:
            return said
        expect(time.monotonic() < end, f"not within {seconds} s: {what}")
        time.sleep(0.05)


def run(*command, check=True, stdin=None, timeout=60):
    """Runs a program; its output is text, and a failure is told with what it said."""
    words = [str(word) for word in command]
    done = subprocess.run(words, input=stdin, capture_output=True, text=True, errors="replace", timeout=timeout)
    said = f"{done.stdout}{done.stderr}".strip()
    expect(not check or done.returncode == 0, f"{' '.join(words)}: exit {done.returncode}: {said}")
    return done


def is_installed():
    status = run("dpkg-query", "--show", "--showformat=${db:Status-Abbrev}", "pcap-slimd", check=False).stdout
    return status.startswith("ii")


# ---------------------------------------------------------------- the daemon

def property(name, unit=UNIT):
    return run("systemctl", "show", "--value", "--property", name, unit).stdout.strip()


def pid():
    return int(property("MainPID"))


def is_active():
    return property("ActiveState") == "active"


def configure(name, text):
    """Writes one configuration drop-in; an empty text takes it away."""
    path = CONFIG / "config.d" / f"{name}.toml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text) if text else path.unlink(missing_ok=True)


def override(name, text):
    """Writes one drop-in of the unit; an empty text takes it away."""
    DROPINS.mkdir(parents=True, exist_ok=True)
    path = DROPINS / f"{name}.conf"
    path.write_text(text) if text else path.unlink(missing_ok=True)
    run("systemctl", "daemon-reload")


def open_directories():
    """Lets the sandboxed daemon write to what is configured, as an operator does."""
    override("directories", run("pcap-slimd", "print-dropin").stdout)


def reload():
    """Has the daemon read its configuration again, and waits until it says what came of it."""
    since = cursor()
    run("systemctl", "reload", UNIT)
    eventually(lambda: any("configuration" in text(e) for e in journal(since)) and is_active(), "the reload is told")


def restart():
    run("systemctl", "reset-failed", UNIT, check=False)
    run("systemctl", "restart", UNIT)


def afterwards(undo):
    """Has something undone when the scenario is over, however it ends; the last first."""
    AFTERWARDS.append(undo)


def settle():
    """Ends what a scenario began: the daemon runs as it was installed and set up."""
    while AFTERWARDS:
        AFTERWARDS.pop()()
    extra = [path for path in (CONFIG / "config.d").glob("*.toml") if path.name != "suite.toml"]
    extra += [path for path in DROPINS.glob("*.conf") if path.name != "directories.conf"]
    for path in extra:
        path.unlink()
    if extra or not is_active():
        open_directories()
        restart()


def watch_also(*names, keys=""):
    """Has these directories watched beside the live one, with these keys, by a daemon that is allowed to write there."""
    configure("also", "".join(f'[[watch]]\npath = "{CAPTURES / name}"\n{keys}' for name in names))
    open_directories()
    restart()


# ---------------------------------------------------------------- the journal

def cursor():
    """The end of the journal as it is now."""
    run("journalctl", "--sync", check=False)
    return run("journalctl", "--lines=0", "--show-cursor", "--quiet").stdout.partition("-- cursor: ")[2].strip()


def journal(since=None, *matches):
    """The unit's entries as they are kept, field by field; with systemd's own about the unit."""
    run("journalctl", "--sync")
    command = ["journalctl", "--output=json", "--all", "--quiet", f"--unit={UNIT}", *matches]
    lines = run(*command, *([f"--after-cursor={since}"] if since else [])).stdout.splitlines()
    return [json.loads(line) for line in lines]


def text(entry, field="MESSAGE"):
    """A field as text; journalctl gives one that has control characters as a list of bytes."""
    value = entry.get(field, "")
    return bytes(value).decode(errors="replace") if isinstance(value, list) else value or ""


def outcomes(path, since=None, *kinds):
    """What was told of a capture: the entries of these outcomes, or of all."""
    entries = [e for e in journal(since) if text(e, "PCAP_FILE") == str(path)]
    return [e for e in entries if not kinds or text(e, "PCAP_OUTCOME") in kinds]


def messages(since=None):
    return [text(entry) for entry in journal(since)]


def story(since):
    """The unit's journal for people."""
    run("journalctl", "--sync", check=False)
    return run("journalctl", "--output=short-precise", "--no-hostname", "--quiet", f"--unit={UNIT}",
               *([f"--after-cursor={since}"] if since else []), check=False).stdout


# ---------------------------------------------------------------- captures

def conversation(size, seed=0):
    """A capture of about `size` bytes: nine of ten packets are TLS records that must be cut, the rest must stay."""
    secret = packets.cut(packets.ethernet(packets.ipv4(packets.tcp(packets.record(length=1400 - seed % 7)))))
    plain = packets.kept(packets.ethernet(packets.ipv4(packets.tcp(packets.payload(0x47, 300 + seed % 50), dport=80))))
    return packets.capture([plain if n % 10 == 0 else secret for n in range(max(2, size // 1300))])


def slimmed(data):
    """What the oracle makes of a capture."""
    return reference_slim.slim_capture(data)[0]


def put(path, data, mode=0o640, owner=SENSOR, age=0):
    """A capture arrives whole: written elsewhere, then renamed."""
    OUTSIDE.mkdir(exist_ok=True)
    made = OUTSIDE / "arriving"
    made.write_bytes(data)
    os.chown(made, *owner)
    os.chmod(made, mode)
    now = time.time_ns() - int(age * 1e9)
    os.utime(made, ns=(now, now))
    shutil.move(made, path)
    return path


def marker(path):
    return path.parent / ".slim_markers" / path.name


def failed_marker(path):
    return path.parent / ".slim_markers" / f"{path.name}.failed"


def staging(directory):
    """What is being written for a directory of captures, mostly without a name: what is there for more than a moment, as
    markers and what is tried in a place are not. Originals that linger are not among it."""
    first = _written(directory)
    if not first:
        return []
    time.sleep(0.3)
    later = _written(directory)
    return [path for path, target in first.items() if later.get(path) == target]


def _written(directory):
    """Files of the daemon that it writes for a directory of captures, and where they lead."""
    places = ("*.tmp", ".slim_markers/*.tmp", ".slim_markers/private/staging.*")
    found = {path: str(path) for place in places for path in directory.glob(place)}
    for descriptor in Path(f"/proc/{pid()}/fd").glob("*"):
        try:
            target = os.readlink(descriptor)
        except OSError:
            continue  # closed meanwhile
        # As the kernel calls a file without a name.
        if f"{directory.name}/.slim_markers/private/#" in target:
            found[descriptor] = target
    return found


def size_of(path):
    """In bytes; 0 where it has gone."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def await_slimmed(path, data, seconds=20):
    """Waits until a capture is what the oracle makes of it, and is marked."""
    eventually(lambda: marker(path).exists(), f"{path.name!r} is marked", seconds)
    expect(path.read_bytes() == slimmed(data), f"{path.name!r} is not what the oracle makes of it")


def new_directory(name, mode=0o770):
    path = CAPTURES / name
    path.mkdir(exist_ok=True)
    os.chown(path, *SENSOR)
    os.chmod(path, mode)
    return path



def small_disk(name, megabytes):
    """A directory of captures on a file system of its own, for the time of one scenario."""
    path = new_directory(name)
    run("mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0770,uid=1000,gid=1000", "tmpfs", path)
    afterwards(lambda: run("umount", "--lazy", path, check=False))  # the scenario may have done it
    return path
