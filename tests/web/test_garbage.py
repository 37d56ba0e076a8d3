"""What a request leaves behind."""

import asyncio
import gc
import json
from pathlib import Path

import numpy as np

from bench.draw_profile import connected
from graphs import flat, write_model


def test_an_answered_request_leaves_nothing_to_the_garbage_collector(tmp_path: Path) -> None:
    body = json.dumps({"inputs": [[1.0, 2.0, 3.0, 4.0]]}).encode()
    head = "POST /v1/models/toy/predict HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    request = f"{head}content-length: {len(body)}\r\n\r\n".encode() + body

    async def left_by(n_requests: int) -> int:
        catalogue, http, transport = connected(write_model(tmp_path / "flat", flat(np.float32, "batch", 4, gives=4)))
        gc.collect()
        gc.disable()
        try:
            for number in range(1, n_requests + 1):
                http.data_received(request)
                while transport.n_written < number:
                    await asyncio.sleep(0)
            return gc.collect()
        finally:
            gc.enable()
            http.connection_lost(None)
            catalogue.close()

    assert asyncio.run(left_by(100)) < 100
