"""Runs a program under ptrace(2), and stops it at each system call that touches files below a directory.

strace(1) can make a call fail too, but counts calls for each thread by itself, from the first one of the dynamic
linker on. Here the calls below one directory are numbered through all threads, and whoever watches may have each one
fail, kill the process before it, or do something of its own while everything stands still before or after it.
"""
import ctypes
import os
import platform
import signal
import struct
from collections import Counter
from dataclasses import dataclass

import calls

TRACEME, CONT_TO_CALL, SETOPTIONS, GETREGSET, SETREGSET, GET_SYSCALL_INFO = 0, 24, 0x4200, 0x4204, 0x4205, 0x420E
OPTIONS = 0x1 | 0x2 | 0x4 | 0x8 | 0x10 | 0x100000  # SYSGOOD, FORK, VFORK, CLONE, EXEC, EXITKILL
PRSTATUS, ARM_SYSTEM_CALL = 1, 0x404
WALL = 0x40000000
ENTRY, EXIT = 1, 2
INFO_SIZE = 88
PATIENCE = 60  # seconds that a program may take

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.restype = ctypes.c_long
libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)


class Hung(Exception):
    """The program did not end."""


class Vector(ctypes.Structure):
    """struct iovec."""

    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


@dataclass
class Seen:
    """A call: its number among those below the directory, and among those of the same name; what it is, and the files that
    it is about."""

    index: int
    nth: int
    call: calls.Call
    about: tuple
    arguments: tuple = ()
    result: int = 0
    was_changed: bool = False

    def __str__(self):
        return f"{self.index}: {self.call.name}({', '.join(self.about)})"


class Watcher:
    """What is done at the calls; by default nothing."""

    def before(self, seen):
        """Before a call; an error number makes it fail, `Tracer.KILL` kills the process."""

    def after(self, seen):
        """After it; everything stands still. `Tracer.KILL` kills the process."""


