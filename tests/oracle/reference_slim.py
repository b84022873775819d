#!/usr/bin/env python3
"""The reference policy as an independent oracle: slow, plain, and sharing no code with the program it judges.

    reference_slim.py [--preserve] IN.pcap OUT.pcap     prints "packets truncated in_bytes out_bytes torn_bytes zero_bytes"
    reference_slim.py [--preserve] --batch              the same for each line "IN<tab>OUT" on stdin, one line each;
                                                        "refused" for a file that is no classic pcap, or a damaged one

Classic pcap, microseconds or nanoseconds, either byte order, of the versions that libpcap reads (its sf-pcap.c): up to 2.2
and in 543.0 the length on the wire comes before the captured one, in 2.3 the smaller one is the captured one. Link
types other than Ethernet are copied packet by packet. A torn last record is copied as it is, and so are zeros behind the
last record. A record that cannot be, or zeros that do not reach to the end, are damage.

The policy, for each packet alone, of which everything is kept unless it gets to the last two lines:
- behind Ethernet and any stack of 802.1Q tags (0x8100) stands IPv4, or IPv6 with any chain of hop-by-hop, routing,
  destination options and authentication headers; no fragment; behind it a whole TCP or UDP header;
- the payload, up to the end that the IP length gives or the captured bytes end, is longer than 24 bytes;
- TCP: cut when a port is a TLS port and the first byte is not one of 0x14, 0x15, 0x16, 0x18; when no port is a TLS port
  and the first byte is 0x17; when a port is 22 and the payload does not begin with "SSH-";
- UDP: cut when a port is 443, 500 or 4500.

Cut is behind the 24th payload byte. IPv4 total length, IPv6 payload length and UDP length then say what is left, and the
IPv4, TCP and UDP checksums are made right again (with a source route, for the route's last address; a UDP checksum of 0 is
written 0xffff). With --preserve the headers stay byte for byte. Timestamps and original lengths stay in either case.
"""
import struct
import sys

FLOOR = 24
TLS_PORTS = {443, 853, 465, 993, 995, 8443, 5061}
SSH_PORT = 22
UDP_PORTS = {443, 500, 4500}
KEPT_RECORD_TYPES = {0x14, 0x15, 0x16, 0x18}
ORDERS = {b"\xd4\xc3\xb2\xa1": "<", b"\x4d\x3c\xb2\xa1": "<", b"\xa1\xb2\xc3\xd4": ">", b"\xa1\xb2\x3c\x4d": ">"}
NANOSECONDS = (b"\x4d\x3c\xb2\xa1", b"\xa1\xb2\x3c\x4d")
LONGEST_RECORD = 128 << 20


class Refused(Exception):
    """The file is no classic pcap, or a damaged one."""


