"""Sends datagrams of readable text: push.py ADDRESS [SOURCE]. Nobody needs to take them."""
import socket
import sys
import time

PORT = 5005
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
    if len(sys.argv) > 2:
        sender.bind((sys.argv[2], 0))
    for number in range(60):
        sender.sendto(b"readable inside the tunnel %04d " % number * 25, (sys.argv[1], PORT))
        time.sleep(0.002)
