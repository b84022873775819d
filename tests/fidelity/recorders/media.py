"""STUN, TURN, and a WebRTC call: STUN, DTLS and SRTP on one five-tuple."""
from machine import ours, recorder, run


@recorder("stun", needs=("turnserver", "turnutils_stunclient"), fields=("stun.type", "stun.att.type"), is_cut=False)
def stun(place):
    place.serve("turnserver", "-n", "--no-cli", "-L", "127.0.0.1", "--log-file", "stdout", port=3478, kind="udp")
    with place.recording():
        run("turnutils_stunclient", "127.0.0.1")


@recorder("turn", needs=("turnserver", "turnutils_uclient"), is_cut=False,
          fields=("stun.att.username", "stun.att.realm", "stun.att.error"))
def turn(place):
    place.serve("turnserver", "-n", "--no-cli", "-L", "127.0.0.1", "-a", "-u", "alice:secret", "-r", "example.org",
                "--allow-loopback-peers", "--log-file", "stdout", port=3478, kind="udp")
    with place.recording():
        run("turnutils_uclient", "-u", "alice", "-w", "secret", "-n", 20, "-m", 1, "-y", "127.0.0.1")


@recorder("webrtc-call", fields=("stun.att.username", "dtls.handshake.type", "dtls.handshake.certificate"))
def webrtc(place):
    # Candidates on the loopback's own address are passed over: a link of ours, whose traffic to itself is on lo.
    place.peer()
    with place.recording():
        run(*ours("webrtc.py"), timeout=40)
