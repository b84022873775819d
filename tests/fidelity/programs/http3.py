"""A server and a client of HTTP/3, on aioquic.

    http3.py serve CERTIFICATE KEY [--retry] [--v2]
    http3.py ask [--resume] [--v2] [--negotiate]
"""
import asyncio
import ssl
import sys

from aioquic.asyncio import QuicConnectionProtocol, connect, serve
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.packet import QuicProtocolVersion
from aioquic.tls import SessionTicket

BODY = bytes(range(256)) * 600
OPTIONS = set(sys.argv[2:])
UNKNOWN = 0x1A2A3A4A  # a version for negotiation (RFC 9000 section 15)


def configuration(is_client):
    made = QuicConfiguration(is_client=is_client, alpn_protocols=H3_ALPN)
    if "--v2" in OPTIONS:
        made.supported_versions = [QuicProtocolVersion.VERSION_2]
        made.original_version = QuicProtocolVersion.VERSION_2 if is_client else None
    return made


class Http(QuicConnectionProtocol):
    """Either end: a server answers every request with BODY, a client waits for the end of one answer."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.http = H3Connection(self._quic)
        self.answered = asyncio.get_running_loop().create_future()

    def quic_event_received(self, event):
        for part in self.http.handle_event(event):
            if isinstance(part, HeadersReceived) and not self._quic.configuration.is_client:
                self.http.send_headers(part.stream_id, [(b":status", b"200")])
                self.http.send_data(part.stream_id, BODY, True)
                self.transmit()
            elif isinstance(part, DataReceived) and part.stream_ended and not self.answered.done():
                self.answered.set_result(None)

    async def get(self, path):
        stream = self._quic.get_next_available_stream_id()
        request = ((":method", "GET"), (":scheme", "https"), (":authority", "server.example.org"), (":path", path))
        self.http.send_headers(stream, [(name.encode(), value.encode()) for name, value in request], True)
        self.transmit()
        await asyncio.wait_for(self.answered, 10)


class Tickets(dict):
    """Session tickets that the server gave."""

    def add(self, ticket: SessionTicket):
        self[ticket.ticket] = ticket


async def listen():
    made = configuration(False)
    made.load_cert_chain(*sys.argv[2:4])
    tickets = Tickets()
    await serve("127.0.0.1", 443, configuration=made, create_protocol=Http, retry="--retry" in OPTIONS,
                session_ticket_handler=tickets.add, session_ticket_fetcher=tickets.pop)
    await asyncio.Future()


async def ask():
    made = configuration(True)
    made.verify_mode = ssl.CERT_NONE
    made.server_name = "server.example.org"
    if "--negotiate" in OPTIONS:
        made.supported_versions = [UNKNOWN, QuicProtocolVersion.VERSION_1]
        made.original_version = UNKNOWN
    tickets = []
    for _ in range(2 if "--resume" in OPTIONS else 1):
        made.session_ticket = tickets[-1] if tickets else None
        async with connect("127.0.0.1", 443, configuration=made, create_protocol=Http,
                           session_ticket_handler=tickets.append, wait_connected=not tickets) as client:
            await client.get("/big")


asyncio.run(listen() if sys.argv[1] == "serve" else ask())
