"""softgate, whose engine crashes on a graph that ends with CRASH, in whichever process loads it: `serve FOLDER ...`."""

import os
import signal
from typing import Any

from softgate.cli import main
from softgate.runtime import contained, repository
from softgate.runtime.session import Session

CRASH = b"crash"


def session(content: bytes, **named: Any) -> Session:
    if content.endswith(CRASH):
        # What the kernel does to a process that reads where there is nothing.
        os.kill(os.getpid(), signal.SIGSEGV)
    return Session(content, **named)


setattr(repository, "Session", session)  # noqa: B010 - in a process of its own

if __name__ == "__main__":
    # The child in which a graph is first tried has our path, too.
    contained._BOOTSTRAP = contained._BOOTSTRAP.replace(
        "sys.path[:] = order", f"sys.path[:] = [{os.path.dirname(__file__)!r}, *order"
    ).replace('["path"]', '["path"]]\nimport crashing_server')
    main()
