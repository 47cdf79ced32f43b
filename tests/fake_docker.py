"""What answers like a Docker daemon of any kind, as far as telling which one it is."""

from __future__ import annotations

import json
import os
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path


@contextmanager
def fake_daemon(path: Path, *, status: int = 200, **facts: object) -> Iterator[None]:
    """Answers each request at a Unix socket with what a daemon on this kernel tells of itself.

    Args:
        path: the socket.
        status: of each answer, as HTTP has it.
        facts: what it tells differently.
    """
    told = {
        "Version": "20.10.24",
        "ApiVersion": "1.41",
        "KernelVersion": os.uname().release,
        "Components": [{"Name": "Engine"}],
        **facts,
    }

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(told).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def address_string(self) -> str:
            return "client"

        def log_message(self, format: str, *args: object) -> None:
            pass

    path.parent.mkdir(parents=True, exist_ok=True)
    with socketserver.UnixStreamServer(str(path), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()
