"""The owner of watched directories attacks the daemon, and gets nothing by it.

The daemon runs in its real unit with its real capabilities, except that all of CAPTURES is open to it: what protects the
files of others here is the program, not the sandbox. Each strategy of `hostile_owner.py` is a process of an unprivileged
user in a directory of his that is watched, with captures arriving all the time. Beside them lie files that he would like
to have changed, directories of others that are watched, and one where only the markers are his.

As a stage, this ends when the daemon has handled HANDLED captures. HOSTILE_SECONDS in the environment makes it last as
long as that (`run --hostile-seconds`).
"""
import hashlib
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import hostile_owner
import reference_slim
from sensor import (CAPTURES, CONFIG, LIVE, SENSOR, afterwards, configure, conversation, cursor, eventually, expect,
                    is_active, journal, messages, override, pid, restart, run, slimmed, text)

HANDLED = 600
AT_MOST = 150  # seconds, where that many are not handled
ALICE, OTHERS, MARKED, CANARY = (CAPTURES / name for name in ("alice", "others", "marked", "canary"))
GUARDED = OTHERS / "watch"  # another's, and never due
BOB = (2000, 2000)
WRITABLE = CANARY / "writable.pcap"
# The strategy, where it is at work, and what its watch has beside a path.
ATTACKED = {
    "swap-markers": (ALICE / "swapped", "trace = true\ndigest = \"sha256\"\n"),
    "swap-private": (ALICE / "private", ""),
    "plant": (ALICE / "planted", "trace = true\n"),
    "plant-beside": (ALICE / "beside", "staging = \"beside\"\n"),
    "tamper": (ALICE / "tampered", f"trace = true\nmarker_owner = \"{SENSOR[0]}:{SENSOR[1]}\"\n"),
    "juggle": (ALICE / "juggled", ""),
    "write": (ALICE / "written", ""),
    "roots": (ALICE / "rooted/watch", "recursive = true\npolicy = \"evidence\"\n"),
}


def a_hostile_owner_changes_nothing_of_others_and_no_capture_becomes_what_it_never_was():
    plan = _prepare()
    _watch()
    before, canaries, since = pid(), _snapshot(), cursor()
    processes = _begin(plan)
    seconds = int(os.environ.get("HOSTILE_SECONDS") or 0)
    began = time.monotonic()
    while _goes_on(seconds, time.monotonic() - began):
        time.sleep(1)
        expect(is_active() and pid() == before, "the daemon ended")
        ended = [name for name, process in processes.items() if process.poll() is not None]
        expect(not ended, f"the suite itself failed: {[processes[name].communicate() for name in ended]}")
    said = _end(processes)
    lasted = time.monotonic() - began
    for name, done in said.items():
        print(f"  {name}: {json.dumps({**done, 'wrong': len(done['wrong'])})}", flush=True)
    print(f"  {_handled()} handled in {lasted:.0f} s; protected_hardlinks is "
          f"{Path('/proc/sys/fs/protected_hardlinks').read_text().strip()}", flush=True)
    for reason, times in _reasons(since):
        print(f"  {times} times {reason}", flush=True)
    wrong = [f"{name}: {fault}" for name, done in said.items() for fault in done["wrong"][:4]]
    wrong += _differences(canaries, _snapshot())
    wrong += _strangers(plan)
    wrong += [message for message in messages(since) if "panic" in message]
    expect(is_active() and pid() == before, "the daemon ended")
    faults = sum(len(done["wrong"]) for done in said.values())
    expect(not wrong, f"{faults} captures are wrong, among other faults:\n    " + "\n    ".join(wrong[:60]))
    idle = [name for name, done in said.items() if not name.startswith("feed") and done["attacks"] < 20]
    expect(not idle, f"{idle} hardly did anything: the scenario proves nothing")
    served = said["feed live"]
    expect(served["slimmed"] >= 20 and not served["left"], f"the other directory was not served: {served}")
    expect(sum(done["slimmed"] for done in said.values()) > HANDLED / 10, "hardly anything was slimmed meanwhile")
    eventually(lambda: not _in_private(), f"what lingers in private directories goes: {_in_private()}", 30)


# ---------------------------------------------------------------- before

