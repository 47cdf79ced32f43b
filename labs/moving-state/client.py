"""Asks the counter for keys at an even pace until its input ends, and tells what became of it.

    python3 client.py ADDRESS PORT --keys N [--rate PER_SECOND]

It prints "ready" when it has got its first answer. At the end it prints JSON, a list with an entry
for each request: [key, sent_ns, answered_ns, count]. The last two are null for a request that was
not answered. Nothing is asked twice.
"""

import argparse
import json
import random
import select
import socket
import sys
import threading
import time

LAST_ANSWERS_S = 1.0
READY_WITHIN_S = 10.0


def main() -> None:
    """Ask, and tell."""
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("port", type=int)
    parser.add_argument("--keys", type=int, required=True)
    parser.add_argument("--rate", type=float, default=1000.0)
    options = parser.parse_args()
    server = (options.address, options.port)
    asking = socket.socket(type=socket.SOCK_DGRAM)
    asking.settimeout(READY_WITHIN_S)
    sent: list[tuple[str, int]] = []
    answered: dict[int, tuple[int, int]] = {}

    def ask(key: str) -> None:
        sent.append((key, time.monotonic_ns()))
        asking.sendto(f"{key} {len(sent) - 1}".encode(), server)

    def hear() -> None:
        number, count = asking.recv(64).split()
        answered[int(number)] = (time.monotonic_ns(), int(count))

    def hear_all() -> None:
        while not over.is_set():
            try:
                hear()
            except TimeoutError:
                continue

    ask("0")
    hear()
    print("ready", flush=True)
    asking.settimeout(0.1)
    over = threading.Event()
    hearing = threading.Thread(target=hear_all)
    hearing.start()
    keys = random.Random(1)
    gap_ns = round(1e9 / options.rate)
    due_ns = time.monotonic_ns()
    while not input_ends_within(due_ns - time.monotonic_ns()):
        # Some keys are asked for often, most of them never.
        ask(str(int(options.keys ** keys.random()) - 1))
        due_ns += gap_ns
    time.sleep(LAST_ANSWERS_S)
    over.set()
    hearing.join()
    missing = (None, None)
    json.dump(
        [[*each, *answered.get(number, missing)] for number, each in enumerate(sent)], sys.stdout
    )


def input_ends_within(time_ns: int) -> bool:
    """Wait so long; whether the input has ended meanwhile."""
    return bool(select.select([sys.stdin], [], [], max(0, time_ns) / 1e9)[0])


if __name__ == "__main__":
    main()
