"""HTTP in its versions: over TLS, over QUIC, through a proxy, and in plain text where one would not expect it."""
import functools

from machine import add, ours, recorder, run, run_ours

NGINX = """
daemon off; pid nginx.pid; error_log stderr; events {{}} user root;
http {{
    access_log off;
    client_body_temp_path t; proxy_temp_path t; fastcgi_temp_path t; uwsgi_temp_path t; scgi_temp_path t;
    server {{ listen {port} {how}; root .; ssl_certificate {certificate}; ssl_certificate_key {key}; ssl_protocols TLSv1.2 TLSv1.3; }}
}}
"""
HELLOS = ("tls.handshake.extensions_server_name", "tls.handshake.ja3_full")


def nginx(place, port, how="ssl http2"):
    key, certificate = place.certificate()
    configuration = place.folder / "nginx.conf"
    configuration.write_text(NGINX.format(port=port, how=how, certificate=certificate, key=key))
    place.serve("nginx", "-p", place.folder, "-c", configuration, port=port)


def curl(place, url, *arguments):
    run("curl", "--silent", "--show-error", "--insecure", "--fail", "--output", "/dev/null", "--connect-to",
        "server.example.org::127.0.0.1:", *arguments, url)


@recorder("http2", needs=("nginx", "curl"), fields=HELLOS)
def http2(place):
    nginx(place, 443)
    with place.recording():
        for version in ("--tls-max", "1.2"), ("--tlsv1.3",):
            curl(place, "https://server.example.org/big", "--http2", *version)


@recorder("http2-in-plain-text", needs=("nginx", "curl"), fields=("http2.type",), words=(b"nginx.pid",), is_cut=False,
          decode=("tcp.port==443,http2",))
def http2_plain(place):
    nginx(place, 443, "http2")
    with place.recording():
        curl(place, "http://server.example.org:443/nginx.conf", "--http2-prior-knowledge")


@recorder("https-behind-a-proxy", needs=("nginx", "curl", "tinyproxy"),
          fields=(*HELLOS, "http.request.method"), words=(b"CONNECT server.example.org:443",))
def connect_proxy(place):
    nginx(place, 443)
    configuration = place.folder / "tinyproxy.conf"
    configuration.write_text("Port 3128\nListen 127.0.0.1\nTimeout 20\nMaxClients 5\nAllow 127.0.0.1\nConnectPort 443\n")
    with open("/etc/hosts", encoding="ascii") as hosts:
        named = place.folder / "hosts"
        named.write_text(hosts.read() + "127.0.0.1 server.example.org\n")
    run("mount", "--bind", named, "/etc/hosts")
    place.serve("tinyproxy", "-d", "-c", configuration, port=3128)
    with place.recording():
        run("curl", "--silent", "--show-error", "--insecure", "--fail", "--output", "/dev/null", "--proxy",
            "http://127.0.0.1:3128", "https://server.example.org/big")


def http(place, port):
    (place.folder / "page.html").write_text("<p>a readable page</p>\n" * 900)
    nginx(place, port, "")
    with place.recording():
        curl(place, f"http://server.example.org:{port}/page.html")


for port in (443, 22, 8443, 31337):
    add(f"http-on-port-{port}", functools.partial(http, port=port), needs=("nginx", "curl"),
        fields=("http.request.uri", "http.host", "http.response.code"), words=(b"<p>a readable page</p>",),
        is_cut=False, decode=(f"tcp.port=={port},http",))


def http3(place, *options):
    key, certificate = place.certificate()
    place.serve(*ours("http3.py"), "serve", certificate, key, *options, port=443, kind="udp")
    with place.recording():
        run_ours("http3.py", "ask", *options)


for name, options in (("http3", ()), ("http3-quic-v2", ("--v2",)), ("http3-retry", ("--retry",)),
                      ("http3-resumed", ("--resume",)), ("http3-version-negotiation", ("--negotiate",))):
    add(name, functools.partial(lambda place, options: http3(place, *options), options=options),
        fields=("quic.version", "tls.handshake.extensions_server_name"), decode=("udp.port==443,quic",))
