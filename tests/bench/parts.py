"""The parts: runs the criterion benchmarks and reads what they left below target/criterion.

What each measures, and on what, is told at the head of its file in benches/.
"""
import json
import os
import subprocess

from record import ROOT, markdown

BENCHES = ("core", "containers", "reader", "tables")


def run():
    """Runs them; those on record from before are forgotten."""
    subprocess.run(["rm", "-rf", ROOT / "target" / "criterion"], check=True)
    for bench in BENCHES:
        subprocess.run(["cargo", "bench", "--quiet", "--bench", bench], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


def table():
    """Each with the median of its times, and bytes or things a second."""
    found = sorted((ROOT / "target" / "criterion").glob("**/new/benchmark.json"), key=os.path.getmtime)
    return markdown(["part", "time", "throughput"], [row(path) for path in found])


def row(path):
    what = json.loads(path.read_text())
    nanoseconds = json.loads((path.parent / "estimates.json").read_text())["median"]["point_estimate"]
    return [what["full_id"], f"{nanoseconds / 1e6:.2f} ms", throughput(what.get("throughput"), nanoseconds)]


def throughput(amount, nanoseconds):
    """Criterion tells how many bytes or elements one time was for."""
    unit, count = next(iter((amount or {}).items()), (None, 0))
    if unit is None:
        return ""
    rate = count / nanoseconds
    return f"{rate:.2f} GB/s" if unit.startswith("Bytes") else f"{rate * 1e3:.1f} million/s"
