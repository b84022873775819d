#!/usr/bin/env python3
"""Judges the evidence policy on real captures.

    corpus.py PCAP_SLIM CORPUS

Copies every capture of a folder, converted to classic pcap by editcap where it is none, slims the copies, and has the
judge say what was lost: nothing may be. At most 75 % may be left of the Ethernet captures in a folder ndpi.
"""
import subprocess
import sys
import tempfile
from pathlib import Path

import suite

CLASSIC = (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1", b"\xa1\xb2\xc3\xd4", b"\xa1\xb2\x3c\x4d")
MOST_LEFT = "ndpi", 75


def collect(corpus, target):
    """Copies as classic captures; -> (captures, those converted, names of those that cannot be)."""
    copied, converted, refused = 0, 0, []
    for path in sorted(path for path in corpus.rglob("*") if path.is_file()):
        name = path.relative_to(corpus)
        copy = target / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        content = path.read_bytes()
        if content[:4] in CLASSIC:
            copy.write_bytes(content)
            copied += 1
            continue
        done = subprocess.run(["editcap", "-F", "pcap", path, copy], capture_output=True, check=False)
        if done.returncode == 0 and copy.read_bytes()[:4] in CLASSIC:
            converted += 1
        else:
            copy.unlink(missing_ok=True)
            refused.append(str(name))
    return copied, converted, refused


def main():
    program, corpus = Path(sys.argv[1]).resolve(), Path(sys.argv[2])
    with tempfile.TemporaryDirectory() as folder:
        before, after = Path(folder) / "before", Path(folder) / "after"
        copied, converted, refused = collect(corpus, before)
        print(f"{copied} classic captures, {converted} converted; no classic capture can be made of: {', '.join(refused)}")
        suite.slim(program, "evidence", before, after)
        judge = [sys.executable, Path(__file__).parent / "judge.py", "--folders", before, after]
        if (before / MOST_LEFT[0]).is_dir():
            judge[2:2] = ["--at-most", f"{MOST_LEFT[0]}={MOST_LEFT[1]}"]
        return subprocess.run(judge, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
