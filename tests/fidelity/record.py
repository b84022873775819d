#!/usr/bin/env python3
"""Records captures of real programs, and alters them.

    record.py [--only NAME]... DIRECTORY        every recorder, each in namespaces of its own; needs root
    record.py --list

Writes NAME.pcap to DIRECTORY/whole, altered and snapped-LENGTH (see capture.py). Says of each recorder "ok - ", "not
ok - ", or "left out - " with the reason. Exit status 0 when none is "not ok"; a program that is not installed is
left out, and where CI is set it is a failure. `recorders/` holds how each capture is made.
"""
import argparse
import concurrent.futures
import importlib
import os
import pickle
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path

import capture
from machine import RECORDERS, Impossible, Missing, Place, require

HERE = Path(__file__).resolve().parent
LONGEST = 90  # seconds for one recorder
AT_ONCE = 6  # they mostly wait
DONE, FAILED, LEFT_OUT, MISSING = 0, 1, 3, 4
NAMESPACES = ("unshare", "--net", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child",
              "--mount-proc")

for module in sorted((HERE / "recorders").glob("[a-z]*.py")):
    importlib.import_module(f"recorders.{module.stem}")


def record_here(name, output):
    """Within namespaces of our own: makes one capture; -> exit status."""
    recorder = RECORDERS[name]
    try:
        require(recorder.needs)
        with tempfile.TemporaryDirectory() as folder:
            os.chmod(folder, 0o755)  # servers read in it that are not root
            place = Place(Path(folder))
            recorder.record(place)
        output.write_bytes(pickle.dumps(place.packets))
    except Missing as error:
        print(f"not installed: {error}")
        return MISSING
    except Impossible as error:
        print(f"not possible on this machine: {error}")
        return LEFT_OUT
    except Exception:  # whatever a recorder met is what there is to tell
        traceback.print_exc(limit=-2, file=sys.stdout)
        return FAILED
    return DONE


def record(name, output):
    """-> (exit status, what was said) of a recorder in new namespaces."""
    command = [*NAMESPACES, sys.executable, "-B", __file__, "--here", name, str(output)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=LONGEST)
    except subprocess.TimeoutExpired:
        return FAILED, f"not done after {LONGEST} s"
    return done.returncode, (done.stdout + done.stderr).strip()


def record_and_write(name, directory):
    """-> whether it went well; says so."""
    with tempfile.TemporaryDirectory() as folder:
        packed = Path(folder) / "packets"
        status, said = record(name, packed)
        packets = pickle.loads(packed.read_bytes()) if status == DONE else []
    is_fatal = status not in (DONE, LEFT_OUT) and not (status == MISSING and not os.environ.get("CI"))
    if status == DONE and not packets:
        is_fatal, said = True, "no packet was recorded"
    if packets:
        capture.write_all(directory, f"{name}.pcap", packets)
        print(f"ok - recorded {name}: {len(packets)} packets", flush=True)
    else:
        print(f"{'not ok' if is_fatal else 'left out'} - {name}: {said}", flush=True)
    return not is_fatal


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--only", action="append", metavar="NAME")
    parser.add_argument("--here", metavar="NAME", help=argparse.SUPPRESS)
    parser.add_argument("directory", type=Path, nargs="?")
    arguments = parser.parse_args()
    if arguments.list:
        print("\n".join(RECORDERS))
        return 0
    if arguments.directory is None:
        parser.error("the directory is missing")
    if arguments.here:
        return record_here(arguments.here, arguments.directory)
    arguments.directory.mkdir(exist_ok=True)
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        names = arguments.only or RECORDERS
        done = list(pool.map(lambda name: record_and_write(name, arguments.directory), names))
    return 0 if all(done) else 1


if __name__ == "__main__":
    sys.exit(main())
