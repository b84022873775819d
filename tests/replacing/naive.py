#!/usr/bin/env python3
"""The negative control: replaces a capture as one must not. naive.py [OPTIONS] --single CAPTURE

It has every fault that the tests are there for: it goes by names, looks only once, takes no lease, sets owner and mode
through names, marks before it is done, and reports success whatever happens. The tests must find that out.
"""
import json
import os
import shutil
import struct
import sys

RECORD = struct.Struct("<IIII")


def slimmed(content):
    """Cuts TLS records as the reference policy does, as far as the captures of these tests go, headers untouched."""
    made, at = [content[:24]], 24
    while at + RECORD.size <= len(content):
        second, fraction, length, original = RECORD.unpack_from(content, at)
        frame = content[at + RECORD.size:at + RECORD.size + length]
        if length > 54 and frame[34:36] == b"\x01\xbb" and frame[54] == 0x17:
            frame = frame[:78]
        made.append(RECORD.pack(second, fraction, len(frame), original) + frame)
        at += RECORD.size + length
    return b"".join(made)


def replace(path):
    directory, name = os.path.split(path)
    markers = os.path.join(directory, ".slim_markers")
    is_ = os.stat(path)
    with open(path, "rb") as file:
        content = file.read()
    os.makedirs(markers, exist_ok=True)
    os.chmod(markers, 0o755)
    os.chown(markers, is_.st_uid, is_.st_gid)
    with open(os.path.join(markers, name), "w") as marker:
        marker.write("{}\n")
    staged = path + ".tmp"
    with open(staged, "wb") as file:
        file.write(slimmed(content))
    shutil.copymode(path, staged)
    os.chown(staged, is_.st_uid, is_.st_gid)
    os.utime(staged, ns=(is_.st_atime_ns, is_.st_mtime_ns))
    os.rename(staged, path)


if __name__ == "__main__":
    if "--help" in sys.argv:
        sys.exit(__doc__)
    try:
        replace(os.path.abspath(sys.argv[-1]))
    except OSError:
        pass
    print(json.dumps({"files": [{"status": "ok"}]}))
