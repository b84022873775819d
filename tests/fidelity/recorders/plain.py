"""Plain text on ports that are known for ciphertext, and names."""
import functools
import socket
import threading

from machine import add

SECRET = b"exfiltrated: user=alice token=0123456789 "
TALK = {
    "lines": [SECRET * 40] * 30,
    "binary": [bytes(range(256)) + SECRET * 5] * 40,
    # A first byte as of application data, and no record behind it.
    "like-a-record": [b"\x17\x03\x03" + SECRET * 30] * 20,
    "like-a-hello": [b"\x16\x03\x01\x02\x00\x01" + SECRET * 30] * 20,
}


def over_tcp(place, messages, port):
    with socket.create_server(("127.0.0.1", port)) as listener:
        def answer():
            connection, _ = listener.accept()
            with connection:
                while said := connection.recv(65536):
                    connection.sendall(b"ok " + said[:200])
        server = threading.Thread(target=answer)
        with place.recording():
            server.start()
            with socket.create_connection(("127.0.0.1", port)) as client:
                for message in messages:
                    client.sendall(message)
                    client.recv(65536)
                client.shutdown(socket.SHUT_WR)
                while client.recv(65536):
                    pass
            server.join()


def over_udp(place, messages, port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server, \
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client, place.recording():
        server.bind(("127.0.0.1", port))
        for message in messages:
            client.sendto(message[:1400], ("127.0.0.1", port))
            said, sender = server.recvfrom(65536)
            server.sendto(b"ok " + said[:200], sender)
            client.recv(65536)


for word, messages in TALK.items():
    add(f"plain-{word}-on-tcp-443", functools.partial(over_tcp, messages=messages, port=443), words=(SECRET,), is_cut=False)
    for port in (443, 4500):
        add(f"plain-{word}-on-udp-{port}", functools.partial(over_udp, messages=messages, port=port), words=(SECRET,),
            is_cut=False)


def dns(place):
    def question(number):
        name = b"".join(bytes([len(label)]) + label for label in (b"host%d" % number, b"example", b"org"))
        return b"%c%c\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00" % (1, number) + name + b"\x00\x00\x01\x00\x01"
    over_udp(place, [question(number) for number in range(20)], 53)


add("dns", dns, fields=("dns.qry.name",), words=(b"\x07example\x03org",), is_cut=False)
