"""The system calls by which a capture is replaced: their numbers, what in their arguments is a file, and how they fail.

The errors are those of the manual pages that a kernel or a file system may give for a call that is made correctly;
what only a wrong call gets (EFAULT, EBADF) is left out, and what says that there are no extended attributes. `READS_NAMES` take a directory and a name, the second pair of
`linkat` and its like too.
"""
import errno
import platform
from dataclasses import dataclass

X86_64, AARCH64 = 0, 1
MACHINES = {"x86_64": X86_64, "aarch64": AARCH64}


@dataclass(frozen=True)
class Call:
    """A system call: its numbers on x86_64 and aarch64 (None: it is not there), which arguments are descriptors, which
    are names (each behind the descriptor of its directory), and the errors that it may give."""

    name: str
    numbers: tuple
    files: tuple = ()
    names: tuple = ()
    errors: tuple = ()

    @property
    def number(self):
        return self.numbers[MACHINES[platform.machine()]]


def errors(words):
    return tuple(getattr(errno, word) for word in words.split())


LOOK = "EACCES ELOOP ENOENT ENOMEM ENOTDIR EIO ESTALE"
OPEN = LOOK + " EMFILE ENFILE ENOSPC EDQUOT EROFS EAGAIN EINTR EOPNOTSUPP EPERM EISDIR ENXIO EINVAL EEXIST"
CHANGE = "EPERM EROFS EIO ENOMEM"
NAMES = LOOK + " EPERM EROFS ENOSPC EDQUOT EMLINK EEXIST EXDEV EBUSY EINVAL"

CALLS = (
    Call("openat", (257, 56), (0,), (1,), errors(OPEN)),
    Call("openat2", (437, 437), (0,), (1,), errors(OPEN + " E2BIG ENOSYS EXDEV")),
    Call("open", (2, None), (), (0,), errors(OPEN)),
    Call("fcntl", (72, 25), (0,), (), errors("EAGAIN EACCES EINVAL ENOMEM EINTR ENOLCK EMFILE EPERM")),
    Call("fstat", (5, 80), (0,), (), errors("EIO ENOMEM EOVERFLOW ESTALE")),
    # That a name is gone is no failure: stops.py has writers who remove it.
    Call("newfstatat", (262, 79), (0,), (1,), errors(LOOK.replace(" ENOENT", ""))),
    Call("statx", (332, 291), (0,), (1,), errors(LOOK + " ENOSYS EPERM")),
    Call("fstatfs", (138, 44), (0,), (), errors("EIO ENOSYS ENOMEM EINTR ESTALE")),
    Call("flistxattr", (196, 13), (0,), (), errors("ERANGE E2BIG EIO")),
    Call("fgetxattr", (193, 10), (0,), (), errors("ERANGE E2BIG EIO EACCES")),
    Call("fsetxattr", (190, 7), (0,), (), errors("EOPNOTSUPP ENOSPC EDQUOT EPERM ERANGE E2BIG EIO")),
    Call("fchown", (93, 55), (0,), (), errors(CHANGE + " EDQUOT")),
    Call("fchmod", (91, 52), (0,), (), errors(CHANGE)),
    Call("utimensat", (280, 88), (0,), (1,), errors(CHANGE + " EACCES")),
    Call("ftruncate", (77, 46), (0,), (), errors("EFBIG EIO EINTR EPERM EINVAL ENOSPC")),
    Call("fallocate", (285, 47), (0,), (), errors("EFBIG EIO EINTR ENOSPC EOPNOTSUPP ENOSYS EPERM")),
    Call("lseek", (8, 62), (0,), (), errors("EINVAL ENXIO EOVERFLOW")),
    Call("read", (0, 63), (0,), (), errors("EIO EINTR EAGAIN EISDIR")),
    Call("write", (1, 64), (0,), (), errors("EIO EINTR ENOSPC EDQUOT EFBIG EPERM EAGAIN")),
    Call("pread64", (17, 67), (0,), (), errors("EIO EINTR EAGAIN")),
    Call("pwrite64", (18, 68), (0,), (), errors("EIO EINTR ENOSPC EDQUOT EFBIG EPERM EAGAIN")),
    Call("mmap", (9, 222), (4,), (), errors("ENOMEM ENODEV EACCES EAGAIN EPERM")),
    Call("fadvise64", (221, 223), (0,), (), errors("EINVAL")),
    Call("sync_file_range", (277, 84), (0,), (), errors("EIO ENOMEM ENOSPC")),
    Call("fsync", (74, 82), (0,), (), errors("EIO ENOSPC EDQUOT EROFS EINVAL EINTR")),
    Call("fdatasync", (75, 83), (0,), (), errors("EIO ENOSPC EDQUOT EROFS EINVAL EINTR")),
    Call("syncfs", (306, 267), (0,), (), errors("EIO ENOSPC EDQUOT")),
    Call("getdents64", (217, 61), (0,), (), errors("EINVAL ENOENT EIO ENOTDIR")),
    Call("linkat", (265, 37), (0, 2), (1, 3), errors(NAMES + " ENOSYS EOPNOTSUPP")),
    Call("renameat2", (316, 276), (0, 2), (1, 3), errors(NAMES + " ENOSYS EOPNOTSUPP ENOTEMPTY EISDIR")),
    Call("renameat", (264, 38), (0, 2), (1, 3), errors(NAMES + " ENOTEMPTY EISDIR")),
    Call("unlinkat", (263, 35), (0,), (1,), errors(LOOK + " EBUSY EPERM EROFS EISDIR")),
    Call("mkdirat", (258, 34), (0,), (1,), errors(NAMES)),
    Call("flock", (73, 32), (0,), (), errors("EAGAIN EINTR ENOLCK EOPNOTSUPP")),
    Call("ioctl", (16, 29), (0,), (), errors("ENOTTY EOPNOTSUPP EINVAL EIO EPERM EACCES EROFS ENOSPC")),
    # With a name and no directory: nothing in the protocol should need them.
    Call("stat", (4, None), (), (0,), errors(LOOK)),
    Call("lstat", (6, None), (), (0,), errors(LOOK)),
    Call("rename", (82, None), (), (0, 1), errors(NAMES)),
    Call("unlink", (87, None), (), (0,), errors(LOOK + " EBUSY EPERM EROFS")),
    Call("mkdir", (83, None), (), (0,), errors(NAMES)),
    Call("chmod", (90, None), (), (0,), errors(CHANGE)),
    Call("chown", (92, None), (), (0,), errors(CHANGE)),
    Call("fchmodat", (268, 53), (0,), (1,), errors(CHANGE)),
    Call("fchownat", (260, 54), (0,), (1,), errors(CHANGE)),
    Call("setxattr", (188, 5), (), (0,), errors("EOPNOTSUPP ENOSPC EPERM")),
    Call("readlinkat", (267, 78), (0,), (1,), errors(LOOK)),
    Call("faccessat2", (439, 439), (0,), (1,), errors(LOOK)),
    Call("copy_file_range", (326, 285), (0, 2), (), errors("EIO ENOSPC EXDEV EOPNOTSUPP EINVAL")),
)


def by_number():
    """The calls of this machine, by their numbers."""
    return {call.number: call for call in CALLS if call.number is not None}
