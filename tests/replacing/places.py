"""Where the tests run: file systems of their own, in namespaces that take every mount and process with them.

Images lie on a tmpfs, so that a sync costs little and nothing of it outlives the run, whatever ends it. A file system
that the kernel or the machine lacks is told by Impossible.
"""
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

INSIDE = "REPLACING_INSIDE"
IMAGE = 512 << 20  # sparse
KINDS = ("tmpfs", "ext4", "xfs", "btrfs", "overlay", "fuse", "fuse-cached")
PATIENCE = 10  # seconds for a file system in user space to be there


class Impossible(Exception):
    """This machine cannot have such a file system; says why."""


@dataclass(frozen=True)
class Place:
    """A directory on a file system of a kind, and the same directory `below` a mount that hides it."""

    kind: str
    path: Path
    below: Path = None

    @property
    def is_fuse(self):
        return self.kind.startswith("fuse")

    def hidden(self, path):
        """The same file below the mount; where nothing is hidden, the path itself."""
        return self.below / path.relative_to(self.path) if self.is_fuse else path

    def fresh(self, name):
        """An empty directory."""
        path = self.path / name
        path.mkdir()
        return path


def enter_namespaces():
    """Runs this program once more, in mount and process namespaces of its own, unless it is there already."""
    if os.environ.get(INSIDE) == "1":
        return
    os.environ[INSIDE] = "1"
    command = ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc"]
    os.execvp(command[0], [*command, sys.executable, "-B", *sys.argv])


def command(*words):
    """Runs a program that makes a place."""
    try:
        done = subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=60)
    except FileNotFoundError as error:
        raise Impossible(f"there is no {words[0]}") from error
    if done.returncode != 0:
        raise Impossible(f"{words[0]}: {(done.stderr or done.stdout).strip()[-200:]}")


@contextlib.contextmanager
def scratch():
    """A directory on a tmpfs that others may enter."""
    with tempfile.TemporaryDirectory(prefix="replacing-") as name:
        path = Path(name)
        command("mount", "-t", "tmpfs", "-o", "mode=0755", "replacing", path)
        try:
            yield path
        finally:
            command("umount", "--lazy", path)


@contextlib.contextmanager
def mounted(kind, base):
    """A file system of a kind below `base`, gone at the end."""
    root = base / f"{kind}-{time.monotonic_ns()}"
    root.mkdir()
    with contextlib.ExitStack() as stack:
        yield MAKERS[kind](root, stack)


def mount(stack, path, *words):
    path.mkdir(exist_ok=True)
    command("mount", *words, path)
    stack.callback(command, "umount", "--lazy", path)
    return path


def tmpfs(root, stack):
    return Place("tmpfs", mount(stack, root / "mounted", "-t", "tmpfs", "-o", "mode=0755", "replacing"))


def on_image(kind):
    def make(root, stack):
        image = root / "image"
        with open(image, "wb") as file:
            file.truncate(IMAGE)
        quiet = {"ext4": ["-q", "-F"], "xfs": ["-q", "-f"], "btrfs": ["-q", "-f"]}[kind]
        command(f"mkfs.{kind}", *quiet, image)
        return Place(kind, mount(stack, root / "mounted", "-t", kind, "-o", "loop", image))
    return make


def overlay(root, stack):
    """Over ext4. What is put below `below` lies in the lower layer."""
    disk = on_image("ext4")(root, stack).path
    layers = {name: disk / name for name in ("lower", "upper", "work")}
    for path in layers.values():
        path.mkdir()
    options = ",".join(f"{name}dir={path}" for name, path in layers.items())
    path = mount(stack, root / "overlaid", "-t", "overlay", "-o", options, "overlay")
    return Place("overlay", path, layers["lower"])


def fuse(kind, *options):
    """bindfs over ext4: it grants leases that guard nothing, and knows no exchange and no nameless files."""
    def make(root, stack):
        below = on_image("ext4")(root, stack).path
        path = root / "bound"
        path.mkdir()
        try:
            process = subprocess.Popen(["bindfs", "-f", *options, below, path], stdin=subprocess.DEVNULL,
                                       stderr=subprocess.PIPE)
        except FileNotFoundError as error:
            raise Impossible("there is no bindfs") from error
        stack.callback(process.wait)
        stack.callback(process.terminate)
        stack.callback(subprocess.run, ["umount", "--lazy", path], stderr=subprocess.DEVNULL)
        end = time.monotonic() + PATIENCE
        while not path.is_mount():
            if time.monotonic() > end or process.poll() is not None:
                raise Impossible(f"bindfs: {process.stderr.read().decode()[-200:] if process.poll() else 'not there'}")
            time.sleep(0.02)
        return Place(kind, path, below)
    return make


MAKERS = {
    "tmpfs": tmpfs,
    "overlay": overlay,
    # What was written below is seen at once, or (by default) after a second.
    "fuse": fuse("fuse", "-o", "attr_timeout=0,entry_timeout=0"),
    "fuse-cached": fuse("fuse-cached"),
    **{kind: on_image(kind) for kind in ("ext4", "xfs", "btrfs")},
}
