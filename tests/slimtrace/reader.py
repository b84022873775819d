#!/usr/bin/env python3
"""Reads a slim trace, by the description in slimtrace(5) and nothing else.

    reader.py TRACE            every packet, as `pcap-slim trace export --output csv` prints them
    reader.py --scan TRACE     the same without the footer, as far as the file goes

The independent second reader: where it and the program disagree, one of them or the description is wrong. It shares no
code with the program. Needs the packages flatbuffers, zstandard, cbor2 and google-crc32c.
"""
import io
import struct
import sys

import cbor2
import flatbuffers.number_types as N
import google_crc32c
import zstandard
from flatbuffers import encode
from flatbuffers.table import Table

RULES = dict(enumerate(
    "kept tls-port tls-data-record ssh-port quic-port ipsec-port tls-records tls-unsynced ssh-transport dtls-record "
    "quic-short-header google-quic srtp srtcp wireguard openvpn esp esp-in-udp opaque-udp opaque-rtp opaque-quic "
    "opaque-esp".split()))


def block(data, at):
    """The block at an offset: kind, rows, contents, and where the next one begins."""
    kind, encoding, zero, rows, length, stored, crc = struct.unpack_from("<BBHIIII", data, at)
    body = data[at + 20:at + 20 + stored]
    assert zero == 0 and len(body) == stored, f"block at {at}"
    assert google_crc32c.value(data[at:at + 16] + body) == crc, f"checksum of the block at {at}"
    if encoding == 1:
        body = zstandard.ZstdDecompressor().decompress(body, max_output_size=length)
    assert len(body) == length
    return kind, rows, body, at + 20 + stored


def varints(data):
    number = shift = 0
    for byte in data:
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            yield number
            number = shift = 0
    assert shift == 0


def sums(numbers):
    total = 0
    for number in numbers:
        total += number
        yield total


def root(data):
    return Table(bytearray(data), encode.Get(N.UOffsetTFlags.packer_type, data, 0))


def number(table, field, flags):
    at = table.Offset(4 + 2 * field)
    return table.Get(flags, table.Pos + at) if at else 0


def vector(table, field):
    """Where the items of a vector begin, and how many there are."""
    at = table.Offset(4 + 2 * field)
    return (table.Vector(at), table.VectorLen(at)) if at else (0, 0)


def children(table):
    begin, count = vector(table, 2)
    return [Table(table.Bytes, table.Indirect(begin + 4 * index)) for index in range(count)]


def metadata(table):
    begin, count = vector(table, 4)
    return bytes(table.Bytes[begin:begin + count])


def by_footer(data):
    """The blocks of each chunk and its statistics, as the footer tells them."""
    version, length, magic = struct.unpack("<HH4s", data[-8:])
    assert (version, magic) == (1, b"SLTF"), "no end mark"
    postscript_at = len(data) - 8 - length
    postscript = root(data[postscript_at:-8])
    layout_at, events_at, header_at = (number(postscript, field, N.Uint64Flags) for field in range(3))
    layout = data[layout_at:postscript_at]
    header = data[16:16 + struct.unpack_from("<I", data, 12)[0]]
    assert header_at == 16
    assert google_crc32c.value(layout) == number(postscript, 3, N.Uint32Flags)
    assert google_crc32c.value(header) == number(postscript, 4, N.Uint32Flags)
    kind, count, body, _ = block(data, events_at)
    stream = io.BytesIO(body)
    events = [cbor2.load(stream) for _ in range(count)]
    assert kind == 16 and stream.read() == b""
    tree = root(layout)
    assert number(tree, 0, N.Uint16Flags) == 2
    packets = 0
    for chunk in children(tree):
        assert number(chunk, 0, N.Uint16Flags) == 3
        rows = number(chunk, 3, N.Uint64Flags)
        packets += rows
        columns = {}
        for leaf in children(chunk):
            begin, count = vector(leaf, 1)
            assert number(leaf, 0, N.Uint16Flags) == 1 and count == 1
            first, end = struct.unpack_from("<QQ", bytes(leaf.Bytes), begin)
            kind, block_rows, body, after = block(data, first)
            assert (bytes([kind]), block_rows, after) == (metadata(leaf), rows, end)
            columns[kind] = body
        yield columns, struct.unpack_from("<9Q", metadata(chunk))
    assert packets == number(tree, 3, N.Uint64Flags)
    counted = next(event for event in events if event["event"] == "counted")
    assert counted["packets"] == packets


def by_scan(data):
    """The same from the beginning on, without statistics."""
    at = 16 + struct.unpack_from("<I", data, 12)[0]
    columns = {}
    while at + 20 <= len(data):
        try:
            kind, _, body, at = block(data, at)
        except (AssertionError, zstandard.ZstdError):
            break
        if kind in (1, 16) and len(columns) >= 4:
            yield columns, None
            columns = {}
        if kind == 16:
            return
        columns[kind] = body
    if len(columns) >= 4:
        yield columns, None


def main():
    *options, path = sys.argv[1:]
    data = open(path, "rb").read()
    magic, version, length = struct.unpack_from("<8sII", data)
    assert (magic, version) == (b"SLIMTRCE", 1)
    header = cbor2.loads(data[16:16 + length])
    assert {"tool", "version", "policy", "lengths", "floor", "capture", "started_ns"} <= header.keys()
    out = ["packet,old,new,bytes_before,bytes_after,bytes_cut,rule"]
    packet = 0
    for columns, statistics in by_scan(data) if "--scan" in options else by_footer(data):
        old, new = (list(sums(varints(columns[kind]))) for kind in (1, 2))
        cut = list(varints(columns[4]))
        assert len(old) == len(new) == len(columns[3]) == len(cut)
        if statistics:
            assert statistics[:2] == (old[0], old[-1]) and statistics[3:5] == (new[0], new[-1])
            assert statistics[8] == sum(rule != 0 for rule in columns[3])
        ends = old[1:] + [statistics[2] if statistics else old[-1] + 1]
        for begin, end, there, rule, gone in zip(old, ends, new, columns[3], cut):
            packet += 1
            out.append(f"{packet},{begin},{there},{end - begin},{max(end - begin - gone, 0)},{gone},{RULES[rule]}")
    sys.stdout.write("\r\n".join(out) + "\r\n")


if __name__ == "__main__":
    main()
