"""The sandbox of the unit is really in force, and slimming works inside it.

What a process in the unit can do is tried by one: a unit that is the shipped one with its drop-ins, except that it runs
a list of attempts in place of the daemon. What the running daemon has is read from the kernel.
"""
import json
import re
from pathlib import Path

from sensor import CAPTURES, LIVE, OUTSIDE, UNIT, await_slimmed, conversation, expect, pid, property, put, run

PROBE = "pcap-slimd-probe.service"

ATTEMPTS = '''
import ctypes, errno, fcntl, json, mmap, os, socket
libc = ctypes.CDLL(None, use_errno=True)

def write(directory):
    path = directory + "/sandbox-probe"
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600))
    os.unlink(path)

def call(name, *arguments):
    if getattr(libc, name)(*arguments) == -1:
        raise OSError(ctypes.get_errno(), name)

def internet(family):
    socket.socket(family, socket.SOCK_STREAM).close()

def writable_code():
    libc.mmap.restype = ctypes.c_void_p
    if libc.mmap(None, 4096, 7, 0x22, -1, 0) in (None, ctypes.c_void_p(-1).value):
        raise OSError(ctypes.get_errno(), "mmap")

def visible():
    open("/proc/@OTHER@/comm").close()

def named(work):
    """Something that is done with a file of its own, by its name."""
    path = "@LIVE@/named-probe"
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
    try:
        work(path)
    finally:
        os.unlink(path)

def replacing():
    """What replacing a capture takes: a file without a name gets owner, mode, times and a name, and is exchanged."""
    directory = os.open("@LIVE@", os.O_DIRECTORY)
    fcntl.flock(directory, fcntl.LOCK_SH)
    private = "@LIVE@/private-probe"
    os.mkdir(private, 0o700)
    try:
        with open(private + "/original", "wb") as original:
            os.fchown(original.fileno(), 1000, 1000)
        reading = os.open(private + "/original", os.O_RDONLY)
        fcntl.fcntl(reading, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        made = os.open(private, os.O_TMPFILE | os.O_RDWR, 0o600)
        os.fchown(made, 1000, 1000)
        os.fchmod(made, 0o640)
        os.utime(made, ns=(1, 1))
        try:
            flags = fcntl.ioctl(made, 0x80086601, bytes(8))
            fcntl.ioctl(made, 0x40086602, flags)
        except OSError as error:
            if error.errno != errno.ENOTTY:  # there are none on this file system
                raise
        call("statfs", private.encode(), ctypes.create_string_buffer(256))
        call("linkat", -100, b"/proc/self/fd/%d" % made, -100, (private + "/slimmed").encode(), 0x400)
        call("renameat2", -100, (private + "/slimmed").encode(), -100, (private + "/original").encode(), 2)
        if os.stat(private + "/original").st_ino != os.fstat(made).st_ino:
            raise OSError("it was not exchanged")
    finally:
        for name in os.listdir(private):
            os.unlink(private + "/" + name)
        os.rmdir(private)

ATTEMPTS = {
    "write LIVE": lambda: write("@LIVE@"),
    "replace a capture": replacing,
    "change a mode by name": lambda: named(lambda path: call("chmod", path.encode(), 0o644)),
    "change a mode by name below a descriptor": lambda: named(lambda path: call("fchmodat", -100, path.encode(), 0o644, 0)),
    "change an owner by name": lambda: named(lambda path: call("chown", path.encode(), 1000, 1000)),
    "change an owner by name below a descriptor": lambda: named(
        lambda path: call("fchownat", -100, path.encode(), 1000, 1000, 0)),
    "change an attribute by name": lambda: named(lambda path: call("setxattr", path.encode(), b"user.a", b"b", 1, 0)),
    "write CAPTURES": lambda: write("@CAPTURES@"),
    "write OUTSIDE": lambda: write("@OUTSIDE@"),
    "write /etc": lambda: write("/etc"),
    "write /etc/pcap-slimd": lambda: write("/etc/pcap-slimd"),
    "write /usr/bin": lambda: write("/usr/bin"),
    "write /var/lib": lambda: write("/var/lib"),
    "write /run": lambda: write("/run"),
    "write /run/lock": lambda: write("/run/lock"),
    "write /run/systemd": lambda: write("/run/systemd"),
    "write /root": lambda: write("/root"),
    "write /home": lambda: write("/home"),
    "write /boot": lambda: write("/boot"),
    "write /dev": lambda: write("/dev"),
    "write /sys/fs/cgroup": lambda: os.mkdir("/sys/fs/cgroup/sandbox-probe"),
    "write /proc/sys": lambda: open("/proc/sys/kernel/hostname", "w").write("owned"),
    "open IPv4": lambda: internet(socket.AF_INET),
    "open IPv6": lambda: internet(socket.AF_INET6),
    "open packets": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close(),
    "open netlink": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0).close(),
    "map writable code": writable_code,
    "become root": lambda: call("setuid", 0),
    "mount": lambda: call("mount", b"tmpfs", b"/tmp", b"tmpfs", 0, None),
    "unshare a namespace": lambda: call("unshare", 0x10000000),
    "chroot": lambda: call("chroot", b"/tmp"),
    "load a module": lambda: call("syscall", 175, None, 0, b""),
    "trace": lambda: call("ptrace", 16, os.getppid() or 1, 0, 0),
    "set the clock": lambda: call("settimeofday", (ctypes.c_long * 2)(0, 0), None),
    "make a device": lambda: os.mknod("@LIVE@/probe-device", 0o20600, os.makedev(1, 1)),
    "make a setuid file": lambda: os.mknod("@LIVE@/probe-setuid", 0o104755),
    "send a signal to others": lambda: os.kill(@OTHER@, 0),
    "see processes of others": visible,
}
said = {}
for name, attempt in ATTEMPTS.items():
    try:
        attempt()
        said[name] = "yes"
    except BaseException as error:
        said[name] = "no: %s" % error
print("PROBED " + json.dumps(said))
'''

