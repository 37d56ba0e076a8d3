"""A file that a reader sees whole or not at all."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from softgate.errors import ModelError


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """
    Write what `path` holds after the block; until then, and where the block raises, what it held before.

    Raises ModelError.
    """
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            try:
                yield file
                file.flush()
                os.fsync(file.fileno())
                os.chmod(file.name, 0o644)
                os.replace(file.name, path)
            except BaseException:
                os.unlink(file.name)
                raise
    except OSError as exc:
        raise ModelError(f"{path}: cannot be written: {exc.strerror}.") from exc


def replace(path: Path, content: bytes) -> None:
    """A reader sees the old file or the new one, never a part, whatever happens meanwhile. Raises ModelError."""
    with replacing(path) as file:
        file.write(content)
