"""`pcap-slimd status` answers in three forms, to those who may ask, whatever other clients do."""
import json
import re
import socket
import stat
from pathlib import Path

from sensor import (LIVE, UNIT, await_slimmed, configure, conversation, eventually, expect, override, property,
                    put, reload, restart, run, staging)

NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
SAMPLE = re.compile(r'[a-zA-Z_:][a-zA-Z0-9_:]*(\{([a-z_]+="([^"\\\n]|\\.)*",?)*\})? [-+0-9.eE]+(Inf|NaN)?')


def _sockets():
    runtime = Path("/run") / (property("RuntimeDirectory").split() or ["pcap-slimd"])[0]
    return runtime, [path for path in runtime.rglob("*") if stat.S_ISSOCK(path.lstat().st_mode)]


def _status_json():
    return json.loads(run("pcap-slimd", "status", "--format", "json").stdout)


def status_is_a_table_for_people():
    said = run("pcap-slimd", "status").stdout
    expect(str(LIVE) in said, f"it does not name what is watched: {said}")
    expect("\x1b" not in said, "it is coloured although it is no terminal")


def status_is_json_for_programs():
    said = _status_json()
    expect(str(LIVE) in json.dumps(said), f"it does not name what is watched: {said}")


def status_shows_what_is_in_work():
    configure("zz-slow", "[budget]\nmax_io_mbps = 1\n")
    reload()
    data = conversation(6_000_000)
    path = put(LIVE / "in-work.pcap", data, age=60)
    waiting = put(LIVE / "not-due-for-long.pcap", data, age=-600)
    eventually(lambda: staging(LIVE), "it is in work")
    eventually(lambda: waiting.name in json.dumps(_status_json()["queued"]), "JSON shows what is queued")
    table, form = run("pcap-slimd", "status").stdout, _status_json()
    configure("zz-slow", "")
    reload()
    expect(path.name in table, f"the table does not show it: {table}")
    expect(path.name in json.dumps(form["running"]), f"JSON does not show it: {form}")
    waiting.unlink()
    await_slimmed(path, data, 30)


def status_is_openmetrics_for_collectors():
    lines = run("pcap-slimd", "status", "--format", "openmetrics").stdout.splitlines()
    expect(lines[-1] == "# EOF", f"it ends with {lines[-1]!r}")
    samples = [line for line in lines[:-1] if not line.startswith(("# TYPE ", "# HELP ", "# UNIT "))]
    wrong = [line for line in samples if not SAMPLE.fullmatch(line)]
    expect(not wrong, f"no OpenMetrics: {wrong[:3]}")
    typed = {line.split()[2] for line in lines if line.startswith("# TYPE ")}
    expect(len(typed) >= 6, f"only {typed}")
    for sample in samples:
        name = re.split(r"[{ ]", sample)[0]
        family = re.sub("_(total|info)$", "", name)
        expect({name, family} & typed, f"{name} has no type")


def who_is_not_in_the_group_gets_no_answer_and_a_reason():
    done = run(*NOBODY, "pcap-slimd", "status", check=False)
    expect(done.returncode not in (0, 101), f"exit {done.returncode}: {done.stdout}{done.stderr}")
    expect(done.stderr.strip() and str(LIVE) not in done.stdout, "no reason is given")
    runtime, sockets = _sockets()
    expect(sockets, f"no socket below {runtime}")
    for path in sockets:
        expect(not path.stat().st_mode & 0o007 or not runtime.stat().st_mode & 0o007, f"{path} is open to everybody")


def clients_that_send_rubbish_or_never_read_do_no_harm():
    _, sockets = _sockets()
    expect(sockets, "there is no socket")
    clients = []
    try:
        for number in range(100):
            client = socket.socket(socket.AF_UNIX)
            client.settimeout(1)
            try:
                client.connect(str(sockets[0]))
                client.sendall((b"\xff\0" * 40_000, b"{", b"\n" * 1000, b"")[number % 4])
            except OSError:  # turned away is as good as ignored
                pass
            clients.append(client)
        data = conversation(20_000)
        await_slimmed(put(LIVE / "despite-clients.pcap", data), data)
    finally:
        for client in clients:
            client.close()
    eventually(lambda: run("pcap-slimd", "status", check=False).returncode == 0, "it answers again")


def status_of_a_daemon_that_does_not_run_is_an_error_with_a_reason():
    run("systemctl", "stop", UNIT)
    done = run("pcap-slimd", "status", check=False)
    run("systemctl", "start", UNIT)
    expect(done.returncode not in (0, 101), f"exit {done.returncode}")
    expect("run" in done.stderr, f"it says {done.stderr!r}")


def metrics_are_written_to_a_file_for_the_textfile_collector():
    file = LIVE.parent / "metrics" / "pcap-slimd.prom"
    file.parent.mkdir(exist_ok=True)
    file.parent.chmod(0o777)
    configure("metrics", f'[daemon]\nmetrics_file = "{file}"\n')
    override("metrics", f"[Service]\nReadWritePaths={file.parent}\n")
    restart()
    eventually(file.exists, "it is written", 20)
    first = file.stat().st_mtime_ns
    expect("# TYPE " in file.read_text(), "there are no metrics in it")
    expect(file.stat().st_mode & 0o004, "the collector may not read it")
    eventually(lambda: file.stat().st_mtime_ns > first, "it is written again", 20)
