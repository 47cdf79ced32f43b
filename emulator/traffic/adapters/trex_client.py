"""Drives a TRex server by TRex's own Python interface; a program of its own, run by ``trex.py``.

Usage: trex_client.py FOLDER ANSWER REQUEST. The folder is TRex's, the answer a file to write the
statistics to, the request what ``trex.request_of`` makes. **Not tried on a real installation.**
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

_INTERFACE = "automation/trex_control_plane/interactive"
_SENDS, _RECEIVES = 0, 1
_HEADERS_BYTES = 14 + 20 + 8
_STAMP_BYTES = 16
"""What TRex adds to a packet whose latency it measures."""


def main() -> None:
    """Send what is asked for, and write what came of it."""
    folder, answer, request = sys.argv[1], Path(sys.argv[2]), json.loads(sys.argv[3])
    sys.path.insert(0, str(Path(folder) / _INTERFACE))
    from trex.stl import api  # type: ignore[import-not-found]

    client = api.STLClient()
    client.connect()
    try:
        client.reset(ports=[_SENDS, _RECEIVES])
        client.add_streams(_streams(api, request), ports=[_SENDS])
        client.clear_stats()
        began = time.monotonic()
        client.start(ports=[_SENDS], mult="1", duration=request["duration_s"], force=True)
        client.wait_on_traffic(ports=[_SENDS])
        took_s = time.monotonic() - began
        statistics = client.get_stats()
    finally:
        client.disconnect()
    report = {"duration_s": min(took_s, request["duration_s"]), "stats": statistics}
    # What it does not know is an object of its own, StatNotAvailable.
    answer.write_text(json.dumps(report, default=lambda _: None))


def _streams(api: Any, request: dict[str, Any]) -> list[Any]:
    payload = max(_STAMP_BYTES, request["frame_bytes"] - _HEADERS_BYTES) * "x"
    headers = api.Ether() / api.IP(src="16.0.0.1", dst="48.0.0.1") / api.UDP(dport=12, sport=1025)
    packet = api.STLPktBuilder(pkt=headers / payload)
    load = _as_rate(request["rate"])
    streams = [api.STLStream(name="load", packet=packet, mode=api.STLTXCont(**load))]
    if request["latency_pps"]:
        streams.append(
            api.STLStream(
                name="latency",
                packet=packet,
                flow_stats=api.STLFlowLatencyStats(pg_id=request["pg_id"]),
                mode=api.STLTXCont(pps=request["latency_pps"]),
            )
        )
    return streams


def _as_rate(text: str) -> dict[str, float]:
    if text.endswith("pps"):
        return {"pps": float(text.removesuffix("pps"))}
    return {"percentage": float(text.removesuffix("%"))}


if __name__ == "__main__":
    main()
