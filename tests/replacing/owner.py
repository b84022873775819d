"""A hostile owner of a directory beside pcap-slim run by root, and beside the daemon with the rights of its unit.

    tests/replacing/run owner [--seconds 600] [--seed S]

He does what hostile.py says, in two processes. Meanwhile a tree outside his directory is watched: no file there may
change its owner, mode, content, names, or anything else of which the change time tells. In the end no capture may be
anything but the original, the slimmed capture, or what he put there himself; and nothing may be left over once a last
run was undisturbed. The slimmer is killed now and then.
"""
import contextlib
import json
import os
import random
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import captures
import hostile
import judge

HOSTILE, DAEMON, BOB = 65534, 65533, 65532
PATIENCE = 40  # seconds for a run, or for the end of the daemon
HERE = Path(__file__).resolve().parent
# As in systemd/pcap-slimd.service.
CAPABILITIES = "-all,+dac_override,+chown,+fowner,+lease"
CONFIG = """\
[[watch]]
path = "{watched}"
age_minutes = 0
policy = "reference"
{more}
[daemon]
rescan_minutes = 1
"""


class Outside:
    """Files that nobody may touch, and what they were."""

    def __init__(self, path, capture):
        self.path = path
        path.mkdir()
        for name, content, mode in (("secret", b"secret", 0o600), ("readable", b"readable", 0o644),
                                    ("set-id", b"program", 0o4755), ("capture.pcap", capture.original, 0o600)):
            self.make(path / name, content, mode)
        for name, owner, mode in (("closed", 0, 0o700), ("markers", 0, 0o755), ("bob", BOB, 0o700)):
            (path / name).mkdir(mode)
            self.make(path / name / "capture.pcap", capture.original, 0o600, owner)
            self.make(path / name / "c0.pcap", capture.original, 0o600, owner)
            os.chown(path / name, owner, owner)
        self.was = self.now()

    @staticmethod
    def make(path, content, mode, owner=0):
        path.write_bytes(content)
        os.chown(path, owner, owner)
        os.chmod(path, mode)
        os.utime(path, (0, 0))

    def now(self):
        """Everything but the access times."""
        found = {}
        for path in (self.path, *sorted(self.path.rglob("*"))):
            is_ = path.lstat()
            content = path.read_bytes() if stat.S_ISREG(is_.st_mode) else None
            found[str(path.relative_to(self.path))] = (oct(is_.st_mode), is_.st_uid, is_.st_gid, is_.st_nlink,
                                                       is_.st_mtime_ns, is_.st_ctime_ns, content)
        return found

    def complaints(self):
        now = self.now()
        for path in sorted(self.was.keys() | now.keys()):
            if self.was.get(path) != now.get(path):
                before, after = (show(each.get(path)) for each in (self.was, now))
                yield f"outside, {path}: was {before}, is {after}"


def show(state):
    return "missing" if state is None else (*state[:6], state[6] and len(state[6]))


class Scene:
    """The directories of one run: his, and the tree outside."""

    def __init__(self, base, owns, capture, options):
        self.base, self.owns, self.capture, self.options = base, owns, capture, options
        self.outside = Outside(base / "outside", capture)
        self.parent = base / "parent"
        self.watched = self.parent / "watched"
        self.watched.mkdir(parents=True)
        if owns == "markers":
            (self.watched / judge.MARKERS).mkdir()
            os.chown(self.watched / judge.MARKERS, HOSTILE, HOSTILE)
        else:
            os.chown(self.watched, HOSTILE, HOSTILE)
        if owns == "parent":
            os.chown(self.parent, HOSTILE, HOSTILE)

    def renew(self):
        """Captures of root's, where he owns but the markers."""
        if self.owns == "markers":
            for name in ("c0.pcap", "c1.pcap"):
                with contextlib.suppress(OSError):
                    os.unlink(self.watched / name)
                self.capture.put(self.watched, name)
            with contextlib.suppress(OSError):
                for name in ("c0.pcap", "c1.pcap"):
                    os.unlink(self.watched / judge.MARKERS / name)

    @contextlib.contextmanager
    def attack(self, seconds):
        """He is at work."""
        command = [sys.executable, "-B", HERE / "hostile.py", self.watched, self.outside.path, seconds]
        who = ["setpriv", f"--reuid={HOSTILE}", f"--regid={HOSTILE}", "--clear-groups"]
        processes = [subprocess.Popen([str(word) for word in (*who, *command, self.options.seed, self.owns, how)],
                                      stdout=subprocess.PIPE, text=True) for how in ("anything", "chase")]
        try:
            yield processes
        finally:
            for process in processes:
                process.kill()
            self.said = [process.communicate()[0] for process in processes]

    def captures(self):
        """Complaints about what the captures are."""
        allowed = {self.capture.original, self.capture.slimmed}
        if self.owns != "markers":
            his = (self.capture.original, hostile.EVIL, b"")
            allowed |= {hostile.EVIL} | {content[:length].ljust(length, b"\0") for content in his for length in hostile.LENGTHS}
        for path, content in self.files():
            place, is_ = path.relative_to(self.parent), path.lstat()
            if content is None and self.owns == "markers":
                yield f"{place} is no regular file"
            # Markers, where he moved their directory, and what he did to them.
            elif content is not None and content not in allowed and content[:1] != b"{":
                yield f"{place} is neither original nor slimmed nor his: {is_}"
            if content is not None and is_.st_mode & 0o7000 and is_.st_uid != HOSTILE:
                yield f"{place} has set-id bits of somebody else"

    def files(self):
        """What lies below his directories, but in those of markers, with its content; None where it has none."""
        for folder, folders, files in os.walk(self.parent):
            if judge.MARKERS in folders:
                folders.remove(judge.MARKERS)
            for name in files:
                path = Path(folder) / name
                yield path, path.read_bytes() if stat.S_ISREG(path.lstat().st_mode) else None

    def leftovers(self):
        """What is left in private directories that recovery can find: he may have moved the directory of markers."""
        for private in self.parent.rglob(f"{judge.MARKERS}/{judge.PRIVATE}"):
            if private.is_dir() and not private.is_symlink() and private.lstat().st_uid != HOSTILE:
                yield from (f"left over: {private.relative_to(self.parent)}/{name}" for name in judge.entries(private))


