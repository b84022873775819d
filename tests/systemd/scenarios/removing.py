"""`apt purge`: the program and its configuration go, the captures and what is known about them stay."""
import hashlib
import pwd
from pathlib import Path

from sensor import LIVE, UNIT, eventually, expect, is_installed, run


def _files(directory):
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(directory.rglob("*")) if path.is_file()}


def purging_leaves_captures_and_markers_and_nothing_of_its_own():
    # Originals linger for a moment.
    eventually(lambda: not any((LIVE / ".slim_markers/private").iterdir()), "no original lingers")
    before = _files(LIVE)
    expect(any(".slim_markers" in str(path) for path in before) and len(before) > 10, "there is nothing to lose")
    files = [Path(line) for line in run("dpkg", "--listfiles", "pcap-slimd").stdout.splitlines()]
    ours = [path for path in files if "pcap-slim" in path.name]
    run("dpkg", "--purge", "pcap-slimd")
    expect(not is_installed(), "dpkg still has it")
    left = [str(path) for path in ours if path.exists() and path != Path("/etc/pcap-slimd")]
    expect(not left, f"{left} stayed")
    expect(not run("pgrep", "--exact", "pcap-slimd", check=False).stdout, "it still runs")
    state = run("systemctl", "is-enabled", UNIT, check=False).stdout.strip()
    expect(state in ("", "not-found"), f"the unit is {state}")
    links = [str(path) for path in Path("/etc/systemd/system").rglob("*.wants/*pcap-slim*")]
    expect(not links, f"{links} stayed")
    expect(not Path("/run/pcap-slimd").exists(), "its runtime directory stayed")
    expect(_files(LIVE) == before, "captures or markers changed")


def what_belongs_to_the_captures_still_has_an_owner():
    uids = {path.stat().st_uid for path in (LIVE / ".slim_markers").rglob("*")}
    for uid in uids:
        if 0 < uid < 1000:
            expect(pwd.getpwuid(uid).pw_name, f"markers belong to {uid}, which the next package may take for itself")
