"""Captures of every kind arrive in every way, with the tools that sensors use, in a 0770 directory of another user."""
import gzip
import os
import shutil
import socket
import statistics
import subprocess
import threading
import time

import packets
from sensor import (AGE, LIVE, OUTSIDE, await_slimmed, conversation, cursor, eventually, expect, failed_marker,
                    journal, marker, outcomes, put, run, slimmed, staging, text)


def _talk(seconds):
    """TLS records over a real connection on port 443, for so long."""
    server = socket.create_server(("127.0.0.1", 443))

    def drain():
        connection, _ = server.accept()
        with connection:
            while connection.recv(1 << 16):
                pass

    listener = threading.Thread(target=drain)
    listener.start()
    with socket.create_connection(("127.0.0.1", 443)) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            client.sendall(packets.record(length=900))
            time.sleep(0.02)
    listener.join()
    server.close()


# What was busy is tried again after a minute at the earliest: meanwhile the other scenarios run.
BUSY = {}
# How long an original stays after it was replaced, in seconds: the default of linger_ms.
LINGER = 1


def a_capture_that_tcpdump_has_open_is_not_touched():
    path = LIVE / "tcpdump.pcap"
    recorder = subprocess.Popen(["tcpdump", "-i", "lo", "-U", "-s", "0", "-Z", "root", "-w", path],
                                stderr=subprocess.DEVNULL)
    try:
        eventually(path.exists, "tcpdump writes")
        _talk(1)
        inode = path.stat().st_ino
        written = eventually(lambda: len(path.read_bytes()) > 1000 and path.read_bytes(), "packets are recorded")
        time.sleep(AGE + 1.5)  # older than the age, and still open
        expect(path.stat().st_ino == inode, "it was replaced while tcpdump wrote")
        expect(path.read_bytes().startswith(written), "it was changed while tcpdump wrote")
        expect(not marker(path).exists(), "it was marked while tcpdump wrote")
        _talk(1)
    finally:
        recorder.terminate()
        recorder.wait()
    whole = path.read_bytes()
    expect(path.stat().st_ino == inode and len(whole) > len(written), "tcpdump's own packets are gone")
    expect(len(slimmed(whole)) < len(whole) / 2, "there was hardly anything to cut: the capture proves nothing")
    BUSY[path] = whole


def a_capture_that_somebody_has_open_for_writing_is_not_touched_and_no_failure():
    data, since = conversation(20_000), cursor()
    path = put(LIVE / "held.pcap", data)
    with path.open("r+b"):
        time.sleep(AGE + 1.5)
        expect(path.read_bytes() == data, "it was touched")
        alarming = [e for e in journal(since) if text(e, "PRIORITY") <= "4" and "held.pcap" in text(e)]
        expect(not alarming, "that somebody writes is told as a failure")
    BUSY[path] = data


def a_capture_that_is_moved_in_is_slimmed():
    data = conversation(100_000)
    await_slimmed(put(LIVE / "moved.pcap", data), data)


def a_capture_that_cp_brings_is_slimmed():
    data = conversation(100_000)
    source = put(OUTSIDE / "copied.pcap", data)
    run("cp", source, LIVE / "copied.pcap")
    await_slimmed(LIVE / "copied.pcap", data)


