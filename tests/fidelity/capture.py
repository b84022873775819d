"""Classic captures of Ethernet: recorded from a network interface, and altered as networks and recorders do.

Alterations keep the bytes of the packets: what is lost, late, twice, snapped or not recorded any more is what changes.
The random ones are the same in each run for the same capture.
"""
import random
import socket
import struct
import threading
import time
from dataclasses import dataclass

SNAPLEN = 262144
ETHERNET = 1
# Linux: every protocol; give the socket's buffer that size although the limit is lower; a packet that leaves.
ETH_P_ALL, SO_RCVBUFFORCE, PACKET_OUTGOING = 3, 33, 4
BUFFER = 64 << 20
SETTLE = 0.15  # seconds, for what still travels


@dataclass(frozen=True)
class Packet:
    """A record: seconds and microseconds, the captured bytes, the length on the wire."""

    time: tuple
    frame: bytes
    wire: int


class Recording:
    """Records an interface while the `with` block runs; `packets` has what it saw."""

    def __init__(self, interface="lo"):
        self.interface, self.packets, self.is_over = interface, [], False

    def __enter__(self):
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        self.socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER)
        self.socket.bind((self.interface, 0))
        self.socket.settimeout(0.05)
        self.thread = threading.Thread(target=self.read)
        self.thread.start()
        return self

    def read(self):
        while not self.is_over:
            try:
                frame, sender = self.socket.recvfrom(SNAPLEN)
            except TimeoutError:
                continue
            # A packet of the loopback leaves and comes in; it is one.
            if self.interface != "lo" or sender[2] != PACKET_OUTGOING:
                now = time.time_ns() // 1000
                self.packets.append(Packet(divmod(now, 1_000_000), frame, len(frame)))

    def __exit__(self, *_):
        time.sleep(SETTLE)
        self.is_over = True
        self.thread.join()
        self.socket.close()


def write(path, packets, snaplen=SNAPLEN):
    header = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, snaplen, ETHERNET)
    records = (struct.pack("<IIII", *packet.time, len(packet.frame), packet.wire) + packet.frame for packet in packets)
    path.write_bytes(header + b"".join(records))


def reordered(packets, chance):
    """One packet in five is late by up to three places."""
    order = sorted(range(len(packets)), key=lambda at: at + (chance.uniform(1, 4) if chance.random() < 0.2 else 0))
    return [packets[at] for at in order]


def duplicated(packets, chance):
    """One packet in five comes twice, and some come again much later."""
    twice = [copy for packet in packets for copy in [packet] * (1 + (chance.random() < 0.2))]
    return twice + chance.sample(packets, len(packets) // 10)


def lossy(packets, chance):
    """One packet in ten was not recorded."""
    return [packet for packet in packets if chance.random() >= 0.1]


def from_the_middle(packets, _):
    return packets[len(packets) // 3:]


def to_the_middle(packets, _):
    return packets[:2 * len(packets) // 3]


def snapped(packets, length):
    return [Packet(packet.time, packet.frame[:length], packet.wire) for packet in packets]


ALTERATIONS = [lambda packets, _: packets, reordered, duplicated, lossy, from_the_middle, to_the_middle]
SNAPLENS = (96, 200)
IPV4 = b"\x08\x00"
# Third bytes of the source and destination in an IPv4 header behind Ethernet.
SUBNETS = (28, 32)


def elsewhere(packet, subnet):
    """The packet between other addresses, so that its conversations are others; checksums stay, nobody looks."""
    if packet.frame[12:14] != IPV4:
        return packet
    frame = bytearray(packet.frame)
    for at in SUBNETS:
        frame[at] = (frame[at] + subnet) % 256
    return Packet(packet.time, bytes(frame), packet.wire)


def altered(name, packets):
    """All alterations behind each other, the unaltered packets first; each in a subnet of its own, in one capture,
    for a reader takes longer to start than to read."""
    return [elsewhere(packet, 16 * number) for number, alter in enumerate(ALTERATIONS)
            for packet in alter(packets, random.Random(f"{name} {number}"))]


def write_all(folder, name, packets):
    """A recording as it is, altered, and snapped: `folder`/whole, altered and snapped-LENGTH. By its name, one of the
    lengths is taken."""
    length = SNAPLENS[sum(name.encode()) % len(SNAPLENS)]
    for word, made, snaplen in (("whole", packets, SNAPLEN), ("altered", altered(name, packets), SNAPLEN),
                                (f"snapped-{length}", snapped(packets, length), length)):
        (folder / word).mkdir(exist_ok=True)
        write(folder / word / name, made, snaplen)