def add16(b):
    if len(b) & 1:
        b += b"\0"
    return sum(struct.unpack("!%dH" % (len(b) // 2), b))


def fold(s):
    while s >> 16:
        s = (s & 0xffff) + (s >> 16)
    return ~s & 0xffff


def pseudo_destination(f, ip, end):
    """Where the segment is going in the end: the last address of a source route, else the IPv4 destination."""
    i = ip + 20
    while i < end and f[i] != 0:
        if f[i] == 1:
            i += 1
            continue
        if i + 1 >= end or f[i + 1] < 2 or i + f[i + 1] > end:
            break
        if f[i] & 31 in (3, 9) and f[i + 1] >= 7:
            return f[i + f[i + 1] - 4:i + f[i + 1]]
        i += f[i + 1]
    return f[ip + 16:ip + 20]


def locate(f):
    """-> (ip, ip_header_end, is_v6, protocol, l4, limit) or None; limit: bytes from l4 on that the IP length claims."""
    o = 12
    while True:
        if len(f) < o + 2:
            return None
        kind = f[o] << 8 | f[o + 1]
        if kind != 0x8100:
            break
        o += 4
    ip = o + 2
    if kind == 0x0800:
        return locate_ipv4(f, ip)
    if kind == 0x86dd:
        return locate_ipv6(f, ip)
    return None


def locate_ipv4(f, ip):
    if len(f) < ip + 20 or f[ip] >> 4 != 4:
        return None
    h = (f[ip] & 15) * 4
    if h < 20 or len(f) < ip + h or struct.unpack_from("!H", f, ip + 6)[0] & 0x3fff:
        return None
    return ip, ip + h, False, f[ip + 9], ip + h, struct.unpack_from("!H", f, ip + 2)[0] - h


def locate_ipv6(f, ip):
    if len(f) < ip + 40 or f[ip] >> 4 != 6:
        return None
    end = min(len(f), ip + 40 + struct.unpack_from("!H", f, ip + 4)[0])
    protocol, o = f[ip + 6], ip + 40
    while o < end:
        if protocol in (6, 17):
            return ip, ip + 40, True, protocol, o, end - o
        if protocol not in (0, 43, 60, 51) or o + 2 > end:
            return None
        n = (f[o + 1] + 2) * 4 if protocol == 51 else (f[o + 1] + 1) * 8
        if o + n > end:
            return None
        protocol, o = f[o], o + n
    return None


def transport_header(f, protocol, l4, limit):
    """-> the header's length, or None where it is incomplete, malformed or neither TCP nor UDP."""
    least = {6: 20, 17: 8}.get(protocol)
    if least is None or len(f) < l4 + least or limit < least:
        return None
    h = (f[l4 + 12] >> 4) * 4 if protocol == 6 else 8
    return h if h >= least and len(f) >= l4 + h and limit >= h else None


def is_cut(protocol, ports, payload):
    if len(payload) <= FLOOR:
        return False
    if protocol == 17:
        return bool(ports & UDP_PORTS)
    if SSH_PORT in ports and not payload.startswith(b"SSH-"):
        return True
    if ports & TLS_PORTS:
        return payload[0] not in KEPT_RECORD_TYPES
    return payload[0] == 0x17


def slim_frame(f, preserve=False):
    """-> the frame itself where it is kept, else its shortened form."""
    where = locate(f)
    if not where:
        return f
    ip, ip_end, v6, protocol, l4, limit = where
    h = transport_header(f, protocol, l4, limit)
    if h is None:
        return f
    payload = f[l4 + h:min(len(f), l4 + limit)]
    if not is_cut(protocol, set(struct.unpack_from("!HH", f, l4)), payload):
        return f
    g = bytearray(f[:l4 + h + FLOOR])
    if not preserve:
        rewrite(g, where)
    return bytes(g)


def rewrite(g, where):
    """Makes the lengths and checksums of a shortened frame right."""
    ip, ip_end, v6, protocol, l4, _ = where
    segment = len(g) - l4
    if v6:
        struct.pack_into("!H", g, ip + 4, len(g) - ip_end)
        addresses = bytes(g[ip + 8:ip + 40])
    else:
        struct.pack_into("!H", g, ip + 2, len(g) - ip)
        struct.pack_into("!H", g, ip + 10, 0)
        struct.pack_into("!H", g, ip + 10, fold(add16(bytes(g[ip:ip_end]))))
        addresses = bytes(g[ip + 12:ip + 16]) + bytes(pseudo_destination(g, ip, ip_end))
    if protocol == 17:
        struct.pack_into("!H", g, l4 + 4, segment)
    at = l4 + (16 if protocol == 6 else 6)
    struct.pack_into("!H", g, at, 0)
    checksum = fold(add16(addresses) + protocol + segment + add16(bytes(g[l4:])))
    struct.pack_into("!H", g, at, checksum or (0xffff if protocol == 17 else 0))


def is_swapped(version, first, second):
    """Whether the length on the wire comes first, as libpcap decides it for each record."""
    if version == (2, 4):
        return False
    if version == (2, 3):
        return first > second
    if version in ((2, 0), (2, 1), (2, 2), (543, 0)):
        return True
    raise Refused("a version that libpcap does not read")


def begins_tail(data, o, captured, original, fraction):
    """Whether the record at `o` is the torn last one; what neither is that nor whole is damage."""
    if captured + 16 > LONGEST_RECORD:
        raise Refused("a record longer than any")
    if o + 16 + captured <= len(data):
        return False
    second = 10 ** (9 if data[:4] in NANOSECONDS else 6)
    if captured > original or fraction >= second:
        raise Refused("a record that ends behind the file and cannot be")
    return True


def slim_capture(data, preserve=False):
    """-> (the slimmed capture, the verdict word of each packet, torn bytes, zero bytes)"""
    order = ORDERS.get(data[:4])
    if not order or len(data) < 24:
        raise Refused("not a classic pcap file")
    version = struct.unpack_from(order + "HH", data, 4)
    is_swapped(version, 0, 0)
    linktype = struct.unpack_from(order + "I", data, 20)[0]
    out, verdicts, o = [data[:24]], [], 24
    while o + 16 <= len(data):
        if not any(data[o:o + 16]):
            if any(data[o:]):
                raise Refused("zeros in the middle")
            return b"".join(out + [data[o:]]), verdicts, 0, len(data) - o
        seconds, fraction, first, second = struct.unpack_from(order + "IIII", data, o)
        swapped = is_swapped(version, first, second)
        captured, original = (second, first) if swapped else (first, second)
        if begins_tail(data, o, captured, original, fraction):
            break
        f = data[o + 16:o + 16 + captured]
        g = slim_frame(f, preserve) if linktype & 0xffff == 1 else f
        lengths = (original, len(g)) if swapped else (len(g), original)
        out += [struct.pack(order + "IIII", seconds, fraction, *lengths), g]
        verdicts.append("kept" if g is f else "cut")
        o += 16 + captured
    return b"".join(out + [data[o:]]), verdicts, len(data) - o, 0


def slim_file(source, target, preserve):
    with open(source, "rb") as file:
        data = file.read()
    out, verdicts, torn, zeros = slim_capture(data, preserve)
    with open(target, "wb") as file:
        file.write(out)
    return f"{len(verdicts)} {verdicts.count('cut')} {len(data)} {len(out)} {torn} {zeros}"


def batch(preserve):
    for line in sys.stdin:
        source, target = line.rstrip("\n").split("\t")
        try:
            print(slim_file(source, target, preserve))
        except Refused:
            print("refused")


def main():
    arguments = sys.argv[1:]
    preserve = "--preserve" in arguments
    arguments = [a for a in arguments if a != "--preserve"]
    if arguments == ["--batch"]:
        batch(preserve)
    elif len(arguments) == 2:
        try:
            print(slim_file(*arguments, preserve))
        except Refused as reason:
            sys.exit(str(reason))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
