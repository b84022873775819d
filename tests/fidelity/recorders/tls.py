"""TLS and DTLS between openssl's s_server and s_client: every version, and what makes one handshake unlike another."""
import functools
import subprocess
import time

from machine import add, recorder, run

HELLOS = ("tls.handshake.type", "tls.handshake.extensions_server_name", "tls.handshake.ja3_full")
CERTIFICATE = (*HELLOS, "tls.handshake.certificate")
ANCIENT = ("-cipher", "DEFAULT@SECLEVEL=0")
REQUEST = "GET /big HTTP/1.0\r\n\r\n"


def listen(place, port, *arguments, key="ec"):
    private, certificate = place.certificate(key=key)
    named = () if "-cert" in arguments or "-nocert" in arguments else ("-cert", certificate, "-key", private)
    place.serve("openssl", "s_server", "-accept", port, "-WWW", *named, *arguments, port=port)


def ask(place, port, *arguments, request=REQUEST, check=True):
    return run("openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-servername", "server.example.org", "-quiet",
               *arguments, stdin=request, cwd=place.folder, check=check, timeout=20)


def connect(place, server=(), client=(), port=443, times=1):
    listen(place, port, *server)
    with place.recording():
        for _ in range(times):
            ask(place, port, *client)


def version(flag, *rest):
    return functools.partial(connect, server=(flag, *rest), client=(flag, *rest))


for name, record, fields in (
    ("tls-1.0", version("-tls1", *ANCIENT), CERTIFICATE),
    ("tls-1.1", version("-tls1_1", *ANCIENT), CERTIFICATE),
    ("tls-1.2", version("-tls1_2"), CERTIFICATE),
    ("tls-1.2-rsa-key-exchange", functools.partial(
        connect, server=("-tls1_2",), client=("-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA:AES128-SHA")), CERTIFICATE),
    ("tls-1.3", version("-tls1_3"), HELLOS),
    ("tls-1.3-padded", functools.partial(connect, server=("-tls1_3", "-record_padding", "512")), HELLOS),
    ("tls-1.3-hello-retry-request", functools.partial(connect, server=("-groups", "P-384")), HELLOS),
    ("tls-1.3-middlebox-off", functools.partial(connect, server=("-no_middlebox",), client=("-no_middlebox",)), HELLOS),
    ("tls-1.3-psk", functools.partial(
        connect, server=("-nocert", "-psk", "1a2b3c4d5e6f"), client=("-psk", "1a2b3c4d5e6f")), HELLOS),
    ("tls-small-fragments", functools.partial(
        connect, server=("-tls1_2", "-split_send_frag", "512", "-max_send_frag", "512")), CERTIFICATE),
    ("tls-alpn-and-ocsp", functools.partial(
        connect, server=("-alpn", "h2,http/1.1"), client=("-alpn", "http/1.1", "-status")), HELLOS),
    ("tls-odd-port", functools.partial(connect, server=("-tls1_2",), port=31337, times=2), CERTIFICATE),
):
    add(name, record, needs=("openssl",), fields=fields)

add("tls-1.2-null-cipher", functools.partial(
    connect, server=("-tls1_2", "-cipher", "eNULL:@SECLEVEL=0"), client=("-tls1_2", "-cipher", "eNULL:@SECLEVEL=0")),
    needs=("openssl",), fields=CERTIFICATE, words=(b"GET /big",), is_cut=False)


def resume(place, *flags):
    listen(place, 443, *flags)
    session = place.folder / "session"
    with place.recording():
        ask(place, 443, "-sess_out", session)
        ask(place, 443, "-sess_in", session)


for name, flags in (("ticket", ("-tls1_2",)), ("session-id", ("-tls1_2", "-no_ticket")), ("psk", ("-tls1_3",))):
    add(f"tls-resumed-by-{name}", functools.partial(lambda place, flags: resume(place, *flags), flags=flags),
        needs=("openssl",), fields=HELLOS)


def client_certificate(place, version):
    key, certificate = place.certificate("client.example.org")
    listen(place, 443, version, "-Verify", 2, "-CAfile", certificate, key="rsa")
    with place.recording():
        ask(place, 443, "-cert", certificate, "-key", key)


