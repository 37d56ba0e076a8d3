"""
The floor: one process that does nothing but run the graph on one thread, over rows made ready beforehand.

    raw_loop.py MODEL ROWS.json, told on standard input for how many seconds; says how many runs it made and how long.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import onnxruntime


def main() -> None:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    feeds = [{name: np.array([row])} for row in json.loads(Path(sys.argv[2]).read_text())]
    for feed in feeds:
        session.run(None, feed)
    print("ready", flush=True)
    for line in sys.stdin:
        runs, started = 0, time.perf_counter()
        while time.perf_counter() - started < float(line):
            session.run(None, feeds[runs % len(feeds)])
            runs += 1
        print(json.dumps([runs, time.perf_counter() - started]), flush=True)


if __name__ == "__main__":
    main()
