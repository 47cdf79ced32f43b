"""A network function that sends on what passes by, and counts it: relay.py INTF."""

import signal
import socket
import sys

FOR_OTHERS, UDP = 3, 17

if __name__ == "__main__":
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
    sock.bind((sys.argv[1], 0x0800))
    passed = 0

    def end(*_):
        print(f"{passed} datagrams passed", flush=True)
        sys.exit()

    signal.signal(signal.SIGTERM, end)
    print("ready", flush=True)
    while True:
        frame, (_, _, kind, *_) = sock.recvfrom(2048)
        if kind == FOR_OTHERS and frame[23] == UDP:
            sock.send(frame)
            passed += 1