def _prepare():
    """Directories, and what lies in them; gives the plan of the attack, which is a file too."""
    for path in (ALICE, OTHERS, MARKED, CANARY):
        afterwards(lambda path=path: shutil.rmtree(path, ignore_errors=True))
    for path, owner in ((ALICE, SENSOR), (OTHERS, (0, 0)), (MARKED, (0, 0)), (CANARY, (0, 0)), (GUARDED, BOB),
                        (ALICE / "rooted", SENSOR), (MARKED / ".slim_markers", SENSOR), (CANARY / "closed", (0, 0)),
                        (CANARY / ".slim_markers", (0, 0)), (CANARY / "home", (0, 0)),
                        *((directory, SENSOR) for directory, _ in ATTACKED.values())):
        path.mkdir(exist_ok=True, parents=True)
        os.chown(path, *owner)
        path.chmod(0o700 if path.name in ("closed", "home") else 0o755)
    originals = [conversation(size, seed) for seed, size in enumerate((30_000, 60_000, 120_000, 1_500_000))]
    capture = originals[0]
    for path, mode, owner in (
            (CANARY / "secret", 0o600, (0, 0)), (CANARY / "readable", 0o644, (0, 0)), (WRITABLE, 0o666, (0, 0)),
            (CANARY / "aged.pcap", 0o600, (0, 0)), (CANARY / "program", 0o4755, (0, 0)),
            (CANARY / "bobs.pcap", 0o640, BOB), (CANARY / "closed/hidden.pcap", 0o600, (0, 0)),
            (CANARY / ".slim_markers/aged.pcap", 0o644, (0, 0)), (GUARDED / "kept-0.pcap", 0o640, BOB),
            (GUARDED / "kept-1.pcap", 0o600, (0, 0)), (GUARDED / "kept-2.pcap", 0o644, BOB)):
        path.write_bytes(capture if path.suffix == ".pcap" else b"of somebody else\n")
        os.chown(path, *owner)
        path.chmod(mode)
        os.utime(path, (hostile_owner.WRITTEN, hostile_owner.WRITTEN))
    seeds = OTHERS / "seeds"
    seeds.mkdir()
    for number, original in enumerate(originals):
        (seeds / f"{number}.pcap").write_bytes(original)
    smaller = [slimmed(original) for original in originals]
    strict = {_digest(content) for content in (*originals, *smaller)}
    written = set().union(*(_written(original, 2) for original in originals))
    targets = (CANARY, CANARY / ".slim_markers", GUARDED, LIVE, CANARY / "secret", CANARY / "readable", WRITABLE,
               CANARY / "aged.pcap", CANARY / "program", GUARDED / "kept-0.pcap", Path("/etc/shadow"))
    plan = {
        "originals": [str(seeds / f"{number}.pcap") for number in range(len(originals))],
        "slimmed": [_digest(content) for content in smaller],
        # What is linked to is no capture of his; it may have any of its names.
        "allowed": {"strict": sorted(strict), "write": sorted(strict | {_digest(content) for content in written}),
                    "juggle": sorted(strict | {_digest(hostile_owner.JUNK)})},
        "targets": [str(target) for target in targets],
    }
    (OTHERS / "plan.json").write_text(json.dumps(plan))
    return plan


def _digest(content):
    return hashlib.sha256(content).hexdigest()


def _written(content, times):
    """What may come of a capture that is slimmed at any time, and that its owner writes to so many times."""
    found = {content}
    try:
        found.add(reference_slim.slim_capture(content)[0])
    except Exception:  # no capture any more
        pass
    if times:
        for form in list(found):
            cut = [form[:length] for length in hostile_owner.TRUNCATED if len(form) > length]
            for changed in (*cut, form + hostile_owner.APPENDED):
                found |= _written(changed, times - 1)
    return found


def _watch():
    text = "".join(f'[[watch]]\npath = "{path}"\n{options}' for path, options in ATTACKED.values())
    text += f'[[watch]]\npath = "{MARKED}"\nmarker_owner = "{SENSOR[0]}:{SENSOR[1]}"\n'
    text += f'[[watch]]\npath = "{GUARDED}"\nage_minutes = 5256000\n[daemon]\nrescan_minutes = 0.05\n'
    configure("also", text)
    override("directories", f"[Service]\nReadWritePaths={CAPTURES}\n")
    restart()


# ---------------------------------------------------------------- meanwhile