class Tracer:
    """One run of a program."""

    KILL = object()

    def __init__(self, command, directory, watcher, output):
        self.command = [str(word) for word in command]
        self.directory = str(directory)
        self.watcher, self.output = watcher, output
        self.calls = calls.by_number()
        self.count, self.nth = 0, Counter()
        self.pending = {}  # of each thread in a call: what it is, and the error that it is to give
        self.threads = set()

    def run(self):
        """Runs it to its end; -> its exit status, negative where a signal ended it."""
        self.child = self.start()
        self.threads = {self.child}
        signal.signal(signal.SIGALRM, self.hang)
        signal.alarm(PATIENCE)
        try:
            return self.loop()
        finally:
            signal.alarm(0)
            self.end()

    @staticmethod
    def hang(_number, _frame):
        raise Hung

    def start(self):
        child = os.fork()
        if child == 0:
            try:
                os.dup2(self.output, 1)
                os.dup2(os.open(os.devnull, os.O_RDWR), 2)
                libc.ptrace(TRACEME, 0, None, None)
                os.kill(os.getpid(), signal.SIGSTOP)
                os.execv(self.command[0], self.command)
            finally:
                os._exit(127)
        os.waitpid(child, WALL)
        request(SETOPTIONS, child, 0, OPTIONS)
        self.go(child)
        return child

    def end(self):
        """Kills what is left of it."""
        for thread in self.threads:
            try:
                os.kill(thread, signal.SIGKILL)
            except ProcessLookupError:
                pass
        while self.threads:
            try:
                thread, status = os.waitpid(-1, WALL)
            except ChildProcessError:
                return
            if not os.WIFSTOPPED(status):
                self.threads.discard(thread)

    def loop(self):
        ended = None
        while self.threads:
            try:
                thread, status = os.waitpid(-1, WALL)
            except ChildProcessError:
                self.threads.clear()
                break
            if not os.WIFSTOPPED(status):
                self.threads.discard(thread)
                if thread == self.child:
                    ended = os.waitstatus_to_exitcode(status)
                continue
            self.threads.add(thread)
            self.stopped(thread, os.WSTOPSIG(status), status >> 16)
        return ended

    def stopped(self, thread, number, event):
        deliver = 0
        if number == signal.SIGTRAP | 0x80:
            if not self.at_call(thread):
                return
        elif not event and number not in (signal.SIGSTOP, signal.SIGTRAP):
            deliver = number
        self.go(thread, deliver)

    def go(self, thread, deliver=0):
        request(CONT_TO_CALL, thread, 0, deliver, may_be_gone=True)

    def at_call(self, thread):
        """Before or after a call; -> whether the thread goes on."""
        info = ctypes.create_string_buffer(INFO_SIZE)
        if request(GET_SYSCALL_INFO, thread, INFO_SIZE, ctypes.addressof(info), may_be_gone=True) <= 0:
            return True
        if info.raw[0] == ENTRY:
            return self.enter(thread, *struct.unpack_from("<Q6Q", info.raw, 24))
        if info.raw[0] == EXIT and thread in self.pending:
            seen, error = self.pending.pop(thread)
            seen.result = struct.unpack_from("<q", info.raw, 24)[0]
            if error:
                set_result(thread, -error)
                seen.result = -error
            if self.watcher.after(seen) is self.KILL:
                os.kill(self.child, signal.SIGKILL)
                return False
        return True

    def enter(self, thread, number, *arguments):
        call = self.calls.get(number)
        about = self.about(thread, call, arguments) if call else ()
        if not about:
            return True
        seen = Seen(self.count, self.nth[call.name], call, about, arguments)
        self.count += 1
        self.nth[call.name] += 1
        wanted = self.watcher.before(seen)
        if wanted is self.KILL:
            os.kill(self.child, signal.SIGKILL)
            return False
        if wanted:
            skip_call(thread)
            seen.was_changed = True
        self.pending[thread] = seen, wanted
        return True

    def about(self, thread, call, arguments):
        """The files below the directory that a call is about, by their paths from there; none where it is about others."""
        descriptors = [self.path_of(thread, ctypes.c_int(arguments[at]).value) for at in call.files]
        found = []
        for at, path in enumerate(descriptors):
            if at < len(call.names):
                name = read_name(thread, arguments[call.names[at]])
                path = os.path.normpath(os.path.join(path, name))
            found.append(path)
        found += [read_name(thread, arguments[at]) for at in call.names[len(descriptors):]]
        if not any(path == self.directory or path.startswith(self.directory + "/") for path in found):
            return ()
        return tuple(os.path.relpath(path, self.directory) for path in found)

    @staticmethod
    def path_of(thread, descriptor):
        place = "cwd" if descriptor == -100 else f"fd/{descriptor}"
        try:
            return os.readlink(f"/proc/{thread}/{place}")
        except OSError:
            return ""


def read_name(thread, address):
    """A string of the program's."""
    if not address:
        return ""
    try:
        with open(f"/proc/{thread}/mem", "rb", buffering=0) as memory:
            memory.seek(address)
            return memory.read(4096 - address % 4096).partition(b"\0")[0].decode(errors="replace")
    except (OSError, ValueError, OverflowError):
        return ""


def request(what, thread, address, data, may_be_gone=False):
    done = libc.ptrace(what, thread, address, data)
    if done == -1 and not (may_be_gone and ctypes.get_errno() == 3):
        raise OSError(ctypes.get_errno(), f"ptrace request {what:#x}")
    return done


def registers(thread):
    """The general registers, and how to put them back."""
    content = (ctypes.c_ulonglong * 40)()
    vector = Vector(ctypes.addressof(content), ctypes.sizeof(content))
    request(GETREGSET, thread, PRSTATUS, ctypes.addressof(vector))
    return content, lambda: request(SETREGSET, thread, PRSTATUS, ctypes.addressof(vector))


def skip_call(thread):
    """Has the kernel not do the call that is about to begin."""
    if platform.machine() == "aarch64":
        number = ctypes.c_int(-1)
        vector = Vector(ctypes.addressof(number), ctypes.sizeof(number))
        request(SETREGSET, thread, ARM_SYSTEM_CALL, ctypes.addressof(vector))
        return
    content, put_back = registers(thread)
    content[15] = 2**64 - 1  # orig_rax
    put_back()


def set_result(thread, result):
    content, put_back = registers(thread)
    content[0 if platform.machine() == "aarch64" else 10] = result % 2**64  # x0, rax
    put_back()
