"""What was measured, put on record: the sections of packaging/BENCHMARKS.md and the ratios that CI holds on to.

A section stands between two comments that name it, so that writing it again replaces that section and nothing else.
"""
import json
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
BENCHMARKS = ROOT / "packaging" / "BENCHMARKS.md"
RATIOS = HERE / "ratios.json"
# How much worse a ratio may be than the one on record.
TOLERANCE = 1.25


def markdown(head, rows):
    """A table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def write_section(name, text, page=BENCHMARKS):
    """Replaces what stands between `<!-- name -->` and `<!-- end of name -->`, which must be there once."""
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
    before, found, rest = page.read_text().partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise SystemExit(f"{page} has no section {name}")
    page.write_text(f"{before}{begin}\n{text.strip()}\n\n{end}{after}")


def record(ratios):
    """Puts the ratios on record."""
    RATIOS.write_text(json.dumps(ratios, indent=1) + "\n")


def worse(now):
    """A line for each ratio that fell behind the one on record."""
    for name, limit in json.loads(RATIOS.read_text()).items():
        if name not in now:
            yield f"{name} is on record and was not measured"
        elif now[name] > limit * TOLERANCE:
            yield f"{name}: {now[name]:.3f}, and {limit:.3f} is on record: more than {TOLERANCE} times as much"
