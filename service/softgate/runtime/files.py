"""Files of a model folder, read whole: from a pipe or a device there would be no end, or no beginning."""

import os
import stat
from pathlib import Path


def content(path: Path) -> bytes:
    """Links are followed. Raises OSError, and for what is no regular file too."""
    # Of a pipe, nothing waits for its other end.
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(None, "no regular file")
        return file.read()
