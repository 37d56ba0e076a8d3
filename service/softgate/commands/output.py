"""Where a command's lines go."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from softgate.errors import ModelError
from softgate.workbench.whole_file import replacing


@contextmanager
def opened(output: Path | None) -> Iterator[IO[bytes]]:
    """
    A file that is there whole or not at all, a device, or, for None, standard output.

    Raises ModelError, and BrokenPipeError where whoever reads has left.
    """
    if output is None:
        # Python's own may be unbuffered, and then writes only as much as a pipe takes at once.
        with open(sys.stdout.fileno(), "wb", closefd=False) as file:
            yield file
    elif output.exists() and not output.is_file():
        # A device or a pipe is written to; a file put in its place would be the end of it.
        try:
            with output.open("wb") as file:
                yield file
        except BrokenPipeError:
            raise
        except OSError as exc:
            raise ModelError(f"{output}: cannot be written: {exc.strerror}.") from exc
    else:
        # Where a link leads, so that it stays one.
        with replacing(output.resolve()) as file:
            yield file
