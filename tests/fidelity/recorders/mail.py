"""Mail and files: plain text that goes over to TLS, and for FTP back again."""
import ftplib
import functools
import imaplib
import smtplib
import ssl

from machine import add, ours, recorder, run

LETTER = b"Subject: a letter\r\n\r\n" + b"0123456789 abcdefghijklmnopqrstuvwxyz\r\n" * 2500
HELLO = ("tls.handshake.ja3_full",)
DOVECOT = """
protocols = imap
listen = 127.0.0.1
base_dir = /run/dovecot
log_path = /dev/stderr
ssl = yes
ssl_cert = <{certificate}
ssl_key = <{key}
disable_plaintext_auth = no
passdb {{
  driver = static
  args = password=secret
}}
userdb {{
  driver = static
  args = uid=65534 gid=65534 home={home}
}}
mail_location = maildir:~/Maildir
"""
PROFTPD = """
ModulePath /usr/lib/proftpd
LoadModule mod_tls.c
ServerType standalone
Port 21
DefaultAddress 127.0.0.1
User nobody
Group nogroup
PidFile {folder}/proftpd.pid
ScoreboardFile {folder}/scoreboard
AuthOrder mod_auth_file.c
AuthUserFile {folder}/users
RequireValidShell off
WtmpLog off
TLSEngine on
TLSLog {folder}/tls.log
TLSRequired off
TLSOptions NoSessionReuseRequired
{kind}CertificateFile {certificate}
{kind}CertificateKeyFile {key}
"""


def trusting():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


@recorder("smtp-starttls", fields=("smtp.req.command", "smtp.response.code", *HELLO), words=(b"STARTTLS",))
def smtp(place):
    key, certificate = place.certificate()
    place.serve(*ours("smtp.py"), 25, certificate, key, port=25)
    with place.recording(), smtplib.SMTP("127.0.0.1", 25, local_hostname="client.example.org") as client:
        client.starttls(context=trusting())
        client.sendmail("alice@example.org", ["bob@example.org"], LETTER)


def imap(place, is_secret):
    key, certificate = place.certificate()
    home = place.folder / "home"
    home.mkdir()
    run("chown", "65534:65534", home)
    configuration = place.folder / "dovecot.conf"
    configuration.write_text(DOVECOT.format(certificate=certificate, key=key, home=home))
    place.serve("dovecot", "-F", "-c", configuration, port=143)
    with place.recording():
        client = imaplib.IMAP4("127.0.0.1", 143)
        if is_secret:
            client.starttls(trusting())
        client.login("alice", "secret")
        client.append("INBOX", None, None, LETTER)
        client.select()
        client.fetch("1", "(RFC822)")
        client.logout()


add("imap-starttls", functools.partial(imap, is_secret=True), needs=("dovecot",),
    fields=("imap.request", "imap.response", *HELLO), misread=("imap.request", "imap.response"), words=(b"STARTTLS",))
add("imap-in-plain-text", functools.partial(imap, is_secret=False), needs=("dovecot",),
    fields=("imap.request",), words=(b"LOGIN alice", b"0123456789 abcdefghijklmnopqrstuvwxyz"), is_cut=False)


@recorder("ftp-clear-command-channel", needs=("proftpd",), fields=("ftp.request.command", "ftp.request.arg"),
          words=(b"AUTH TLS", b"CWD /afterwards", b"RETR big"))
def ftp(place):
    """TLS on the control channel up to CCC (RFC 4217 section 12.4); data channels stay encrypted."""
    key, certificate = place.certificate(key="rsa")
    run("chmod", "600", key)
    hashed = run("openssl", "passwd", "-1", "secret")
    users = place.folder / "users"
    users.write_text(f"alice:{hashed}:65534:65534::{place.folder}:/bin/sh\n")
    users.chmod(0o600)
    run("chown", "nobody", users)
    configuration = place.folder / "proftpd.conf"
    configuration.write_text(PROFTPD.format(folder=place.folder, kind="TLSRSA", certificate=certificate, key=key))
    place.serve("proftpd", "-n", "-q", "-c", configuration, port=21)
    with place.recording():
        client = ftplib.FTP_TLS(context=trusting())
        client.connect("127.0.0.1", 21, 10)
        client.auth()
        client.login("alice", "secret")
        client.prot_p()
        client.ccc()
        try:
            client.cwd("/afterwards")
        except ftplib.error_perm:
            pass
        client.retrbinary("RETR big", lambda _: None)
        client.quit()
