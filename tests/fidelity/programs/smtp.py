"""A mail server with STARTTLS, on aiosmtpd: smtp.py PORT CERTIFICATE KEY."""
import asyncio
import ssl
import sys

from aiosmtpd.handlers import Sink
from aiosmtpd.smtp import SMTP


async def listen(port, certificate, key):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = await asyncio.get_running_loop().create_server(
        lambda: SMTP(Sink(), hostname="mail.example.org", tls_context=context), "127.0.0.1", int(port))
    await server.serve_forever()


asyncio.run(listen(*sys.argv[1:]))