MUST_WORK = {"write LIVE", "replace a capture"}


def _probe():
    """Runs the attempts in the shipped unit's sandbox."""
    other = run("systemctl", "show", "--value", "--property=MainPID", "systemd-journald.service").stdout.strip()
    script = Path("/usr/local/lib/sandbox-probe.py")
    script.parent.mkdir(parents=True, exist_ok=True)
    text = ATTEMPTS.replace("@LIVE@", str(LIVE)).replace("@CAPTURES@", str(CAPTURES)).replace("@OUTSIDE@", str(OUTSIDE))
    script.write_text(text.replace("@OTHER@", other))
    # Everything of the unit but what is run and how it is looked after.
    lifetime = r"(Exec|Type|Restart|Watchdog|NotifyAccess|After|Before|Wants|\[Install|WantedBy|Runtime|State)"
    kept = [line for line in run("systemctl", "cat", UNIT).stdout.splitlines() if not re.match(lifetime, line)]
    unit = Path("/run/systemd/system") / PROBE
    unit.write_text("\n".join(kept) + f"\n[Service]\nType=oneshot\nExecStart=/usr/bin/python3 -B {script}\n"
                    f"SystemCallErrorNumber=EPERM\n")
    run("systemctl", "daemon-reload")
    run("systemctl", "start", PROBE, check=False)
    run("journalctl", "--sync")
    lines = run("journalctl", "--unit", PROBE, "--output=cat", "--quiet").stdout
    unit.unlink()
    run("systemctl", "daemon-reload")
    found = re.search(r"^PROBED (.*)$", lines, re.MULTILINE)
    expect(found, f"the attempts did not run: {lines}")
    return json.loads(found.group(1))


def a_process_in_the_unit_can_write_to_the_captures_and_to_nothing_else():
    said = _probe()
    allowed = {name for name, answer in said.items() if answer == "yes"}
    expect(MUST_WORK <= allowed, f"it cannot even do its work: {said}")
    expect(allowed == MUST_WORK, f"it can also {sorted(allowed - MUST_WORK)}")


def _status():
    lines = Path(f"/proc/{pid()}/status").read_text().splitlines()
    return {key: value.split() for key, _, value in (line.partition(":") for line in lines)}


def the_running_daemon_has_few_capabilities_a_filter_and_no_way_to_new_privileges():
    status = _status()
    expect(status["Uid"][0] != "0", "it runs as root")
    expect(status["NoNewPrivs"] == ["1"], "it may gain privileges")
    expect(status["Seccomp"] == ["2"], "no system call filter is in force")
    bits = {0: "CHOWN", 1: "DAC_OVERRIDE", 2: "DAC_READ_SEARCH", 3: "FOWNER", 28: "LEASE"}
    for kind in ("CapEff", "CapPrm", "CapBnd", "CapAmb", "CapInh"):
        value = int(status[kind][0], 16)
        more = [bit for bit in range(64) if value >> bit & 1 and bit not in bits]
        expect(not more, f"{kind} has capabilities {more}")


def the_running_daemon_sees_a_network_with_nothing_in_it():
    devices = Path(f"/proc/{pid()}/net/dev").read_text().splitlines()[2:]
    others = [line.split(":")[0].strip() for line in devices if not line.strip().startswith("lo:")]
    private = Path(f"/proc/{pid()}/ns/net").readlink() != Path("/proc/1/ns/net").readlink()
    families = property("RestrictAddressFamilies")
    expect(private or families == "AF_UNIX", f"it shares the network ({others}) and may open {families}")


def its_view_of_the_file_system_is_read_only_but_for_the_captures():
    mounts = Path(f"/proc/{pid()}/mountinfo").read_text().splitlines()
    writable = [fields[4] for fields in map(str.split, mounts) if "rw" in fields[5].split(",")]
    allowed = (str(LIVE), "/run/pcap-slimd", "/tmp", "/var/tmp", "/dev", "/proc")
    more = [path for path in writable if not path.startswith(allowed)]
    expect(not more, f"it can write to {more}")


def systemd_analyze_finds_at_most_1_5_to_complain_about():
    said = run("systemd-analyze", "security", "--no-pager", "--threshold=15", UNIT, check=False)
    expect(said.returncode == 0, said.stdout[-1500:])


def slimming_in_the_sandbox_still_works():
    for mode, owner in ((0o600, (1000, 1000)), (0o400, (0, 0)), (0o640, (4242, 4242))):
        data = conversation(30_000)
        path = put(LIVE / f"confined-{mode:o}.pcap", data, mode=mode, owner=owner)
        await_slimmed(path, data)
        there = path.stat()
        expect((there.st_uid, there.st_gid, there.st_mode & 0o7777) == (*owner, mode), f"{path.name} changed hands")