def _begin(plan):
    """Starts everybody; those who feed are the owners of what they feed."""
    processes = {}
    attacks = [(name, name, directory, SENSOR) for name, (directory, _) in ATTACKED.items()]
    attacks += [("marked", "marked", MARKED, SENSOR), ("feed marked", "feed", MARKED, (0, 0)),
                ("feed live", "feed", LIVE, (0, 0))]
    for name, strategy, directory, owner in attacks:
        home = (ALICE / "homes" if owner == SENSOR else CANARY / "home") / name.replace(" ", "-")
        home.mkdir(parents=True)
        os.chown(home, *owner)
        command = ["nice", "-n", "10", "setpriv", f"--reuid={owner[0]}", f"--regid={owner[1]}", "--clear-groups",
                   sys.executable, "-B", hostile_owner.__file__, strategy, directory, home, OTHERS / "plan.json"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        processes[name] = process
        afterwards(process.wait)
        afterwards(process.kill)
    return processes


def _handled():
    totals = json.loads(run("pcap-slimd", "status", "--format", "json").stdout)["totals"]
    return sum(totals[kind] for kind in ("slimmed", "skipped", "failed"))


def _goes_on(seconds, passed):
    return passed < seconds if seconds else passed < AT_MOST and _handled() < HANDLED


def _end(processes):
    """Ends everybody; gives what each said."""
    said = {}
    for process in processes.values():
        process.send_signal(signal.SIGTERM)
    for name, process in processes.items():
        out, error = process.communicate(timeout=120)
        expect(process.returncode == 0, f"the suite itself failed: {name}: {error}")
        said[name] = json.loads(out)
    return said


# ---------------------------------------------------------------- afterwards

def _snapshot():
    """Owner, mode, times and content of everything that is not his."""
    seen = {}
    for root in (CANARY, GUARDED, Path("/etc/shadow"), Path("/etc/passwd"), CONFIG / "config.toml"):
        for path in (root, *sorted(root.rglob("*"))):
            if path.is_relative_to(CANARY / "home") or path.is_relative_to(GUARDED / ".slim_markers"):
                continue
            there = path.lstat()
            is_file = stat.S_ISREG(there.st_mode)
            attributes = {name: os.getxattr(path, name) for name in os.listxattr(path)}
            seen[str(path)] = (there.st_uid, there.st_gid, oct(there.st_mode), attributes,
                               (there.st_size, there.st_mtime_ns, _digest(path.read_bytes())) if is_file else None)
    return seen


def _differences(before, after):
    return [f"{path}: was {before.get(path)}, is {after.get(path)}"
            for path in sorted({*before, *after}) if before.get(path) != after.get(path)]


def _reasons(since):
    """How often captures fared how, and why, by whose directory."""
    counted = Counter()
    for entry in journal(since):
        if text(entry, "PCAP_OUTCOME"):
            reason = re.sub(r"\S*\d\S*", "*", text(entry, "PCAP_REASON"))[:100]
            place = Path(text(entry, "PCAP_FILE")).parent.name
            counted[f"{place}: {text(entry, 'PCAP_OUTCOME')} {reason}"] += 1
    return counted.most_common(60)


def _strangers(plan):
    """Captures and conflicts below his directories that have a content which they never had."""
    wrong, allowed = [], {digest for digests in plan["allowed"].values() for digest in digests}
    allowed.add(_digest(WRITABLE.read_bytes()))
    for directory, _, names in os.walk(ALICE):
        path = Path(directory)
        if path.is_relative_to(ALICE / "homes") and path.name != "private":
            continue  # his own copies, and what he took away
        for name in names:
            file = path / name
            is_capture = name.endswith((".pcap", ".conflict")) and not path.name.startswith(".slim_markers")
            if not (is_capture or path.name == "private") or not stat.S_ISREG(file.lstat().st_mode):
                continue
            content = file.read_bytes()
            if _digest(content) not in allowed and content not in (hostile_owner.JUNK, hostile_owner.EVIL):
                wrong.append(f"{file}: {len(content)} bytes that it never had")
    return wrong


def _in_private():
    """What lies in the private directories of the watched directories."""
    directories = [directory for directory, _ in ATTACKED.values()] + [MARKED, LIVE]
    return [path for directory in directories for path in directory.glob(".slim_markers/private/*")]
