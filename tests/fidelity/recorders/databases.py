"""Databases: a few bytes of their own protocol, then TLS."""
import functools
import os
from pathlib import Path

from machine import Missing, add, run

QUERY = "select repeat('0123456789', 20000)"
HELLO = ("tls.handshake.ja3_full",)
UNPRIVILEGED = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")


def mariadb(place, is_secret):
    key, certificate = place.certificate(key="rsa")
    data = place.folder / "data"
    run("mariadb-install-db", "--no-defaults", f"--datadir={data}", "--user=root", "--skip-test-db",
        "--auth-root-authentication-method=normal")
    place.serve("/usr/sbin/mariadbd", "--no-defaults", f"--datadir={data}", "--user=root", "--port=3306",
                "--bind-address=127.0.0.1", f"--socket={place.folder}/socket", f"--ssl-cert={certificate}",
                f"--ssl-key={key}", port=3306, patience=40)
    with place.recording():
        run("mariadb", "--no-defaults", "--host=127.0.0.1", "--user=root", "--ssl" if is_secret else "--skip-ssl",
            f"--execute={QUERY}")


for name, is_secret, about in (
    ("mariadb-tls", True, {"fields": ("mysql.version", *HELLO)}),
    ("mariadb-in-plain-text", False,
     {"fields": ("mysql.query", "mysql.user"), "words": (b"0123456789",), "is_cut": False}),
):
    add(name, functools.partial(mariadb, is_secret=is_secret),
        needs=("/usr/sbin/mariadbd", "mariadb-install-db", "mariadb"), **about)


def postgresql(place, is_secret):
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not installed:
        raise Missing("postgresql")
    programs = installed[-1].parent
    key, certificate = place.certificate()
    data = place.folder / "data"
    data.mkdir()
    for path in (data, key, certificate):
        os.chown(path, 65534, 65534)
    key.chmod(0o600)
    run(*UNPRIVILEGED, programs / "initdb", "--no-sync", "--auth=trust", "--username=alice", "-D", data, cwd="/")
    settings = {"ssl": "on", "ssl_cert_file": certificate, "ssl_key_file": key, "listen_addresses": "127.0.0.1",
                "unix_socket_directories": ""}
    place.serve(*UNPRIVILEGED, programs / "postgres", "-D", data,
                *[word for name, value in settings.items() for word in ("-c", f"{name}={value}")], port=5432)
    mode = "require" if is_secret else "disable"
    with place.recording():
        run("psql", f"host=127.0.0.1 user=alice dbname=postgres sslmode={mode} gssencmode=disable", "--command", QUERY)


for name, is_secret, about in (
    ("postgresql-tls", True, {"fields": ("pgsql.type", *HELLO)}),
    ("postgresql-in-plain-text", False,
     {"fields": ("pgsql.query", "pgsql.parameter_value"), "words": (b"0123456789",), "is_cut": False}),
):
    add(name, functools.partial(postgresql, is_secret=is_secret), needs=("psql", "setpriv"), **about)
