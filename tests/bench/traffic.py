#!/usr/bin/env python3
"""Write a big, realistic, reproducible pcap for benchmarks (no third-party packages).

    traffic.py OUT.pcap --mb 1000 [--seed 7] [--flows 2000] [--nanos] [--stats OUT.json]

The mix follows an enterprise border: by bytes about 62 % TLS on TLS ports, 12 % QUIC,
4 % TLS on other ports, 3 % SSH, 3 % ESP-in-UDP, the rest cleartext (HTTP, DNS, SMB, ICMP, ARP).
TLS flows begin with a real-shaped handshake: ClientHello with SNI, ServerHello, a certificate
chain that spans several segments, ChangeCipherSpec, then application-data records of up to
16 KiB that span many segments (so most segments do not begin with a record header).
About 5 % of frames carry an 802.1Q tag, 15 % of flows are IPv6, most TCP segments carry
timestamps. Flows are interleaved. Every byte is a function of the arguments alone.
"""
import argparse, json, random, struct, collections

def csum(b):
    if len(b) & 1:
        b += b"\0"
    s = sum(struct.unpack("!%dH" % (len(b) // 2), b))
    s = (s >> 16) + (s & 0xffff)
    s += s >> 16
    return ~s & 0xffff

class Flow:
    def __init__(s, kind, rng, noise, idx):
        s.kind, s.rng, s.noise = kind, rng, noise
        s.v6 = rng.random() < .15
        s.vlan = rng.random() < .05
        s.cport = rng.randrange(32768, 61000)
        s.sport = {"tls": rng.choice([443] * 40 + [993, 853, 8443, 465]), "tlsalt": rng.choice([8080, 10443, 6443, 4433]),
                   "quic": 443, "ssh": 22, "esp": 4500, "http": 80, "dns": 53, "smb": 445}[kind]
        s.udp = kind in ("quic", "esp", "dns")
        s.ts = (not s.udp) and rng.random() < .8
        s.seq = [rng.getrandbits(32), rng.getrandbits(32)]
        if s.v6:
            a = b"\x20\x01\x0d\xb8" + struct.pack("!QI", idx, 1)
            b = b"\x20\x01\x0d\xb8" + struct.pack("!QI", rng.getrandbits(48), 2)
        else:
            a = bytes([10, (idx >> 16) & 255, (idx >> 8) & 255, idx & 255])
            b = bytes([198, 18 + rng.randrange(2), rng.randrange(256), rng.randrange(1, 255)])
        s.ip = (a, b)
        s.q = collections.deque(s.script())

    def rnd(s, n):
        o = s.rng.randrange(len(s.noise) - 70000)
        return s.noise[o:o + n]

    def seg(s, d, data, mss=None):
        """Cut a byte stream going in direction d (0 = client to server) into segments."""
        mss = mss or (1448 if s.ts else 1460) - (20 if s.v6 else 0)
        for i in range(0, len(data), mss):
            yield d, data[i:i + mss]
            if i // mss % 2:
                yield 1 - d, b""

    def tls_hello(s):
        name = b"host%04d.example.net" % s.rng.randrange(10000)
        ext = struct.pack("!HHHBH", 0, len(name) + 5, len(name) + 3, 0, len(name)) + name
        ext += struct.pack("!HH", 43, 5) + b"\x04\x03\x04\x03\x03" + struct.pack("!HHH", 10, 8, 6) + b"\x00\x1d\x00\x17\x00\x18"
        ext += struct.pack("!HH", 16, 14) + b"\x00\x0c\x02h2\x08http/1.1" + struct.pack("!HH", 51, 38) + b"\x00\x24\x00\x1d\x00\x20" + s.rnd(32)
        ext += struct.pack("!HH", 21, max(0, 380 - len(ext))) + b"\0" * max(0, 380 - len(ext))
        body = b"\x03\x03" + s.rnd(32) + b"\x20" + s.rnd(32) + b"\x00\x0a\x13\x01\x13\x02\x13\x03\xc0\x2f\xc0\x30\x01\x00" + struct.pack("!H", len(ext)) + ext
        hs = b"\x01" + struct.pack("!I", len(body))[1:] + body
        return b"\x16\x03\x01" + struct.pack("!H", len(hs)) + hs

    def tls_server(s):
        sh = b"\x03\x03" + s.rnd(32) + b"\x00\xc0\x2f\x00\x00\x00"
        cert = s.rnd(s.rng.randrange(900, 2200))
        chain = b"".join(struct.pack("!I", len(c))[1:] + c for c in (cert, s.rnd(1300), s.rnd(1200)))
        cb = struct.pack("!I", len(chain))[1:] + chain
        ske = s.rnd(329)
        hs = b"\x02" + struct.pack("!I", len(sh))[1:] + sh + b"\x0b" + struct.pack("!I", len(cb))[1:] + cb
        hs += b"\x0c" + struct.pack("!I", len(ske))[1:] + ske + b"\x0e\0\0\0"
        return b"\x16\x03\x03" + struct.pack("!H", len(hs)) + hs

    def app(s, n):
        out = []
        while n > 0:
            k = min(n, 16384)
            out.append(b"\x17\x03\x03" + struct.pack("!H", k) + s.rnd(k))
            n -= k
        return b"".join(out)

    def script(s):
        r = s.rng
        size = int(min(4e6, max(2000, r.lognormvariate(10.6, 1.5))))
        if not s.udp:
            yield 0, "S"; yield 1, "SA"; yield 0, b""
        if s.kind in ("tls", "tlsalt"):
            yield from s.seg(0, s.tls_hello())
            yield from s.seg(1, s.tls_server())
            yield from s.seg(0, b"\x16\x03\x03\x00\x25\x10\x00\x00\x21\x20" + s.rnd(32) + b"\x14\x03\x03\x00\x01\x01\x16\x03\x03\x00\x28" + s.rnd(40))
            yield from s.seg(1, b"\x14\x03\x03\x00\x01\x01\x16\x03\x03\x00\x28" + s.rnd(40))
            while size > 0:
                up, down = r.randrange(200, 1800), min(size, r.randrange(800, 120000))
                yield from s.seg(0, s.app(up)); yield from s.seg(1, s.app(down))
                size -= up + down
        elif s.kind == "quic":
            yield 0, b"\xc3\x00\x00\x00\x01\x08" + s.rnd(8) + b"\x00\x00\x44\xd0" + s.rnd(1178)
            yield 1, b"\xc1\x00\x00\x00\x01\x00\x08" + s.rnd(8) + b"\x00\x44\xd0" + s.rnd(1178)
            yield 1, b"\xe1\x00\x00\x00\x01\x00\x08" + s.rnd(8) + b"\x44\xc0" + s.rnd(1178)
            while size > 0:
                k = r.choice([1200, 1250, 1350, 60, 40])
                yield (1 if k > 100 else 0), bytes([0x40 | r.randrange(32)]) + s.rnd(k - 1)
                size -= k
        elif s.kind == "ssh":
            yield from s.seg(0, b"SSH-2.0-OpenSSH_9.6\r\n"); yield from s.seg(1, b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n")
            kex = b"\x14" + s.rnd(16) + b"curve25519-sha256,ecdh-sha2-nistp256,diffie-hellman-group16-sha512" * 15
            for d in (0, 1):
                yield from s.seg(d, struct.pack("!IB", len(kex) + 7, 6) + kex + b"\0" * 6)
            yield from s.seg(0, b"\0\0\0\x2c\x06\x1e" + s.rnd(42)); yield from s.seg(1, b"\0\0\x01\x0c\x0a\x1f" + s.rnd(266) + b"\0\0\0\x0c\x0a\x15" + b"\0" * 10)
            yield from s.seg(0, b"\0\0\0\x0c\x0a\x15" + b"\0" * 10)
            while size > 0:
                k = r.choice([36, 52, 84, 1000, 8000, 32000])
                yield from s.seg(r.randrange(2), s.rnd(k)); size -= k
        elif s.kind == "esp":
            spi, count = (s.rnd(4), s.rnd(4)), [0, 0]
            while size > 0:
                k, d = r.choice([1400, 1380, 100]), r.randrange(2); count[d] += 1
                yield d, spi[d] + struct.pack("!I", count[d]) + s.rnd(k); size -= k
        elif s.kind == "dns":
            for _ in range(r.randrange(1, 8)):
                q = b"\0\x01\0\0\0\0\0\0\x04host\x07example\x03net\0\0\x01\0\x01"
                i = s.rnd(2); yield 0, i + b"\x01" + q[1:]; yield 1, i + b"\x81\x80" + q[2:] + b"\xc0\x0c\0\x01\0\x01\0\0\x0e\x10\0\x04" + s.rnd(4)
        elif s.kind == "http":
            yield from s.seg(0, b"GET /object/%d HTTP/1.1\r\nHost: www.example.org\r\nUser-Agent: bench/1\r\nAccept: */*\r\n\r\n" % r.getrandbits(40))
            yield from s.seg(1, b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n" % size + (b"<p>The quick brown fox jumps over the lazy dog.</p>\n" * (size // 50))[:size])
        elif s.kind == "smb":
            while size > 0:
                k = r.randrange(100, 16000)
                yield from s.seg(r.randrange(2), struct.pack("!I", k + 4) + b"\xfeSMB" + s.rnd(k)); size -= k

    def frame(s, n):
        d, data = s.q.popleft()
        flags = 0x10
        if data == "S": flags, data = 2, b""
        elif data == "SA": flags, data = 0x12, b""
        elif data: flags = 0x18
        src, dst = s.ip if d == 0 else s.ip[::-1]
        sp, dp = (s.cport, s.sport) if d == 0 else (s.sport, s.cport)
        if s.udp:
            l4 = struct.pack("!HHHH", sp, dp, 8 + len(data), 0); proto = 17; ck = 6
        else:
            opt = (b"\x01\x01\x08\x0a" + struct.pack("!II", n, n - 7 & 0xffffffff)) if s.ts else b""
            l4 = struct.pack("!HHIIBBHHH", sp, dp, s.seq[d], s.seq[1 - d], (5 + len(opt) // 4) << 4, flags, 65535, 0, 0) + opt
            s.seq[d] = (s.seq[d] + len(data) + (1 if flags & 2 else 0)) & 0xffffffff; proto = 6; ck = 16
        plen = len(l4) + len(data)
        # The transport checksum is left as the sender's NIC would: a fixed non-zero value.
        l4 = l4[:ck] + b"\xbe\xef" + l4[ck + 2:]
        if s.v6:
            ip, et = struct.pack("!IHBB", 0x60000000, plen, proto, 60) + src + dst, b"\x86\xdd"
        else:
            ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + plen, n & 0xffff, 0x4000, 60, proto, 0) + src + dst
            ip, et = ip[:10] + struct.pack("!H", csum(ip)) + ip[12:], b"\x08\x00"
        eth = b"\x02\0\0\0\0\x01\x02\0\0\0\0\x02" + (b"\x81\0\0\x64" if s.vlan else b"") + et
        f = eth + ip + l4 + data
        return f if len(f) >= 60 else f + b"\0" * (60 - len(f))

def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("out"); ap.add_argument("--mb", type=float, default=1000); ap.add_argument("--seed", type=int, default=7)
    ap.add_argument("--flows", type=int, default=2000, help="flows alive at once"); ap.add_argument("--nanos", action="store_true"); ap.add_argument("--stats")
    a = ap.parse_args()
    rng = random.Random(a.seed)
    noise = rng.randbytes(1 << 22)
    kinds = ["tls"] * 60 + ["quic"] * 12 + ["tlsalt"] * 4 + ["ssh"] * 3 + ["esp"] * 3 + ["http"] * 8 + ["smb"] * 3 + ["dns"] * 40
    left, n, total, t, per = a.mb * 1e6, 0, 0, 1_700_000_000.0, collections.Counter()
    idx = a.flows
    live = [Flow(rng.choice(kinds), rng, noise, i) for i in range(a.flows)]
    with open(a.out, "wb", buffering=1 << 22) as o:
        o.write(struct.pack("<IHHiIII", 0xa1b23c4d if a.nanos else 0xa1b2c3d4, 2, 4, 0, 0, 262144, 1))
        unit = 1e9 if a.nanos else 1e6
        while total < left:
            i = rng.randrange(len(live)); f = live[i]
            for _ in range(rng.randrange(1, 6)):
                if not f.q:
                    idx += 1; live[i] = Flow(rng.choice(kinds), rng, noise, idx); break
                fr = f.frame(n); t += 1.1e-6
                o.write(struct.pack("<IIII", int(t), int(t % 1 * unit), len(fr), len(fr))); o.write(fr)
                n += 1; total += 16 + len(fr); per[f.kind] += 16 + len(fr)
    s = {"packets": n, "bytes": total + 24, "flows": idx, "bytes_by_kind": dict(per)}
    if a.stats: json.dump(s, open(a.stats, "w"), indent=1)
    print(json.dumps(s))

if __name__ == "__main__":
    main()
