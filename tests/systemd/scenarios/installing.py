"""From a file named .deb to a running daemon: what an operator does first. Everything else needs this."""
import gzip
import pwd
import stat
from pathlib import Path

from sensor import (CAPTURES, CONFIG, LIVE, OUTSIDE, PACKAGE, SENSOR, SUITE_CONFIG, UNIT, configure, cursor, expect,
                    is_active, messages, new_directory, open_directories, property, run)


def the_package_installs_on_a_bare_system():
    run("dpkg", "--install", PACKAGE)
    expect(not run("dpkg", "--audit").stdout, "dpkg is not content")
    damaged = run("dpkg", "--verify", "pcap-slimd").stdout
    expect(not damaged, f"what lies on the disk is not what is in the package: {damaged}")


def installing_enables_and_starts_nothing():
    enabled = run("systemctl", "is-enabled", UNIT, check=False).stdout.strip()
    expect(enabled == "disabled", f"the unit is {enabled}")
    expect(property("ActiveState") == "inactive", f"the unit is {property('ActiveState')}")
    expect(not list(Path("/etc/systemd/system").rglob("*pcap-slim*")), "something lies in /etc/systemd/system")


def the_daemon_gets_a_user_without_a_shell_and_without_a_home_to_log_in_to():
    user = pwd.getpwnam(property("User"))
    expect(0 < user.pw_uid < 1000, f"it is user {user.pw_uid}")
    expect(user.pw_shell.endswith(("nologin", "false")), f"its shell is {user.pw_shell}")


def the_unit_is_sound():
    said = run("systemd-analyze", "verify", "--man=no", UNIT)
    expect("pcap-slimd" not in said.stderr, said.stderr)


def the_manual_pages_say_what_they_are():
    files = run("dpkg", "--listfiles", "pcap-slimd").stdout.split()
    for page in ("man8/pcap-slimd.8", "man1/pcap-slim.1", "man5/pcap-slimd.toml.5"):
        there = [file for file in files if f"/{page}" in file]
        expect(there, f"no {page}")
        raw = Path(there[0]).read_bytes()
        source = (gzip.decompress(raw) if there[0].endswith(".gz") else raw).decode()
        expect(".TH" in source and ".SH" in source, f"{page} is no manual page")


def unconfigured_it_says_what_is_missing_and_does_not_try_for_ever():
    since = cursor()
    expect(run("systemctl", "start", UNIT, check=False).returncode != 0, "it starts with nothing to watch")
    expect(property("ExecMainStatus") == "78", f"it ended with {property('ExecMainStatus')}")
    expect(property("ActiveState") == "failed", f"it is {property('ActiveState')}")
    expect(property("NRestarts") == "0", "it was started again")
    expect(any("watch" in message for message in messages(since)), "nothing says that there is nothing to watch")
    run("systemctl", "reset-failed", UNIT)


def the_configuration_is_one_edit_and_the_directories_are_opened_by_one_command():
    run("systemctl", "stop", UNIT)
    new_directory("live")
    OUTSIDE.mkdir(exist_ok=True)
    with (CONFIG / "config.toml").open("a") as config:
        config.write(f'\n[[watch]]\npath = "{LIVE}"\n')
    configure("suite", SUITE_CONFIG)
    run("pcap-slimd", "check-config")
    open_directories()
    writable = property("ReadWritePaths").replace("-/", "/").split()
    expect(str(LIVE) in writable, f"writable are {writable}")
    expect(str(CAPTURES) not in writable, f"more than the configured directory is open: {writable}")
    expect(stat.S_IMODE(LIVE.stat().st_mode) == 0o770 and LIVE.stat().st_uid == SENSOR[0], "the directory is changed")


def enable_now_reaches_active_and_tells_what_it_does():
    run("systemctl", "enable", "--now", UNIT)
    expect(is_active(), f"it is {property('ActiveState')}")
    expect(property("Type") == "notify", f"its type is {property('Type')}")
    expect(property("StatusText"), "systemctl status has no line from it")
    expect(int(property("WatchdogUSec") not in ("0", "infinity")), "no watchdog looks after it")
