"""File systems in image files: made, mounted, checked, and mounted on a disk that logs what is written to it.

Everything is mounted in a mount namespace of this process (`leave_the_machine`), so that nothing stays mounted when it
ends, however it ends. Loop devices are made by mount(8), which frees them with the mount.
"""
import contextlib
import ctypes
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
CLONE_NEWNS = 0x00020000
LAZY = "nodiscard,lazy_itable_init=0,lazy_journal_init=0"


@dataclass(frozen=True)
class FileSystem:
    """A file system as it is made, mounted and checked. Sizes are the least that it can have."""

    name: str
    size: str
    make: str
    check: str
    mount: str = ""
    # Blocks of an unlinked file may be written to before the unlink itself is durable.
    overwrites_freed_blocks: bool = False

    @property
    def kind(self):
        return self.name.partition("-")[0]

    def is_supported(self):
        """Whether the kernel has it and its tools are installed."""
        if _is_command("modprobe"):
            subprocess.run(["modprobe", "--quiet", self.kind], check=False, stderr=subprocess.DEVNULL)
        is_known = self.kind in Path("/proc/filesystems").read_text().split()
        return is_known and all(_is_command(command.split()[0]) for command in (self.make, self.check))

    def create(self, image):
        run("truncate", "--size", self.size, image)
        run(*self.make.split(), image)

    def is_sound(self, image):
        """Whether the file system itself has borne what was done to the image, by its own check."""
        return subprocess.run([*self.check.split(), image], capture_output=True).returncode == 0

    @contextlib.contextmanager
    def mounted(self, image, directory):
        """Mounts an image, or a disk that is served as a file. subprocess.CalledProcessError where it cannot."""
        run("mount", "-t", self.kind, "-o", ",".join(filter(None, ["loop", self.mount])), image, directory)
        try:
            yield directory
        finally:
            run("umount", directory)


def _ext4(name, mount="", **rest):
    return FileSystem(name, "64M", f"mkfs.ext4 -q -F -b 4096 -E {LAZY}", "e2fsck -fn", mount, **rest)


FILE_SYSTEMS = {
    system.name: system
    for system in (
        _ext4("ext4"),
        _ext4("ext4-writeback", "data=writeback", overwrites_freed_blocks=True),
        _ext4("ext4-noauto_da_alloc", "noauto_da_alloc"),
        FileSystem("xfs", "300M", "mkfs.xfs -q -f -K", "xfs_repair -n", "nouuid"),
        FileSystem("btrfs", "256M", "mkfs.btrfs -q -f -K", "btrfs check --readonly"),
    )
}


def _is_command(name):
    return any(os.access(Path(folder) / name, os.X_OK) for folder in os.get_exec_path())


def run(*words):
    """Runs a command. subprocess.CalledProcessError, with what it said, where it fails."""
    return subprocess.run([str(word) for word in words], check=True, capture_output=True, text=True)


def leave_the_machine():
    """Gives this process and what it starts a mount namespace of their own."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS):
        raise OSError(ctypes.get_errno(), "cannot make a mount namespace")
    run("mount", "--make-rprivate", "/")


@contextlib.contextmanager
def logging(image, log, directory):
    """Serves an image as a disk that logs: yields the file that is the disk. `directory` must be empty."""
    disk = directory / "disk"
    disk.touch()
    command = [sys.executable, "-B", HERE / "logdisk.py", image, disk, log]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        if server.stdout.readline() != "ready\n":
            raise OSError(f"cannot serve a disk that logs: exit status {server.wait()}")
        try:
            yield disk
        finally:
            run("umount", disk)
            server.wait(30)
    disk.unlink()
