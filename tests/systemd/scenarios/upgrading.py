"""A newer package over a running daemon. The last of the first boot: the reboot finds what this leaves."""
import shutil
from pathlib import Path

from sensor import (CONFIG, LIVE, PACKAGE, UNIT, await_slimmed, conversation, expect, is_active, marker, pid, property,
                    put, run)

NEWER = Path("/root/newer.deb")


def _make_newer():
    """The same package with a higher version and a shipped configuration that says something else."""
    tree = Path("/root/newer")
    shutil.rmtree(tree, ignore_errors=True)
    run("dpkg-deb", "--raw-extract", PACKAGE, tree)
    control = tree / "DEBIAN/control"
    lines = [f"{line}+newer" if line.startswith("Version:") else line for line in control.read_text().splitlines()]
    control.write_text("\n".join(lines) + "\n")
    config = tree / "etc/pcap-slimd/config.toml"
    config.write_text(config.read_text() + "\n# a newer word of the shipped file\n")
    (tree / "DEBIAN/md5sums").unlink(missing_ok=True)
    run("dpkg-deb", "--root-owner-group", "--build", tree, NEWER)


def an_upgrade_runs_the_new_daemon_and_keeps_the_operators_configuration():
    data = conversation(20_000)
    done = put(LIVE / "before-the-upgrade.pcap", data)
    await_slimmed(done, data)
    before, config, written = pid(), (CONFIG / "config.toml").read_text(), marker(done).stat()
    _make_newer()
    run("dpkg", "--force-confold", "--install", NEWER)
    version = run("dpkg-query", "--show", "--showformat=${Version}", "pcap-slimd").stdout
    expect(version.endswith("+newer"), f"installed is {version}")
    expect(is_active() and pid() != before, "the old process is still running")
    executable = Path(f"/proc/{pid()}/exe").readlink()
    expect("deleted" not in str(executable), f"it runs {executable}")
    expect((CONFIG / "config.toml").read_text() == config, "the operator's configuration is lost")
    expect(run("systemctl", "is-enabled", UNIT, check=False).stdout.strip() == "enabled", "it is no longer enabled")
    again = put(LIVE / "after-the-upgrade.pcap", data)
    await_slimmed(again, data)
    expect(marker(done).stat().st_mtime_ns == written.st_mtime_ns, "what was slimmed was taken up again")


def an_upgrade_of_a_stopped_daemon_does_not_start_it():
    run("systemctl", "stop", UNIT)
    run("dpkg", "--force-confold", "--install", NEWER)
    expect(property("ActiveState") == "inactive", f"it is {property('ActiveState')}")
    run("systemctl", "start", UNIT)


def removing_stops_it_and_installing_again_finds_the_configuration():
    config = (CONFIG / "config.toml").read_text()
    run("dpkg", "--remove", "pcap-slimd")
    expect(property("ActiveState") == "inactive", f"it is {property('ActiveState')}")
    expect((CONFIG / "config.toml").read_text() == config, "the configuration is lost")
    run("dpkg", "--force-confold", "--install", NEWER)
    run("systemctl", "enable", "--now", UNIT)
    data = conversation(20_000)
    await_slimmed(put(LIVE / "installed-again.pcap", data), data)
    # For the next boot: one that is due then.
    run("systemctl", "stop", UNIT)
    put(LIVE / "before-the-reboot.pcap", conversation(30_000))
