"""What fails for a while is tried again: full disks, directories that are missing, replaced, or mounted later."""
import os
import time

from sensor import (AGE, CAPTURES, LIVE, SENSOR, await_slimmed, configure, conversation, cursor, eventually, expect,
                    failed_marker, is_active, marker, messages, new_directory, override, pid, put, reload, restart,
                    run, size_of, small_disk, staging, watch_also)


def _told(since, path, word):
    return [message for message in messages(since) if path.name in message and word in message]


def a_full_disk_is_told_and_harmless_and_over_when_there_is_room_again():
    small = small_disk("small", 8)
    (small / "ballast").write_bytes(bytes(5_000_000))
    data, since = conversation(2_600_000), cursor()
    path = small / "squeezed.pcap"
    path.write_bytes(data)
    watch_also("small")
    eventually(lambda: _told(since, path, "space"), "the journal tells it")
    expect(path.read_bytes() == data, "the capture is not what it was")
    expect(not failed_marker(path).exists(), "it is given up for ever")
    eventually(lambda: not staging(small), "nothing stays")
    (small / "ballast").unlink()
    await_slimmed(path, data, 90)  # tried again after a minute
    expect(len(_told(since, path, "space")) <= 2, "it was told again and again")


def a_disk_that_fills_while_a_capture_is_written_is_harmless():
    small = small_disk("small", 64)
    data, since = conversation(20_000_000), cursor()
    path = small / "surprised.pcap"
    path.write_bytes(data)
    configure("zz-slow", "[budget]\nmax_io_mbps = 2\n")
    watch_also("small")
    # What is slimmed comes to the disk in blocks of a megabyte.
    eventually(lambda: any(size_of(file) for file in staging(small)), "it is being written", 40)
    with (small / "ballast").open("wb", buffering=0) as ballast:
        try:
            while ballast.write(bytes(1 << 16)):
                pass
        except OSError:
            pass  # full
    eventually(lambda: _told(since, path, "space"), "the journal tells it", 30)
    expect(path.read_bytes() == data and not failed_marker(path).exists(), "the capture is not what it was")
    eventually(lambda: not staging(small), "nothing stays")
    (small / "ballast").unlink()
    configure("zz-slow", "")
    restart()
    await_slimmed(path, data)


def a_directory_that_is_missing_is_told_once_and_holds_up_no_other():
    since = cursor()
    watch_also("missing")
    expect(is_active(), "it does not start")
    eventually(lambda: any("captures/missing" in message for message in messages(since)), "the journal names it")
    data = conversation(20_000)
    await_slimmed(put(LIVE / "while-one-is-missing.pcap", data), data)
    told = [message for message in messages(since) if "captures/missing" in message]
    expect(len(told) == 1, f"told as {told}")


def a_directory_that_appears_later_is_watched():
    override("wide", f"[Service]\nReadWritePaths={CAPTURES}\n")
    watch_also("late")
    before, data = pid(), conversation(20_000)
    late = new_directory("late")
    await_slimmed(put(late / "at-last.pcap", data), data, 30)
    expect(pid() == before, "it is another process")


def a_directory_that_appears_outside_the_sandbox_is_harmless_until_a_restart_opens_it():
    watch_also("later")
    data, since = conversation(20_000), cursor()
    path = put(new_directory("later") / "locked-out.pcap", data, age=60)
    eventually(lambda: any("later" in message for message in messages(since)), "the journal tells it", 30)
    expect(path.read_bytes() == data and not marker(path).exists(), "the capture is not what it was")
    restart()
    await_slimmed(path, data)


def a_directory_that_is_replaced_is_left_alone_until_a_reload():
    override("wide", f"[Service]\nReadWritePaths={CAPTURES}\n")
    fresh = new_directory("replaced")
    watch_also("replaced")
    before, data = pid(), conversation(20_000)
    await_slimmed(put(fresh / "before.pcap", data), data)
    since = cursor()
    fresh.rename(CAPTURES / "replaced.old")
    new_directory("replaced")
    after = put(fresh / "after.pcap", data)
    stranger = put(CAPTURES / "replaced.old" / "behind-the-back.pcap", data)
    eventually(lambda: _told(since, fresh, "replaced"), "the journal tells it")
    time.sleep(AGE + 1)
    expect(stranger.read_bytes() == data, "the old directory is still watched")
    expect(after.read_bytes() == data, "the new directory is watched already")
    reload()
    await_slimmed(after, data, 30)
    expect(stranger.read_bytes() == data, "the old directory is watched again")
    expect(pid() == before, "it is another process")


def a_file_system_that_is_mounted_later_is_watched_after_a_reload():
    point = new_directory("mounted-later")
    configure("zz-rescan", "[daemon]\nrescan_minutes = 0.05\n")  # a mount is no event in the directory
    watch_also("mounted-later")
    before, data, since = pid(), conversation(20_000), cursor()
    small_disk("mounted-later", 8)
    path = point / "on-the-new-one.pcap"
    path.write_bytes(data)
    os.chown(path, *SENSOR)
    eventually(lambda: _told(since, point, "replaced"), "the journal tells it", 30)
    reload()
    await_slimmed(path, data, 30)
    expect(pid() == before, "it is another process")


def a_file_system_that_is_unmounted_is_let_go_at_once():
    gone = small_disk("gone", 8)
    watch_also("gone")
    data = conversation(20_000)
    path = gone / "there.pcap"
    path.write_bytes(data)
    await_slimmed(path, data)
    # Not lazily: nothing may hold it, once the original has lingered.
    eventually(lambda: run("umount", gone, check=False).returncode == 0, "it is unmounted")
