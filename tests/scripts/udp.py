"""Datagrams that are answered: udp.py answer PORT, udp.py ask ADDRESS PORT TIMES."""

import socket
import sys

if __name__ == "__main__":
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    if sys.argv[1] == "answer":
        sock.bind(("", int(sys.argv[2])))
        print("ready", flush=True)
        while True:
            data, sender = sock.recvfrom(2048)
            sock.sendto(data, sender)
    address, port, times = sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    sock.settimeout(float(sys.argv[5]) if len(sys.argv) > 5 else 20)
    answered = 0
    for number in range(times):
        sock.sendto(b"datagram %d" % number, (address, port))
        try:
            answered += sock.recv(2048) == b"datagram %d" % number
        except TimeoutError:
            break
    print(f"{answered} of {times} answered")
