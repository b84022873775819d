"""The judge finds what is lost, and what is invented, in captures that are damaged on purpose."""
import random
import sys
import tempfile
import unittest
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "fixtures"))

import packets  # noqa: E402
from capture import ALTERATIONS, Packet, write, write_all  # noqa: E402
from judge import Sum, judge, judge_all, known_fields, link_type  # noqa: E402

FIELDS = known_fields()[0]


def question(name, number=1):
    labels = b"".join(bytes([len(label)]) + label for label in name.encode().split(b"."))
    message = bytes([0, number, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]) + labels + b"\0\0\1\0\1"
    return packets.ethernet(packets.ipv4(packets.udp(message, dport=53), protocol=packets.UDP))


REQUEST = packets.ethernet(packets.ipv4(packets.tcp(
    b"GET /a/page HTTP/1.1\r\nHost: www.example.org\r\nUser-Agent: a browser\r\n\r\n", dport=80)))
FRAMES = [question("one.example.org"), REQUEST, question("two.example.org", 2)]


class Judge(unittest.TestCase):
    def judge(self, after, before=FRAMES, **options):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        paths = [Path(folder.name) / name for name in ("before.pcap", "after.pcap")]
        for path, frames in zip(paths, (before, after)):
            write(path, [Packet((1, 0), frame, max(len(frame), 60)) for frame in frames])
        return judge("a.pcap", *paths, FIELDS, **options)

    def test_the_same_capture_has_lost_nothing(self):
        verdict = self.judge(FRAMES)
        self.assertTrue(verdict.is_good())
        self.assertEqual(verdict.counts["dns.qry.name"], 2)
        self.assertEqual(verdict.counts["http.host"], 1)
        self.assertIn("evidence", str(Sum.of([verdict])))

    def test_a_cut_request_is_lost_with_its_frame_and_fields(self):
        verdict = self.judge([FRAMES[0], REQUEST[:54 + 10], FRAMES[2]])
        self.assertFalse(verdict.is_good())
        self.assertTrue({(2, "http.host"), (2, "http.request.uri")} <= {lost[:2] for lost in verdict.lost})
        self.assertLess(Sum.of([verdict]).bytes_after, Sum.of([verdict]).bytes_before)

    def test_a_changed_name_is_lost_and_another_invented(self):
        verdict = self.judge([FRAMES[0], REQUEST, question("xxx.example.org", 2)])
        self.assertIn((3, "dns.qry.name", "two.example.org"), [(*lost[:2], lost[3]) for lost in verdict.lost])
        self.assertIn((3, "dns.qry.name", "xxx.example.org"), [(*new[:2], new[3]) for new in verdict.invented])

    def test_a_value_in_another_conversation_does_not_stand_in_for_a_lost_one(self):
        other = bytearray(FRAMES[2])
        other[29] ^= 1  # the last byte of the client's address
        verdict = self.judge([FRAMES[0], REQUEST, bytes(other)])
        self.assertIn("dns.qry.name", {lost[1] for lost in verdict.lost})
        self.assertIn("dns.qry.name", {new[1] for new in verdict.invented})

    def test_a_value_that_comes_less_often_is_lost(self):
        verdict = self.judge([FRAMES[0]], before=[FRAMES[0]] * 3)
        self.assertEqual(sum(lost[1] == "dns.qry.name" for lost in verdict.lost), 2)

    def test_a_missing_packet_is_a_failure_although_nothing_in_it_was_evidence(self):
        noise = packets.ethernet(packets.ipv4(packets.udp(b"\xff" * 40, dport=40001), protocol=packets.UDP))
        self.assertIn("packets", self.judge(FRAMES, before=[*FRAMES, noise]).failure)

    def test_a_capture_that_cannot_be_read_any_more_is_a_failure(self):
        with tempfile.TemporaryDirectory() as folder:
            before, after = Path(folder) / "before.pcap", Path(folder) / "after.pcap"
            write(before, [Packet((1, 0), REQUEST, len(REQUEST))])
            after.write_bytes(b"not a capture at all")
            verdict, backwards = judge_all([("a", before, after, FIELDS), ("b", after, before, FIELDS)])
            self.assertIn("cannot be read any more", verdict.failure)
            self.assertTrue(backwards.unreadable)
            self.assertEqual((link_type(before), link_type(after)), (1, 0))

    def test_a_port_can_be_read_as_another_protocol(self):
        elsewhere = packets.ethernet(packets.ipv4(packets.tcp(b"SSH-2.0-a_program\r\n", dport=31337)))
        verdict = self.judge([elsewhere], before=[elsewhere], decode=("tcp.port==31337,ssh",))
        self.assertEqual(verdict.counts["ssh.protocol"], 1)


class Alterations(unittest.TestCase):
    def test_alterations_are_the_same_in_each_run_and_lose_double_and_snap_packets(self):
        frames = [Packet((number, 0), question(f"host{number}.example.org", number), 77) for number in range(100)]
        made = []
        for _ in range(2):
            with tempfile.TemporaryDirectory() as folder:
                write_all(Path(folder), "a.pcap", frames)
                made.append({path.parent.name: path.read_bytes() for path in Path(folder).rglob("*.pcap")})
        self.assertEqual(*made)
        self.assertEqual(len(made[0]), 3)
        counts = [len(alter(frames, random.Random(1))) for alter in ALTERATIONS]
        self.assertEqual([counts[0], counts[1], counts[4], counts[5]], [100, 100, 67, 66])
        self.assertGreater(counts[2], 110)
        self.assertLess(counts[3], 100)
        self.assertNotEqual(ALTERATIONS[1](frames, random.Random(1)), frames)


if __name__ == "__main__":
    unittest.main()
