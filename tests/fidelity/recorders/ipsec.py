"""IKE and ESP: strongSwan with its ESP in UDP, the kernel's ESP where it has one, and scapy's."""
import functools
import time

from capture import Packet
from machine import FAR, NEAR, Impossible, add, ours, run

CHARON = "/usr/lib/ipsec/charon"
TEXT = b"readable inside the tunnel"
PLUGINS = ("random nonce aes sha1 sha2 hmac kdf pem pkcs1 pkcs8 x509 pubkey gcm drbg openssl socket-default "
           "kernel-libipsec kernel-netlink vici")
STRONGSWAN = """
charon {{
  load = {plugins}
  i_dont_care_about_security_and_use_aggressive_mode_psk = yes
  plugins {{ vici {{ socket = {socket} }} }}
}}
"""
SWANCTL = """
connections {{
  peer {{
    version = {version}
    aggressive = {aggressive}
    local_addrs = {here}
    remote_addrs = {there}
    proposals = aes128-sha256-modp2048
    local {{ auth = psk
      id = {me}.example.org }}
    remote {{ auth = psk
      id = {you}.example.org }}
    children {{ net {{ local_ts = {local}/32
      remote_ts = {remote}/32
      esp_proposals = {esp} }} }}
  }}
}}
secrets {{ ike-peer {{ secret = "a shared secret" }} }}
"""
NEAR_NET, FAR_NET = "10.11.0.1", "10.12.0.1"


def strongswan(place, version=2, aggressive="no", esp="aes128-sha256"):
    inside = place.peer()
    ends = (("near", (), NEAR, FAR, NEAR_NET, FAR_NET, "far"), ("far", inside, FAR, NEAR, FAR_NET, NEAR_NET, "near"))
    control = {}
    with place.recording("near"):
        for me, runner, here, there, local, remote, you in ends:
            socket = f"unix://{place.folder}/{me}.vici"
            settings, connection = place.folder / f"{me}.conf", place.folder / f"{me}.swanctl"
            settings.write_text(STRONGSWAN.format(plugins=PLUGINS, socket=socket))
            connection.write_text(SWANCTL.format(**locals()))
            run(*runner, "ip", "address", "add", f"{local}/32", "dev", "lo")
            # Each has a /run of its own, for the place of the process id is built in.
            place.serve("sh", "-c", f"mount -t tmpfs tmpfs /run; STRONGSWAN_CONF={settings} exec {CHARON} --use-syslog no",
                        inside=(*runner, "unshare", "--mount"))
            control[me] = ("swanctl", "--uri", socket)
            retry(lambda me=me: run("swanctl", "--stats", "--uri", control[me][2]))
            run("swanctl", "--load-all", "--file", connection, "--uri", control[me][2])
        run("swanctl", "--initiate", "--child", "net", "--uri", control["near"][2], "--timeout", 15)
        run(*ours("push.py"), FAR_NET, NEAR_NET)
        run(*inside, *ours("push.py"), NEAR_NET, FAR_NET)
        run("swanctl", "--terminate", "--ike", "peer", "--uri", control["near"][2], check=False)


def retry(action, seconds=10):
    end = time.monotonic() + seconds
    while True:
        try:
            return action()
        except RuntimeError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


IKE = ("isakmp.exchangetype", "isakmp.ispi", "isakmp.key_exchange.data", "isakmp.nonce")
for name, about, arguments in (
    ("ikev2-esp-in-udp", {"fields": (*IKE, "esp.spi")}, {}),
    ("ikev1-main-mode", {"fields": IKE}, {"version": 1}),
    ("ikev1-aggressive-mode", {"fields": IKE}, {"version": 1, "aggressive": "yes"}),
    ("ikev2-esp-null-in-udp", {"fields": IKE, "words": (TEXT,), "is_cut": False}, {"esp": "null-sha256"}),
):
    add(name, functools.partial(strongswan, **arguments), needs=(CHARON, "swanctl", "unshare"), **about)


def kernel(place, encryption, key, encapsulation=()):
    inside = place.peer()
    for runner in ((), inside):
        for spi, source, destination in (("0x101", NEAR, FAR), ("0x102", FAR, NEAR)):
            state = (*runner, "ip", "xfrm", "state", "add", "src", source, "dst", destination, "proto", "esp", "spi", spi,
                     "mode", "transport", "enc", encryption, key, "auth-trunc", "hmac(sha256)", "0x" + "11" * 32, 128,
                     *encapsulation)
            try:
                run(*state)
            except RuntimeError as error:
                if "Requested type not found" in str(error) or "Protocol not supported" in str(error):
                    raise Impossible("this kernel has no ESP (CONFIG_INET_ESP)") from error
                raise
            direction = "out" if (source == NEAR) == (not runner) else "in"
            run(*runner, "ip", "xfrm", "policy", "add", "src", source, "dst", destination, "dir", direction, "tmpl",
                "src", source, "dst", destination, "proto", "esp", "mode", "transport")
    with place.recording("near"):
        run(*ours("push.py"), FAR)
        run(*inside, *ours("push.py"), NEAR)


AES = ("cbc(aes)", "0x" + "22" * 16)
NULL = ("ecb(cipher_null)", "")
for name, cipher, encapsulation, about in (
    ("esp-of-the-kernel", AES, (), {"fields": ("esp.spi",)}),
    ("esp-null-of-the-kernel", NULL, (), {"words": (TEXT,), "is_cut": False}),
    ("esp-in-udp-of-the-kernel", AES, ("encap", "espinudp", 4500, 4500, "0.0.0.0"), {"fields": ("esp.spi",)}),
):
    add(name, functools.partial(kernel, encryption=cipher[0], key=cipher[1], encapsulation=encapsulation),
        needs=("ip",), **about)


def scapy(place, algorithm, key, is_in_udp=False):
    """Packets that scapy encrypts; they are not sent anywhere."""
    from scapy.layers.inet import IP, UDP
    from scapy.layers.ipsec import ESP, SecurityAssociation
    from scapy.layers.l2 import Ether
    association = SecurityAssociation(
        ESP, spi=0x12345678, crypt_algo=algorithm, crypt_key=key, auth_algo="SHA2-256-128", auth_key=b"1" * 32,
        nat_t_header=UDP(sport=4500, dport=4500) if is_in_udp else None)
    for number in range(60):
        inner = IP(src=NEAR, dst=FAR) / UDP(sport=40000, dport=5005) / ((TEXT + b" %04d " % number) * 25)
        frame = bytes(Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / association.encrypt(inner))
        place.packets.append(Packet((1_700_000_000 + number, 0), frame, len(frame)))


for name, cipher, about in (
    ("esp-of-scapy", ("AES-CBC", b"2" * 16), {"fields": ("esp.spi",)}),
    ("esp-null-of-scapy", ("NULL", b""), {"words": (TEXT,), "is_cut": False}),
    ("esp-in-udp-of-scapy", ("AES-CBC", b"2" * 16, True), {"fields": ("esp.spi",)}),
):
    add(name, functools.partial(lambda place, cipher: scapy(place, *cipher), cipher=cipher), **about)
