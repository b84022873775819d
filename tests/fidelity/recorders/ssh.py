"""OpenSSH: several key exchanges, and a transfer that exchanges keys again and again."""
import functools
import os

from machine import add, run

FIELDS = ("ssh.protocol", "ssh.kex_algorithms", "ssh.kex.hassh", "ssh.kex.hasshserver", "ssh.host_key.type")


def session(place, options, port=22):
    for name, kind in (("host", "ed25519"), ("user", "ed25519")):
        run("ssh-keygen", "-q", "-t", kind, "-N", "", "-f", place.folder / name)
    os.makedirs("/run/sshd", exist_ok=True)
    place.serve("/usr/sbin/sshd", "-D", "-e", "-f", "/dev/null", "-p", port, "-o", f"HostKey={place.folder}/host",
                "-o", f"AuthorizedKeysFile={place.folder}/user.pub", "-o", "StrictModes=no", "-o", "PidFile=none",
                "-o", "KexAlgorithms=+diffie-hellman-group14-sha1", port=port)
    with place.recording():
        run("ssh", "-F", "none", "-p", port, "-i", place.folder / "user", "-o", "StrictHostKeyChecking=no",
            "-o", "UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes", *options, "root@127.0.0.1",
            "head -c 150000 /dev/urandom")


for name, options, port in (
    ("curve25519", ("-oKexAlgorithms=curve25519-sha256",), 22),
    ("post-quantum", ("-oKexAlgorithms=sntrup761x25519-sha512@openssh.com",), 22),
    ("group-exchange", ("-oKexAlgorithms=diffie-hellman-group-exchange-sha256",), 22),
    ("group14-sha1", ("-oKexAlgorithms=+diffie-hellman-group14-sha1", "-oMACs=hmac-sha2-256", "-oCiphers=aes128-ctr"), 22),
    ("rekeying", ("-oRekeyLimit=16K",), 22),
    ("odd-port", ("-oCompression=yes",), 443),
):
    add(f"ssh-{name}", functools.partial(session, options=options, port=port), needs=("ssh", "/usr/sbin/sshd"),
        fields=FIELDS, misread=("ssh.message_code",), decode=(f"tcp.port=={port},ssh",))
