"""Scripts run by a real client's own interpreter, against a server of ours."""

import json
import subprocess
from pathlib import Path
from typing import Any

from clients.environments import python_of
from tools import absent


def told(client: str, script: str, *arguments: str, seconds: float = 120) -> Any:
    """
    What the script beside this file, run in that client's environment, writes as JSON to standard output.

    Skips the test where the client is not set up. Fails it, with what the script says, where that fails.
    """
    python = python_of(client) or absent(f"The client {client} is not set up; make clients does it.")
    line = [str(python), str(Path(__file__).with_name(script)), *arguments]
    ended = subprocess.run(line, capture_output=True, text=True, timeout=seconds, check=False)
    assert ended.returncode == 0, f"{script} ended with {ended.returncode}:\n{ended.stderr[-4000:]}"
    return json.loads(ended.stdout)
