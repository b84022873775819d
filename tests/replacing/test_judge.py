"""What the judges must find wrong, and what not, in directories that are made here; no program runs."""
import os
import tempfile
import unittest
from pathlib import Path

import captures
import judge
import writers
from captures import NAME

CAPTURE = captures.Capture(captures.original(), captures.original()[:200])
OK, FAILED, SKIPPED = judge.Report(0, "ok"), judge.Report(1, "fail", "reason"), judge.Report(0, "skipped_busy")
KILLED = judge.Report(-9)


class Directory(unittest.TestCase):
    """A directory with a capture in it."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.directory = Path(folder.name)
        CAPTURE.put(self.directory, owner=(os.getuid(), os.getgid()))
        self.owner, judge.OWNER = judge.OWNER, (os.getuid(), os.getgid())
        self.addCleanup(setattr, judge, "OWNER", self.owner)

    def slim(self):
        self.hold(CAPTURE.slimmed)

    def hold(self, content):
        path = self.directory / NAME
        path.write_bytes(content)
        os.utime(path, ns=(captures.MODIFIED, captures.MODIFIED))

    def put(self, name, content=b"{}"):
        path = self.directory / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_bytes(content)

    def mark(self):
        self.put(f"{judge.MARKERS}/{NAME}")


class Faults(Directory):
    """After a run with a fault, and after the one that completes it."""

    def complaints(self, report):
        return list(judge.after_fault(self.directory, CAPTURE, report, had_attribute=False))

    def completed(self, report=OK):
        return list(judge.after_completion(self.directory, CAPTURE, report, had_attribute=False))

    def test_original_or_slimmed(self):
        for report in (FAILED, SKIPPED, KILLED):
            self.assertEqual(self.complaints(report), [])
        self.slim()
        self.mark()
        for report in (OK, KILLED):
            self.assertEqual(self.complaints(report), [])
        self.assertEqual(self.completed(), [])

    def test_reports_that_lie(self):
        self.assertIn("it is the original", self.complaints(OK)[0])
        self.slim()
        for report in (FAILED, SKIPPED):
            self.assertIn("it is slimmed", self.complaints(report)[0])

    def test_markers_that_lie(self):
        self.mark()
        self.assertIn("marked", self.complaints(FAILED)[0])
        self.put(f"{judge.MARKERS}/{NAME}.failed")
        self.assertIn("it is given up for good", self.complaints(FAILED))

    def test_other_contents(self):
        for content in (b"", CAPTURE.original[:-1], CAPTURE.slimmed + b"x"):
            self.hold(content)
            self.assertIn("neither", self.complaints(KILLED)[0])
        (self.directory / NAME).unlink()
        self.assertIn("unreadable", self.complaints(KILLED)[0])

    def test_attributes(self):
        path = self.directory / NAME
        path.chmod(0o600)
        self.assertEqual(self.complaints(KILLED), ["the mode is 600"])
        path.chmod(captures.MODE)
        os.utime(path, (1, 1))
        self.assertIn("modification time", self.complaints(KILLED)[0])
        os.link(path, self.directory / "other")
        self.assertIn("it has 2 names", self.complaints(KILLED))

    def test_leftovers(self):
        self.slim()
        self.assertEqual(self.completed(), [f"missing: {judge.MARKERS}/{NAME}"])
        self.mark()
        for name in (f"{NAME}.tmp", f"{NAME}.conflict", f"{judge.MARKERS}/x", f"{judge.MARKERS}/{judge.PRIVATE}/x"):
            self.put(name)
            self.assertEqual(self.completed(), [f"left over: {name}"])
            (self.directory / name).unlink()
        self.assertIn("exit status 1", self.completed(FAILED)[0])


class Writers(Directory):
    """After a run beside a writer."""

    def complaints(self, name, report=OK):
        kind = next(kind for kind in writers.KINDS if kind.name == name)
        return list(writers.complaints(self.directory, CAPTURE, kind, report, True))

    def test_what_was_added(self):
        self.assertIn("there 0 times", self.complaints("append")[0])
        for base in (CAPTURE.original, CAPTURE.slimmed):
            self.hold(base + writers.WRITTEN)
            self.assertEqual(self.complaints("append"), [])
        self.assertIn("there 1 times", self.complaints("append twice")[0])
        self.put(f"{NAME}.conflict", CAPTURE.original + writers.WRITTEN)
        self.assertEqual(self.complaints("append twice"), [])
        self.assertIn("there 2 times", self.complaints("append")[0])

    def test_what_was_changed(self):
        for name, content in (("patch", writers.patched(CAPTURE.slimmed)), ("truncate", captures.HEADER),
                              ("overwrite", writers.OWN), ("replace", writers.OWN), ("create anew", writers.OWN)):
            self.slim()
            self.assertIn("what was written is lost", self.complaints(name))
            self.hold(content)
            self.assertEqual(self.complaints(name), [])
            self.slim()
            self.put(f"{NAME}.conflict", content)
            self.assertEqual(self.complaints(name), [])
            (self.directory / f"{NAME}.conflict").unlink()

    def test_what_was_removed(self):
        self.assertEqual(self.complaints("remove"), [writers.RETURNED])
        (self.directory / NAME).unlink()
        self.assertEqual(self.complaints("remove"), [])
        self.assertIn("the capture that was moved away is gone", self.complaints("move"))
        self.assertIn("the capture is gone", self.complaints("append"))

    def test_files_that_nobody_made(self):
        self.hold(CAPTURE.original[:-1])
        self.assertIn("nobody made", self.complaints("remove")[0])

    def test_markers_and_leftovers(self):
        self.hold(CAPTURE.original + writers.WRITTEN)
        self.mark()
        self.assertEqual(self.complaints("append"), ["the original is marked as slimmed"])
        self.put(f"{judge.MARKERS}/{judge.PRIVATE}/x")
        self.assertIn(f"left over: {judge.MARKERS}/{judge.PRIVATE}/x", self.complaints("append"))


if __name__ == "__main__":
    unittest.main()