class Watch:
    """Looks at what must not change while everything runs."""

    def __init__(self, scene):
        self.scene, self.found = scene, []

    def look(self):
        if not self.found:
            self.found = list(self.scene.outside.complaints())
            if self.scene.owns == "markers":
                self.found += self.scene.captures()
        return bool(self.found)


def outcomes(output):
    """What a run reported of its captures."""
    try:
        return [file["status"] for file in json.loads(output)["files"]]
    except (ValueError, LookupError):
        return ["killed"]


def by_root(scene, ours, seconds):
    """pcap-slim, again and again; -> complaints, and how often each outcome was reported."""
    chance, runs, watch = random.Random(scene.options.seed), Counter(), Watch(scene)
    with scene.attack(seconds) as processes:
        while any(process.poll() is None for process in processes) and not watch.look():
            scene.renew()
            how = ["--dir", scene.watched] if chance.random() < 0.6 else ["--single", scene.watched / "c0.pcap"]
            staging = ["--staging", chance.choice(("beside", "markers"))]
            with subprocess.Popen([*ours.alone, *staging, *how], stdout=subprocess.PIPE,
                                  stderr=subprocess.DEVNULL) as slimmer:
                if chance.random() < 0.1:
                    time.sleep(chance.random() * 0.02)
                    slimmer.kill()
                try:
                    runs.update(outcomes(slimmer.communicate(timeout=PATIENCE)[0]))
                except subprocess.TimeoutExpired:
                    slimmer.kill()
                    return ["pcap-slim hangs"], runs
    subprocess.run([*ours.alone, "--dir", scene.watched], capture_output=True, timeout=300)
    watch.look()
    return [*watch.found, *scene.captures(), *scene.leftovers()], runs


def daemon_command(scene, program):
    """As its unit starts it: a user of its own, and four capabilities."""
    config = scene.base / "config.toml"
    more = f'[defaults]\nmarker_owner = "{HOSTILE}:{HOSTILE}"' if scene.owns == "markers" else ""
    config.write_text(CONFIG.format(watched=scene.watched, more=more))
    run = scene.base / "run"
    run.mkdir(exist_ok=True)
    os.chown(run, DAEMON, DAEMON)
    capabilities = [f"--{kind}={CAPABILITIES}" for kind in ("inh-caps", "ambient-caps", "bounding-set")]
    who = ["setpriv", f"--reuid={DAEMON}", f"--regid={DAEMON}", "--clear-groups", *capabilities, "--no-new-privs"]
    return [*who, program, "--config", config, "--socket", run / "socket"]


def by_daemon(scene, program, seconds):
    """pcap-slimd, killed and started again every few seconds; -> complaints, and how often it was started."""
    chance, starts, watch = random.Random(scene.options.seed), Counter(), Watch(scene)
    command = daemon_command(scene, program)
    log = open(scene.base / "log", "ab")
    with scene.attack(seconds) as processes:
        while any(process.poll() is None for process in processes) and not watch.look():
            slimmer = subprocess.Popen([str(word) for word in command], stdout=log, stderr=log)
            starts["starts"] += 1
            end = time.monotonic() + 1 + chance.random() * 4
            while time.monotonic() < end and not watch.look():
                scene.renew()
                time.sleep(0.1)
            if slimmer.poll() is not None:
                tail = (scene.base / "log").read_text(errors="replace")[-300:]
                return [f"pcap-slimd ends with {slimmer.returncode}: {tail}"], starts
            slimmer.send_signal(chance.choice((signal.SIGKILL, signal.SIGTERM)))
            slimmer.wait(timeout=PATIENCE)
    slimmer = subprocess.Popen([str(word) for word in command], stdout=log, stderr=log)
    time.sleep(5)
    slimmer.terminate()
    slimmer.wait(timeout=PATIENCE)
    watch.look()
    return [*watch.found, *scene.captures(), *scene.leftovers()], starts


def run(ours, daemon, capture, base, options):
    """Every kind of owner beside both programs; -> whether there was no complaint."""
    is_well = True
    kinds = [(owns, who) for owns in ("directory", "parent", "markers") for who in ("root", "daemon")]
    kinds = [kind for kind in kinds if (not options.way or options.way in " ".join(kind)) and (daemon or kind[1] == "root")]
    for owns, who in kinds:
        path = base / f"{owns}-{who}"
        path.mkdir()
        scene = Scene(path, owns, capture, options)
        seconds = options.seconds / len(kinds)
        if who == "root":
            complaints, runs = by_root(scene, ours, seconds)
        else:
            complaints, runs = by_daemon(scene, daemon, seconds)
        for complaint in complaints:
            print(f"not ok - owner of the {owns}, slimmed by {who}: {complaint}", flush=True)
        word = "not ok" if complaints else "ok"
        print(f"{word} - owner of the {owns}, slimmed by {who}, {seconds:.0f} s: {dict(runs.most_common(6))}, "
              f"{', '.join(said.strip() for said in scene.said)}", flush=True)
        is_well &= not complaints
        shutil.rmtree(path, ignore_errors=True)
    return is_well
