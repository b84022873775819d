#!/usr/bin/env python3
"""A disk that logs every write and every flush in order: the only file of a small FUSE file system, for a loop device.

    logdisk.py IMAGE MOUNTPOINT LOG

Serves IMAGE, which it changes, as the file MOUNTPOINT until that is unmounted. LOG gets each write and each flush in
the format of dm-log-writes with sectors of 512 bytes. A loop device passes a file system's flushes on as fsync(2).
Needs root and /dev/fuse and no package, for it speaks the kernel's protocol itself. One request is answered at a time:
a write that was answered before a flush was asked for comes before the flush in LOG. A write that was under way when
the flush came may come first too, and then counts as durable.
"""
import ctypes
import errno
import os
import struct
import sys

FLUSH, MAGIC = 1, 0x6A736677736872
SECTOR = 512
GETATTR, SETATTR, OPEN, READ, WRITE, STATFS, RELEASE, FSYNC, INIT = 3, 4, 14, 15, 16, 17, 18, 20, 26
NO_ANSWER = (2, 36, 42)  # FORGET, INTERRUPT, BATCH_FORGET
BIG_WRITES, MAX_PAGES = 1 << 5, 1 << 22
DIRECT_IO = 1  # no page cache between the loop device and this program
LARGEST = 1 << 20
HEADER = 40


class Log:
    """The log as it is written."""

    def __init__(self, path):
        self.file, self.entries = open(path, "wb", buffering=0), 0
        self.file.write(struct.pack("<QQQI", MAGIC, 1, 0, SECTOR).ljust(SECTOR, b"\0"))

    def add(self, place, data, flags):
        assert place % SECTOR == 0 and len(data) % SECTOR == 0
        self.entries += 1
        head = struct.pack("<QQQQ", place // SECTOR, len(data) // SECTOR, flags, len(data))
        self.file.write(head.ljust(SECTOR, b"\0") + data)

    def close(self):
        self.file.seek(16)
        self.file.write(struct.pack("<Q", self.entries))
        self.file.close()


class Disk:
    """Answers the kernel's requests for one file."""

    def __init__(self, image, log):
        self.file, self.log = os.open(image, os.O_RDWR), log
        self.size = os.fstat(self.file).st_size

    def attributes(self):
        times = (0,) * 6
        sectors, rest = self.size // SECTOR, (0o100600, 1, 0, 0, 0, 4096, 0)
        return struct.pack("<QIIQQQQQQIIIIIIIIII", 1, 0, 0, 1, self.size, sectors, *times, *rest)

    def answer(self, operation, body):
        """The body of the answer, or None for an operation that a disk does not have."""
        if operation == INIT:
            major, minor = struct.unpack_from("<II", body)
            features = BIG_WRITES | MAX_PAGES
            pages = LARGEST >> 12
            limits = struct.pack("<IIIIHHIIHHI", major, min(minor, 31), 0, features, 64, 48, LARGEST, 1, pages, 0, 0)
            return limits.ljust(64, b"\0")
        if operation in (GETATTR, SETATTR):
            return self.attributes()
        if operation == OPEN:
            return struct.pack("<QII", 1, DIRECT_IO, 0)
        if operation == READ:
            _, place, length = struct.unpack_from("<QQI", body)
            return os.pread(self.file, length, place)
        if operation == WRITE:
            _, place, length = struct.unpack_from("<QQI", body)
            data = bytes(body[40:40 + length])
            os.pwrite(self.file, data, place)
            self.log.add(place, data, 0)
            return struct.pack("<II", length, 0)
        if operation == FSYNC:
            self.log.add(0, b"", FLUSH)
            return b""
        if operation == STATFS:
            return struct.pack("<QQQQQIIII", self.size >> 12, 0, 0, 1, 0, 4096, 255, 4096, 0).ljust(80, b"\0")
        return b"" if operation == RELEASE else None

    def serve(self, mountpoint):
        fuse = os.open("/dev/fuse", os.O_RDWR)
        libc = ctypes.CDLL(None, use_errno=True)
        options = b"fd=%d,rootmode=100600,user_id=0,group_id=0" % fuse
        if libc.mount(b"logdisk", os.fsencode(mountpoint), b"fuse.logdisk", 6, options):
            raise OSError(ctypes.get_errno(), "cannot mount", mountpoint)
        print("ready", flush=True)
        while True:
            try:
                request = os.read(fuse, LARGEST + 4096)
            except OSError as error:
                if error.errno == errno.ENODEV:  # unmounted
                    return
                raise
            _, operation, unique = struct.unpack_from("<IIQ", request)
            if operation in NO_ANSWER:
                continue
            answer = self.answer(operation, memoryview(request)[HEADER:])
            failed = -errno.ENOSYS if answer is None else 0
            os.write(fuse, struct.pack("<IiQ", 16 + len(answer or b""), failed, unique) + (answer or b""))


def main():
    image, mountpoint, path = sys.argv[1:]
    log = Log(path)
    try:
        Disk(image, log).serve(mountpoint)
    finally:
        log.close()


if __name__ == "__main__":
    main()
