"""Where a recording takes place: a network namespace of its own, with programs that end when it does.

`record.py` puts each recorder into namespaces of its own (network, mounts, processes), so servers take whatever port
they are known for and find an empty /run. What a recorder says of its capture is in Recorder; how programs are run, in
Place. A machine that cannot do a thing at all, for want of a part of the kernel, is told by Impossible.
"""
import contextlib
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import capture

ORDINARY_MTU = 1500
NEAR, FAR = "10.9.0.1", "10.9.0.2"
PATIENCE = 15  # seconds for a server to listen
BIG = 150_000  # bytes of a transfer: several records, many segments


class Impossible(Exception):
    """This machine's kernel lacks what a recorder needs; says what."""


class Missing(Exception):
    """A program is not installed."""


@dataclass(frozen=True)
class Recorder:
    """How a capture is made, and what must be true of it: `fields` that tshark reads in it, `words` that stand in it in
    plain text, whether anything in it `is_cut`, and tshark's -d rules for reading it. `misread` are fields that tshark
    fills with ciphertext where the capture is snapped, for then it does not see where encryption begins."""

    name: str
    record: object
    needs: tuple = ()
    fields: tuple = ()
    words: tuple = ()
    is_cut: bool = True
    decode: tuple = ()
    misread: tuple = ()


RECORDERS = {}


def add(name, record, **about):
    assert name not in RECORDERS, name
    RECORDERS[name] = Recorder(name, record, **about)


def recorder(name, **about):
    """Makes a recorder of a function of a Place."""
    def decorate(function):
        add(name, function, **about)
        return function
    return decorate


def run(*command, check=True, stdin=None, timeout=60, cwd=None):
    """Runs a program to its end; -> its output. A failure is told with what the program said."""
    words = [str(word) for word in command]
    stdin = stdin.encode() if isinstance(stdin, str) else stdin
    given = {"input": stdin} if stdin is not None else {"stdin": subprocess.DEVNULL}
    done = subprocess.run(words, capture_output=True, timeout=timeout, cwd=cwd, **given)
    said = (done.stdout + done.stderr).decode(errors="replace").strip()
    if check and done.returncode:
        raise RuntimeError(f"{' '.join(words)}: exit {done.returncode}: {said[-600:]}")
    return said


def run_ours(script, *arguments, **options):
    """Runs one of `programs/` with the Python that runs us, which has the packages that it needs."""
    return run(*ours(script), *arguments, **options)


def ours(script):
    return sys.executable, "-B", Path(__file__).resolve().parent / "programs" / script


def is_listening(port, kind):
    """Whether somebody listens on a port; found without sending anything."""
    for table in (f"/proc/net/{kind}", f"/proc/net/{kind}6"):
        for line in Path(table).read_text().splitlines()[1:]:
            local, _, state = line.split()[1:4]
            if int(local.rpartition(":")[2], 16) == port and (kind == "udp" or state == "0A"):
                return True
    return False


class Place:
    """The namespaces of one recorder, its directory, and what it recorded."""

    def __init__(self, folder):
        self.folder = folder
        self.packets = []
        # Two servers of a kind, with the same process id in their namespaces, would meet in /tmp.
        os.environ["TMPDIR"] = str(folder)
        run("mount", "-t", "tmpfs", "tmpfs", "/run")
        run("ip", "link", "set", "lo", "mtu", ORDINARY_MTU, "up")
        self.whole_segments("lo")
        (folder / "big").write_bytes(bytes(range(256)) * (BIG // 256))

    @staticmethod
    def whole_segments(interface, inside=()):
        """Segments as on a wire: without offloading, packets may be larger than any link carries."""
        run(*inside, "ethtool", "-K", interface, "tso", "off", "gso", "off", "gro", "off")

    @contextlib.contextmanager
    def recording(self, interface="lo"):
        with capture.Recording(interface) as recording:
            yield
        self.packets += recording.packets

    def serve(self, *command, port=None, kind="tcp", stdin=None, inside=(), patience=PATIENCE):
        """Starts a program, and waits until it listens; -> the process, with what it said in `folder`."""
        words = [str(word) for word in (*inside, *command)]
        log = open(self.folder / f"{Path(command[0]).name}.log", "ab")
        process = subprocess.Popen(words, stdin=stdin or subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder)
        end = time.monotonic() + patience
        while port and not is_listening(port, kind):
            if time.monotonic() > end or process.poll() not in (None, 0):
                raise RuntimeError(f"{' '.join(words)}: not listening: {Path(log.name).read_text()[-600:]}")
            time.sleep(0.03)
        return process

    def certificate(self, name="server.example.org", key="ec"):
        """A key and a self-signed certificate; -> their paths."""
        files = self.folder / f"{name}.key", self.folder / f"{name}.crt"
        kind = ("-newkey", "rsa:2048") if key == "rsa" else ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")
        run("openssl", "req", "-x509", *kind, "-nodes", "-days", 30, "-subj", f"/O=Fidelity/CN={name}",
            "-addext", f"subjectAltName=DNS:{name},IP:127.0.0.1", "-keyout", files[0], "-out", files[1])
        return files

    def peer(self):
        """Another network namespace, at FAR, behind a link on which we are NEAR; -> what runs a program in it."""
        inside = ("ip", "netns", "exec", "peer")
        run("ip", "netns", "add", "peer")
        run("ip", "link", "add", "near", "type", "veth", "peer", "name", "far", "netns", "peer")
        run("ip", "address", "add", f"{NEAR}/24", "dev", "near")
        run("ip", "link", "set", "near", "up")
        run(*inside, "ip", "address", "add", f"{FAR}/24", "dev", "far")
        for interface in ("lo", "far"):
            run(*inside, "ip", "link", "set", interface, "up")
        self.whole_segments("near")
        self.whole_segments("far", inside)
        return inside


def require(needs):
    missing = [program for program in needs if not (shutil.which(program) or Path(program).exists())]
    if missing:
        raise Missing(", ".join(missing))