def a_capture_that_rsync_brings_is_slimmed_and_keeps_its_old_time():
    data = conversation(100_000)
    source = put(OUTSIDE / "synced.pcap", data, age=3600)
    run("rsync", "--archive", source, f"{LIVE}/")
    await_slimmed(LIVE / "synced.pcap", data)
    expect((LIVE / "synced.pcap").stat().st_mtime_ns // 10**9 == source.stat().st_mtime_ns // 10**9, "its time is lost")


def a_capture_that_grows_for_a_while_is_slimmed_once_it_has_rested():
    data, path, since = conversation(60_000), LIVE / "growing.pcap", cursor()
    size = len(data) // 6
    for begin in range(0, len(data), size):
        with path.open("ab") as file:  # closed after each piece: only its age protects it
            file.write(data[begin:begin + size])
        time.sleep(AGE / 2)
        expect(path.read_bytes() == data[:begin + size], "it was touched while it grew")
    await_slimmed(path, data)
    expect(len(eventually(lambda: outcomes(path, since), "it is told")) == 1, "it was taken up more than once")


def captures_are_taken_up_within_a_second_of_being_due_and_never_before():
    late = []
    for number in range(5):
        data, since = conversation(20_000), cursor()
        path = put(LIVE / f"punctual-{number}.pcap", data)
        due = path.stat().st_mtime + AGE
        await_slimmed(path, data)
        told = eventually(lambda: outcomes(path, since, "slimmed"), "it is told")[0]
        # It is told when the original has lingered.
        taken = int(told["__REALTIME_TIMESTAMP"]) / 1e6 - int(told["PCAP_ELAPSED_MS"]) / 1e3 - LINGER
        late.append(taken - due)
    expect(min(late) > -0.01, f"taken up {-min(late):.3f} s before it was due")
    expect(statistics.median(late) < 1, f"taken up so many seconds after they were due: {late}")


def owner_mode_time_and_extended_attributes_stay():
    data = conversation(50_000)
    path = put(LIVE / "kept.pcap", data, mode=0o604, owner=(1234, 4321))
    os.setxattr(path, "user.origin", b"tap 3") if _has_xattrs() else None
    before = path.stat()
    await_slimmed(path, data)
    after = path.stat()
    expect(after.st_ino != before.st_ino, "it was not replaced: the scenario proves nothing")
    for what in ("st_uid", "st_gid", "st_mode", "st_mtime_ns"):
        expect(getattr(after, what) == getattr(before, what), f"{what}: {getattr(before, what)} {getattr(after, what)}")
    if _has_xattrs():
        expect(os.getxattr(path, "user.origin") == b"tap 3", "the extended attribute is lost")


def _has_xattrs():
    try:
        os.setxattr(OUTSIDE, "user.probe", b"")
    except OSError:
        return False
    return True


def a_name_made_to_deceive_is_slimmed_and_cannot_forge_a_line_of_the_journal():
    data, since = conversation(30_000), cursor()
    name = os.fsdecode(b"evil\nslimmed all.pcap: 9 GB -> 0 B\x1b[2J\xff\xe2\x80\xae.pcap")
    path = put(LIVE / name, data)
    await_slimmed(path, data)
    told = eventually(lambda: [e for e in journal(since) if text(e, "PCAP_OUTCOME") == "slimmed"], "it is told")
    expect(len(told) == 1, f"{len(told)} entries for one capture")
    for entry in journal(since):
        for field, value in entry.items():
            said = text(entry, field) if isinstance(value, (str, list)) else ""
            expect(said.isprintable(), f"{field} has what cannot be printed: {said!r}")
            expect(not said.startswith("slimmed all"), "the name forged a line")
    path.unlink()


def a_torn_capture_is_slimmed_up_to_its_last_whole_record():
    data = conversation(50_000)[:-777]
    await_slimmed(put(LIVE / "torn.pcap", data), data)


def a_capture_without_packets_is_left_as_it_is_and_marked():
    data = packets.capture([])
    path = put(LIVE / "nothing.pcap", data)
    await_slimmed(path, data)


def _is_given_up_once(path, data):
    since = cursor()
    put(path, data)
    eventually(lambda: failed_marker(path).exists() or marker(path).exists(), "it is judged")
    if not failed_marker(path).exists():
        return False
    os.utime(path.parent)
    time.sleep(AGE + 1)
    told = outcomes(path, since)
    expect(len(told) == 1, f"told {len(told)} times")
    expect(text(told[0], "PCAP_OUTCOME") == "failed" and text(told[0], "PCAP_REASON"), "no reason is given")
    expect(path.read_bytes() == data, "it was changed")
    return True


def an_empty_file_is_given_up_once_and_left_alone():
    expect(_is_given_up_once(LIVE / "empty.pcap", b""), "it counts as slimmed")


def rubbish_is_given_up_once_and_left_alone():
    expect(_is_given_up_once(LIVE / "rubbish.pcap", b"no capture at all" * 1000), "it counts as slimmed")


def a_pcapng_capture_is_given_up_once_or_loses_no_packet():
    path = LIVE / "next.pcapng"
    interface = b"\1\0\0\0\x14\0\0\0\1\0\0\0\0\0\4\0\x14\0\0\0"
    section = b"\x0a\x0d\x0d\x0a\x1c\0\0\0\x4d\x3c\x2b\x1a\1\0\0\0" + b"\xff" * 8 + b"\x1c\0\0\0"
    frame = packets.ethernet(packets.ipv4(packets.tcp(packets.record(length=1200)))) + b"\0\0"
    block = (6, 32 + len(frame), 0, 0, 1, len(frame) - 2, len(frame) - 2)
    enhanced = b"".join(number.to_bytes(4, "little") for number in block) + frame + block[1].to_bytes(4, "little")
    if not _is_given_up_once(path, section + interface + enhanced * 50):
        read = run("tcpdump", "--count", "-r", path).stdout
        expect(read.startswith("50 "), f"tcpdump reads {read!r}")


def a_compressed_capture_is_given_up_once_or_loses_no_packet():
    path, data = LIVE / "packed.pcap", conversation(50_000)
    if not _is_given_up_once(path, gzip.compress(data)):
        expect(gzip.decompress(path.read_bytes()) == slimmed(data), "it is not what the oracle makes of it")


def a_symbolic_link_is_not_followed():
    data = conversation(30_000)
    target, link = put(OUTSIDE / "target.pcap", data, age=60), LIVE / "link.pcap"
    link.symlink_to(target)
    canary = put(LIVE / "beside-link.pcap", data)
    await_slimmed(canary, data)
    expect(link.is_symlink() and target.read_bytes() == data, "what it points to was slimmed")
    expect(not marker(link).exists(), "it was marked")


def a_capture_with_two_names_is_left_alone():
    data, since = conversation(30_000), cursor()
    path = put(LIVE / "first-name.pcap", data)
    os.link(path, OUTSIDE / "second-name.pcap")
    canary = put(LIVE / "beside-two-names.pcap", data)
    await_slimmed(canary, data)
    time.sleep(0.5)
    expect(path.read_bytes() == data and path.stat().st_nlink == 2, "it was replaced")
    expect(not outcomes(path, since, "slimmed"), "it counts as slimmed")


def files_of_other_names_are_none_of_its_business():
    data = conversation(30_000)
    others = [put(LIVE / name, data) for name in ("notes.txt", "capture.pcap.partial", "pcap")]
    canary = put(LIVE / "beside-others.pcap", data)
    await_slimmed(canary, data)
    for other in others:
        expect(other.read_bytes() == data and not marker(other).exists(), f"{other.name} was touched")


def a_new_capture_under_an_old_name_is_slimmed_again():
    path = LIVE / "rotated.pcap"
    for size in (30_000, 60_000):
        data = conversation(size, seed=size)
        put(path, data)
        eventually(lambda: path.read_bytes() == slimmed(data), f"the one of {size} bytes is slimmed")


def nothing_is_ever_written_beside_the_captures():
    data, path = conversation(20_000_000), LIVE / "big.pcap"
    put(path, data)
    seen = set()

    def done():
        seen.update(entry.name for entry in LIVE.iterdir())
        return path.stat().st_size < len(data)

    eventually(done, "it is slimmed")
    strangers = [name for name in seen if name.endswith(".tmp") or ".slim" in name and name != ".slim_markers"]
    expect(not strangers, f"beside the captures lay {strangers}")
    await_slimmed(path, data)
    eventually(lambda: not staging(LIVE), "nothing stays")


def of_two_thousand_captures_at_once_none_is_lost():
    data, since = conversation(3_000), cursor()
    burst = OUTSIDE / "burst"
    burst.mkdir()
    for number in range(2000):
        (burst / f"burst-{number:04}.pcap").write_bytes(data)
    run("sh", "-c", f"mv {burst}/*.pcap {LIVE}/")
    names = [LIVE / f"burst-{number:04}.pcap" for number in range(2000)]
    eventually(lambda: all(marker(name).exists() for name in names), "all are marked", 60)
    smaller = slimmed(data)
    wrong = [name.name for name in names if name.read_bytes() != smaller]
    expect(not wrong, f"{len(wrong)} are wrong, as {wrong[:3]}")
    def told():
        # The line of the capture before them may come late.
        slimmed_ones = [text(e, "PCAP_FILE") for e in journal(since) if text(e, "PCAP_OUTCOME") == "slimmed"]
        return [name for name in slimmed_ones if "/burst-" in name]

    # A line comes when the original has lingered.
    eventually(lambda: len(set(told())) == 2000, "all are told", 60)
    lines = told()
    expect(len(lines) == len(set(lines)), f"{len(lines)} lines of {len(set(lines))} captures")
    for name in names:
        name.unlink()
    shutil.rmtree(burst)


def what_was_open_is_slimmed_some_time_after_it_was_closed():
    expect(len(BUSY) == 2, "nothing was busy")
    for path, data in BUSY.items():
        await_slimmed(path, data, 90)
