"""WireGuard and OpenVPN between two network namespaces. What goes through them is readable text."""
import functools
import time

from machine import FAR, NEAR, add, ours, recorder, run

TEXT = b"readable inside the tunnel"
NEAR_INSIDE, FAR_INSIDE = "10.20.0.1", "10.20.0.2"


@recorder("wireguard", needs=("wireguard-go", "wg"), fields=("wg.type", "wg.ephemeral"))
def wireguard(place):
    inside = place.peer()
    ends = []
    for interface, runner, address in (("wgnear", (), NEAR_INSIDE), ("wgfar", inside, FAR_INSIDE)):
        place.serve("wireguard-go", "-f", interface, inside=runner)
        key = place.folder / f"{interface}.key"
        key.write_text(run("wg", "genkey"))
        ends.append((interface, runner, address, key, run("wg", "pubkey", stdin=key.read_text())))
    with place.recording("near"):
        for (interface, runner, address, key, _), other, endpoint in zip(ends, reversed(ends), (FAR, NEAR)):
            until(lambda interface=interface, runner=runner: "interface" in run(*runner, "wg", "show", interface, check=False))
            run(*runner, "wg", "set", interface, "listen-port", 51820, "private-key", key, "peer", other[4],
                "allowed-ips", f"{other[2]}/32", "endpoint", f"{endpoint}:51820")
            run(*runner, "ip", "address", "add", f"{address}/24", "dev", interface)
            run(*runner, "ip", "link", "set", interface, "up")
        run(*ours("push.py"), FAR_INSIDE)
        run(*inside, *ours("push.py"), NEAR_INSIDE)


def until(holds, seconds=15):
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.05)


def openvpn(place, protocol="udp", options=(), has_key=False):
    inside = place.peer()
    ends = {name: place.certificate(f"{name}.example.org") for name in ("near", "far")}
    prints = {name: run("openssl", "x509", "-in", certificate, "-noout", "-fingerprint", "-sha256").partition("=")[2]
              for name, (_, certificate) in ends.items()}
    if has_key:
        run("openvpn", "--genkey", "secret", place.folder / "static.key")

    def end(name, other, runner, *arguments):
        key, certificate = ends[name]
        log = place.folder / f"{name}.log"
        place.serve("openvpn", "--dev", f"tun-{name}", "--dev-type", "tun", "--cert", certificate, "--key", key,
                    "--peer-fingerprint", prints[other], "--cipher", "AES-256-GCM", "--log", log, "--verb", 3,
                    *options, *arguments, inside=runner)
        return log

    server = "tcp-server" if protocol == "tcp" else protocol
    client = "tcp-client" if protocol == "tcp" else protocol
    end("far", "near", inside, "--tls-server", "--dh", "none", "--proto", server, "--local", FAR, "--ifconfig",
        FAR_INSIDE, NEAR_INSIDE)
    until(lambda: ":1194" in run(*inside, "ss", "-lntu"))
    with place.recording("near"):
        log = end("near", "far", (), "--tls-client", "--proto", client, "--remote", FAR, 1194, "--ifconfig",
                  NEAR_INSIDE, FAR_INSIDE)
        until(lambda: log.exists() and "Initialization Sequence Completed" in log.read_text())
        run(*ours("push.py"), FAR_INSIDE)
        run(*inside, *ours("push.py"), NEAR_INSIDE)


FIELDS = ("openvpn.opcode", "openvpn.sessionid")
for name, about, arguments in (
    ("openvpn-udp", {"fields": FIELDS}, {}),
    ("openvpn-udp-tls-auth", {"fields": FIELDS}, {"options": ("--tls-auth", "static.key"), "has_key": True}),
    ("openvpn-udp-tls-crypt", {"fields": ("openvpn.opcode",)}, {"options": ("--tls-crypt", "static.key"), "has_key": True}),
    ("openvpn-udp-cipher-none", {"fields": FIELDS, "words": (TEXT,), "is_cut": False},
     {"options": ("--data-ciphers", "none", "--auth", "SHA256")}),
    ("openvpn-tcp", {"fields": FIELDS, "is_cut": False}, {"protocol": "tcp"}),
):
    add(name, functools.partial(openvpn, **arguments), needs=("openvpn", "ss"), **about)