add("tls-1.2-client-certificate", functools.partial(client_certificate, version="-tls1_2"), needs=("openssl",),
    fields=(*CERTIFICATE, "tls.handshake.dname"))
add("tls-1.3-client-certificate", functools.partial(client_certificate, version="-tls1_3"), needs=("openssl",), fields=HELLOS)


@recorder("tls-1.2-long-chain", needs=("openssl",), fields=CERTIFICATE)
def long_chain(place):
    """Twelve certificates: a handshake message that spans records and many segments."""
    chain = [place.certificate(f"authority-{number}.example.org", key="rsa")[1] for number in range(12)]
    bundle = place.folder / "chain.crt"
    bundle.write_text("".join(path.read_text() for path in chain))
    listen(place, 443, "-tls1_2", "-cert_chain", bundle, "-no_ticket")
    with place.recording():
        ask(place, 443)


@recorder("tls-1.2-renegotiation", needs=("openssl",), fields=CERTIFICATE)
def renegotiation(place):
    """Handshakes under encryption, with application data before and behind."""
    listen(place, 443, "-tls1_2", "-client_renegotiation")
    with place.recording():
        talk(place, "R\n")


@recorder("tls-1.3-key-update", needs=("openssl",), fields=HELLOS)
def key_update(place):
    listen(place, 443, "-tls1_3")
    with place.recording():
        talk(place, "K\n", "k\n")


def talk(place, *commands):
    """A client that gives s_client's commands before it asks."""
    client = subprocess.Popen(["openssl", "s_client", "-connect", "127.0.0.1:443", "-servername", "server.example.org"],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=place.folder)
    for line in (*commands, REQUEST):
        time.sleep(0.3)
        client.stdin.write(line.encode())
        client.stdin.flush()
    time.sleep(0.5)
    client.communicate(timeout=20)


@recorder("tls-1.3-early-data", needs=("openssl",), fields=HELLOS)
def early_data(place):
    private, certificate = place.certificate()
    place.serve("openssl", "s_server", "-accept", 443, "-cert", certificate, "-key", private, "-early_data",
                "-no_anti_replay", "-max_early_data", 16384, "-naccept", 2, port=443, stdin=subprocess.PIPE)
    early = place.folder / "early"
    early.write_bytes(b"early " * 1500)
    command = ("timeout", 2, "openssl", "s_client", "-connect", "127.0.0.1:443", "-servername", "server.example.org")
    with place.recording():
        run(*command, "-sess_out", place.folder / "session", "-ign_eof", check=False)
        run(*command, "-sess_in", place.folder / "session", "-early_data", early, "-ign_eof", check=False)


@recorder("tls-alerts", needs=("openssl",), fields=("tls.alert_message.desc",), is_cut=False)
def alerts(place):
    """An unknown authority, and no cipher in common."""
    listen(place, 443, "-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256")
    with place.recording():
        ask(place, 443, "-verify_return_error", check=False)
        ask(place, 443, "-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-GCM-SHA384", check=False)


def datagrams(place, *arguments):
    """DTLS; the server only listens, the client sends a record at a time."""
    private, certificate = place.certificate(key="rsa")
    place.serve("openssl", "s_server", "-accept", 4433, "-cert", certificate, "-key", private, "-mtu", 1400, *arguments,
                port=4433, kind="udp", stdin=subprocess.PIPE)
    with place.recording():
        client = subprocess.Popen(["openssl", "s_client", "-connect", "127.0.0.1:4433", "-quiet", "-mtu", "1400",
                                   "-servername", "server.example.org", *arguments], stdin=subprocess.PIPE,
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=place.folder)
        time.sleep(0.5)
        for _ in range(40):
            client.stdin.write(b"a line to go into a datagram " * 30 + b"\n")
            client.stdin.flush()
            time.sleep(0.01)
        client.terminate()
        client.wait(timeout=5)


DTLS = ("dtls.handshake.type", "dtls.handshake.extensions_server_name", "dtls.handshake.certificate")
for name, arguments in (("1.2", ("-dtls1_2",)), ("1.0", ("-dtls1", *ANCIENT))):
    add(f"dtls-{name}", functools.partial(lambda place, arguments: datagrams(place, *arguments), arguments=arguments),
        needs=("openssl",), fields=DTLS, decode=("udp.port==4433,dtls",))
