#!/usr/bin/env python3
"""Cuts are what a disk may hold: whole spans up to a flush, and a subset of the writes in the next one."""
import random
import sys
import tempfile
import unittest
from pathlib import Path

sys.dont_write_bytecode = True

import cuts  # noqa: E402
from logdisk import FLUSH, Log  # noqa: E402

SIZE = 1 << 20


def block(number):
    return bytes([number]) * cuts.BLOCK


class Cuts(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        (self.folder / "base").write_bytes(bytes(SIZE))

    def logged(self, *spans):
        """A log of spans of (block's place, data); also where each flush ends."""
        path, ends = self.folder / "log", []
        log = Log(path)
        for writes in spans:
            for place, data in writes:
                log.add(place * cuts.BLOCK, data, 0)
            log.add(0, b"", FLUSH)
            ends.append(path.stat().st_size)
        log.close()
        return path.read_bytes(), ends

    def images(self, log, chosen):
        for cut, image in cuts.images(self.folder / "base", log, chosen, self.folder):
            yield cut, image.read_bytes()

    def test_what_was_flushed_is_there_and_what_came_later_may_be(self):
        log, ends = self.logged([(1, block(1)), (2, block(2))], [(2, block(3)), (5, block(4) + block(5))])
        chosen, possible = cuts.cuts(log, ends[0], 1000, seed=1)
        self.assertEqual(len(chosen), possible)
        seen = set()
        for cut, image in self.images(log, chosen):
            blocks = {place: image[place * cuts.BLOCK] for place in (1, 2, 5, 6)}
            if cut.span > 0:
                self.assertEqual(blocks[1], 1)
                self.assertIn(blocks[2], (2, 3))
            else:
                self.assertEqual((blocks[5], blocks[6]), (0, 0))
            self.assertEqual(cut.is_after_end, cut.span > 0)
            seen.add(tuple(blocks.values()))
        self.assertIn((0, 0, 0, 0), seen)
        self.assertIn((1, 2, 0, 0), seen)
        self.assertIn((1, 3, 4, 5), seen)
        self.assertTrue({(1, 2, 4, 0), (1, 2, 0, 5)} & seen, "a write is torn")

    def test_the_seed_decides(self):
        dice = random.Random(5)
        spans = [[(dice.randrange(100), block(dice.randrange(256))) for _ in range(9)] for _ in range(9)]
        log, ends = self.logged(*spans)
        names = [[str(cut) for cut in cuts.cuts(log, ends[-1], 20, seed)[0]] for seed in (1, 1, 2)]
        self.assertEqual(len(names[0]), 20)
        self.assertEqual(names[0], names[1])
        self.assertNotEqual(names[0], names[2])

    def test_two_writes_to_one_place_are_two(self):
        log, ends = self.logged([(3, block(1)), (3, block(2))])
        chosen, _ = cuts.cuts(log, ends[-1], 1000, seed=1)
        self.assertEqual({image[3 * cuts.BLOCK] for _, image in self.images(log, chosen)}, {0, 1, 2})

    def test_a_copy_has_the_holes_and_the_data(self):
        source, target = self.folder / "source", self.folder / "target"
        with open(source, "wb") as file:
            file.truncate(64 << 20)
            file.seek(32 << 20)
            file.write(b"data")
        cuts.copy(source, target)
        self.assertEqual(target.stat().st_size, 64 << 20)
        self.assertLess(target.stat().st_blocks * 512, 1 << 20)
        self.assertEqual(target.read_bytes(), source.read_bytes())


if __name__ == "__main__":
    unittest.main()
