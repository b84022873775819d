"""Programs that write to the capture: what each does, and what must be left of it when everybody is done."""
import os
from dataclasses import dataclass, field
from pathlib import Path

import captures
import judge

WRITTEN = captures.record(b"written by somebody else", 1_700_001_000)
OWN = captures.HEADER + WRITTEN
PATCHED = slice(24, 32)  # the timestamp of the first record, which slimming leaves as it is
PATCH = b"\xfa\xce" * 4


def append(path):
    with open(path, "ab", buffering=0) as file:
        file.write(WRITTEN)


def patch(path):
    descriptor = os.open(path, os.O_WRONLY)
    os.pwrite(descriptor, PATCH, PATCHED.start)
    os.close(descriptor)


def truncate(path):
    os.truncate(path, len(captures.HEADER))


def overwrite(path):
    with open(path, "r+b", buffering=0) as _there:
        pass
    descriptor = os.open(path, os.O_WRONLY | os.O_TRUNC)
    os.write(descriptor, OWN)
    os.close(descriptor)


def replace(path):
    own = Path(f"{path}.writer")
    own.write_bytes(OWN)
    os.rename(own, path)


def remove(path):
    os.unlink(path)


def anew(path):
    os.unlink(path)
    with open(path, "xb", buffering=0) as file:
        file.write(OWN)


def move(path):
    os.rename(path, f"{path}.moved")


def link(path):
    os.link(path, f"{path}.moved")


def both(path):
    """Appends, and closes, and appends once more: the second time it may be another file."""
    append(path)
    append(path)


@dataclass(frozen=True)
class Kind:
    """A writer: what it does, and the contents that one of the files must have then. Where none is named, the writer
    adds to what is there."""

    name: str
    act: object
    leaves: bytes = None
    removes: bool = False
    times: int = 1


KINDS = (
    Kind("append", append),
    Kind("append twice", both, times=2),
    Kind("patch", patch),
    Kind("truncate", truncate, captures.HEADER),
    Kind("overwrite", overwrite, OWN),
    Kind("replace", replace, OWN),
    Kind("create anew", anew, OWN),
    Kind("remove", remove, removes=True),
    Kind("move", move, removes=True),
    Kind("link", link),
)


@dataclass
class Files:
    """What is there: the capture, the original that was kept beside it, what the writer moved or linked; and the rest."""

    capture: bytes = None
    conflicts: list = field(default_factory=list)
    moved: bytes = None
    left: list = field(default_factory=list)

    @classmethod
    def of(cls, directory):
        files = cls()
        for name in judge.entries(directory):
            path = Path(directory) / name
            if name == judge.MARKERS:
                continue
            if name == captures.NAME:
                files.capture = path.read_bytes()
            elif name == f"{captures.NAME}.moved":
                files.moved = path.read_bytes()
            elif name.startswith(f"{captures.NAME}.conflict"):
                files.conflicts.append(path.read_bytes())
            else:
                files.left.append(name)
        private = Path(directory) / judge.MARKERS / judge.PRIVATE
        files.left += [f"{judge.MARKERS}/{judge.PRIVATE}/{name}" for name in judge.entries(private)]
        return files

    def all(self):
        return [content for content in (self.capture, *self.conflicts, self.moved) if content is not None]


def is_known(content, capture, kind):
    """Whether a file is the original or the slimmed capture, with or without what the writer added, or the writer's."""
    if kind.leaves is not None and content == kind.leaves:
        return True
    bases = (capture.original, capture.slimmed)
    if kind.act is patch:
        return content in bases or content in [patched(base) for base in bases]
    return any(content == base + WRITTEN * times for base in bases for times in range(kind.times + 1))


def patched(base):
    return base[:PATCHED.start] + PATCH + base[PATCHED.stop:]


def complaints(directory, capture, kind, report, wrote):
    """What is wrong when the writer and the run are over. `wrote` says whether there was a capture to write to."""
    files = Files.of(directory)
    for content in files.all():
        if not is_known(content, capture, kind):
            yield f"a file of {len(content)} bytes that nobody made"
    if wrote and kind.leaves is not None and kind.leaves not in files.all():
        yield "what was written is lost"
    if wrote and kind.act is patch and not any(content[PATCHED] == PATCH for content in files.all()):
        yield "what was written is lost"
    if wrote and kind.act in (append, both):
        found = sum(content.count(WRITTEN) for content in files.all())
        if found != kind.times:
            yield f"written {kind.times} times, and there {found} times"
    if kind.act is move and wrote and files.moved is None:
        yield "the capture that was moved away is gone"
    if files.capture is None and not kind.removes:
        yield "the capture is gone"
    if files.capture is not None and kind.removes and wrote:
        yield RETURNED
    is_original = files.capture is not None and files.capture.startswith(capture.original)
    if captures.NAME in judge.entries(Path(directory) / judge.MARKERS) and is_original:
        yield "the original is marked as slimmed"
    if (report.status or "").startswith("skip") and files.capture == capture.slimmed:
        yield f"reported as skipped ({report.error}), and it is slimmed"
    if report.exit not in (0, 1):
        yield f"exit status {report.exit}"
    yield from (f"left over: {name}" for name in files.left)


RETURNED = "a capture that was removed is there again"
