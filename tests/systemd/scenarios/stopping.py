"""The daemon ends in the middle of its work, by request and by force; captures are whole at every instant."""
import random
import time

from sensor import (GRACE, LIVE, UNIT, await_slimmed, configure, conversation, cursor, eventually, expect, is_active,
                    marker, messages, override, pid, property, put, reload, restart, run, slimmed, staging)

SLOW = "[budget]\nworkers = 4\nmax_io_mbps = 4\n"


def _load(name, count=6, size=6_000_000):
    """More captures than a slow daemon slims in a while, and what each must be in the end."""
    return {put(LIVE / f"{name}-{number}.pcap", data, age=60): data
            for number in range(count) for data in [conversation(size, seed=number)]}


def _are_whole(load):
    for path, data in load.items():
        there = path.read_bytes()
        expect(there == data or there == slimmed(data), f"{path.name} is neither the capture nor its slimmed form")


def sigterm_under_load_ends_within_the_grace_and_leaves_captures_whole():
    configure("zz-slow", SLOW)
    restart()
    load = _load("term")
    eventually(lambda: staging(LIVE), "work is under way")
    began = time.monotonic()
    run("systemctl", "stop", UNIT)
    took = time.monotonic() - began
    expect(took < GRACE + 1, f"it took {took:.1f} s")
    expect(property("Result") == "success", f"systemd says {property('Result')}")
    eventually(lambda: not staging(LIVE), "nothing stays")
    _are_whole(load)
    expect(any(path.read_bytes() == data for path, data in load.items()), "all was done: the scenario proves nothing")
    configure("zz-slow", "")
    run("systemctl", "start", UNIT)
    for path, data in load.items():
        await_slimmed(path, data)


def kill_9_under_load_is_followed_by_a_restart_that_finishes_the_work():
    configure("zz-slow", SLOW)
    override("often", "[Unit]\nStartLimitIntervalSec=0\n[Service]\nRestartSec=100ms\n")
    restart()
    load = _load("kill")
    for _ in range(5):
        eventually(lambda: staging(LIVE), "work is under way")
        time.sleep(random.uniform(0, 0.5))
        before = pid()
        run("systemctl", "kill", "--kill-who=main", "--signal=KILL", UNIT)
        _are_whole(load)
        eventually(lambda: is_active() and pid() not in (0, before), "systemd starts it again")
    configure("zz-slow", "")
    reload()
    for path, data in load.items():
        await_slimmed(path, data, 40)
    eventually(lambda: not staging(LIVE), "nothing stays")


def what_is_slimmed_is_not_slimmed_again_after_a_restart():
    path, since = LIVE / "told.pcap", cursor()
    if not path.exists():
        data = conversation(20_000)
        await_slimmed(put(path, data), data)
        eventually(lambda: any("slimmed told.pcap" in message for message in messages(since)), "it is told")
        since = cursor()
    before, written = path.stat(), marker(path).stat()
    restart()
    data = conversation(20_000)
    await_slimmed(put(LIVE / "after-restart.pcap", data), data)
    expect(path.stat() == before or path.stat().st_ctime_ns == before.st_ctime_ns, "the capture was written again")
    expect(marker(path).stat().st_mtime_ns == written.st_mtime_ns, "its marker was written again")
    expect(not any("slimmed told.pcap" in message for message in messages(since)), "it was told again")
