#!/usr/bin/env python3
"""Slims the recordings under the evidence policy and judges them.

    suite.py PCAP_SLIM DIRECTORY

DIRECTORY is what record.py wrote. Of each recording, whole, altered or snapped: nothing that tshark reads is lost or
invented, its readable words stand in it as often as before, and slimming it again changes nothing. What the recorder
says must be readable in it is there, and something is cut of the whole one, or nothing where it says so. At the end the
reference policy is judged on the same recordings: a judge that finds no loss there would find none anywhere.
"""
import shutil
import subprocess
import sys
from pathlib import Path

import record
from judge import Sum, judge_all, known_fields, tell

# The altered recording begins with the whole one, which tshark need not read again.
WHOLE, ALTERED, SNAPPED = "whole", "altered", "snapped-*"
SHOWN = 5


def slim(program, policy, source, target):
    """A slimmed copy of a directory, without markers."""
    shutil.copytree(source, target)
    subprocess.run([program, "--dir", target, "--recursive", "--policy", policy], check=True, stdout=subprocess.DEVNULL)
    for markers in list(target.rglob(".slim_markers")):
        shutil.rmtree(markers)


def captures(before, after, folders, fields):
    """What judge_all takes of recordings in folders of these names."""
    for path in sorted(path for folder in folders for path in before.glob(f"{folder}/*.pcap")):
        name = path.relative_to(before)
        recorder = record.RECORDERS[path.stem]
        misread = recorder.misread if name.match(f"{SNAPPED}/*") else ()
        yield str(name), path, after / name, [field for field in fields if field not in misread], recorder.decode


def complaints(name, before, after, again):
    """What is wrong with a slimmed recording that can be seen without tshark; the arguments are directories."""
    recorder = record.RECORDERS[name.stem]
    before, after, again = (directory / name for directory in (before, after, again))
    before, after, again = before.read_bytes(), after.read_bytes(), again.read_bytes()
    if after != again:
        yield "slimming it again changes it"
    for word in recorder.words:
        counts = before.count(word), after.count(word)
        if counts[0] != counts[1]:
            yield f"{word!r} stood in it {counts[0]} times and does {counts[1]} times"
    if name.parts[0] == WHOLE:
        yield from (f"{word!r} is not in it" for word in recorder.words if word not in before)
        if recorder.is_cut == (before == after):
            yield "nothing of it is cut" if recorder.is_cut else "some of it is cut"


def judge_recordings(program, before, after, again):
    """Prints what is lost and the figures; -> whether all is well."""
    slim(program, "evidence", before, after)
    slim(program, "evidence", after, again)
    names = sorted(path.relative_to(before) for path in before.rglob("*.pcap"))
    found = [f"{name}: {complaint}" for name in names for complaint in complaints(name, before, after, again)]
    fields, unknown = known_fields()
    print("this tshark does not know:", *unknown)
    verdicts = judge_all(captures(before, after, (ALTERED, SNAPPED), fields))
    for verdict in verdicts:
        tell(verdict, SHOWN)
        if verdict.name.startswith(ALTERED):
            wanted = record.RECORDERS[Path(verdict.name).stem].fields
            found += [f"{verdict.name}: tshark reads no {name} in it" for name in wanted if not verdict.counts[name]]
    print(*found, sep="\n")
    # Of what tshark cannot read nothing is known, and these are captures that it can.
    is_good = verdicts and not found and all(verdict.is_good() and not verdict.unreadable for verdict in verdicts)
    print(f"{'ok' if is_good else 'not ok'} - nothing readable is lost from recordings: {Sum.of(verdicts)}")
    return is_good


def judge_reference(program, before, after):
    """The reference policy loses evidence; -> whether the judge sees that."""
    slim(program, "reference", before / ALTERED, after / ALTERED)
    fields, _ = known_fields()
    recordings = captures(before, after, (ALTERED,), fields)
    figures = Sum.of(judge_all(each for each in recordings if each[0].startswith(f"{ALTERED}/tls-1.")))
    print(f"{'ok' if figures.lost else 'not ok'} - the judge sees what the reference policy loses: {figures}")
    return figures.lost > 0


def main():
    program, before = Path(sys.argv[1]).resolve(), Path(sys.argv[2])
    folder = before.parent
    is_good = judge_recordings(program, before, folder / "evidence", folder / "again")
    return 0 if judge_reference(program, before, folder / "reference") and is_good else 1


if __name__ == "__main__":
    sys.exit(main())
