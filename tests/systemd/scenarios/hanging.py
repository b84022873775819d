"""A daemon that hangs is started again by systemd's watchdog.

The whole process hangs when it is stopped (SIGSTOP). One worker hangs when its file system no longer answers, as NFS
does without its server: the captures lie on bindfs, a FUSE file system that mirrors a directory, and bindfs is stopped
while the worker reads and writes through it. The loop is alive then, and only its own judgement can end in the restart.
"""
import os
import signal
import stat
import subprocess
import time
from pathlib import Path

from sensor import (LIVE, SENSOR, UNIT, LeftOut, afterwards, await_slimmed, configure, conversation, cursor, eventually,
                    expect, is_active, messages, new_directory, override, pid, put, restart, run, staging, watch_also)

SHORT = "[Unit]\nStartLimitIntervalSec=0\n[Service]\nWatchdogSec=4s\nTimeoutAbortSec=3s\nRestartSec=100ms\n"


def a_process_that_is_stopped_is_killed_and_started_again():
    override("watchdog", SHORT)
    restart()
    before, since = pid(), cursor()
    run("systemctl", "kill", "--kill-who=main", "--signal=STOP", UNIT)
    eventually(lambda: is_active() and pid() not in (0, before), "systemd starts it again", 30)
    expect(any("Watchdog timeout" in message for message in messages(since)), "it was not the watchdog")
    data = conversation(20_000)
    await_slimmed(put(LIVE / "after-the-watchdog.pcap", data), data)


def an_idle_daemon_is_left_alone_by_the_watchdog():
    override("watchdog", SHORT)
    restart()
    before = pid()
    time.sleep(9)
    expect(is_active() and pid() == before, "it was started again without a reason")


def a_daemon_that_a_budget_slows_down_is_left_alone_by_the_watchdog():
    configure("zz-slow", "[budget]\nmax_io_mbps = 0.3\n")
    override("watchdog", SHORT)
    restart()
    before, data = pid(), conversation(10_000_000)
    path = put(LIVE / "slow-but-alive.pcap", data, age=60)
    eventually(lambda: staging(LIVE), "it is in work")
    time.sleep(10)
    expect(staging(LIVE), "the budget does not slow it: the scenario proves nothing")
    expect(is_active() and pid() == before, "it was started again without a reason")
    configure("zz-slow", "")
    restart()
    await_slimmed(path, data)

# The mirror is a file system in user space, where no lease guards a capture.
UNGUARDED = 'unguarded = "accept"\nunguarded_linger_seconds = 1\n'


def _mirror():
    """A capture directory on FUSE, what it mirrors, and the process that answers for it; for the time of one scenario."""
    device = Path("/dev/fuse")
    try:
        if not device.exists():
            os.mknod(device, 0o666 | stat.S_IFCHR, os.makedev(10, 229))
        behind, front = new_directory("behind"), new_directory("mirror")
        server = subprocess.Popen(["bindfs", "-f", behind, front], stderr=subprocess.DEVNULL)
    except OSError as error:
        raise LeftOut(f"no FUSE here: {error}") from error
    afterwards(server.wait)
    afterwards(server.kill)
    eventually(lambda: os.path.ismount(front) or server.poll() is not None, "it is mounted", 10)
    if not os.path.ismount(front):
        raise LeftOut("no FUSE here")
    afterwards(lambda: run("umount", "--lazy", front, check=False))
    afterwards(lambda: server.send_signal(signal.SIGCONT))
    return front, behind, server


def a_worker_whose_file_system_stops_answering_ends_in_a_restart():
    front, behind, server = _mirror()
    configure("zz-slow", "[budget]\nmax_io_mbps = 2\n")
    override("watchdog", SHORT)
    watch_also("mirror", keys=UNGUARDED)
    data = conversation(20_000_000)
    (behind / "stuck.pcap").write_bytes(data)
    os.chown(behind / "stuck.pcap", *SENSOR)
    os.utime(behind / "stuck.pcap", (0, 0))
    restart()
    eventually(lambda: staging(behind), "it is in work")
    time.sleep(0.5)
    before, since = pid(), cursor()
    server.send_signal(signal.SIGSTOP)
    eventually(lambda: any("Watchdog timeout" in said for said in messages(since)), "the watchdog bites", 60)
    expect((behind / "stuck.pcap").read_bytes() == data, "the capture is not what it was")
    server.send_signal(signal.SIGCONT)
    configure("zz-slow", "")
    eventually(lambda: is_active() and pid() not in (0, before), "systemd starts it again", 60)
    await_slimmed(front / "stuck.pcap", data, 60)
    eventually(lambda: not staging(behind), "nothing stays")


def one_directory_that_hangs_does_not_keep_the_others_from_being_served():
    front, _, server = _mirror()
    watch_also("mirror", keys=UNGUARDED)
    data = conversation(20_000)
    put(front / "hung.pcap", data)
    server.send_signal(signal.SIGSTOP)
    await_slimmed(put(LIVE / "beside-a-hung-one.pcap", data), data)
    expect(is_active(), "it is no longer active")


def a_directory_that_hangs_at_the_start_does_not_keep_the_others_from_being_served():
    front, _, server = _mirror()
    # Not opened in the sandbox: for what is, systemd itself waits before it starts anything.
    configure("mirror", f'[[watch]]\npath = "{front}"\n')
    run("systemctl", "stop", UNIT)
    server.send_signal(signal.SIGSTOP)
    run("systemctl", "start", "--no-block", UNIT)
    data = conversation(20_000)
    await_slimmed(put(LIVE / "beside-one-that-hung-first.pcap", data), data, 30)
