"""
Structured logs that never block and never hold input text.

A line is written only where the reader can take it at once; otherwise it is dropped and counted. An unread pipe or a
full disk therefore never stops a request. There is no thread, so a fork is safe at any time.
"""

import json
import logging
import os
import select
from collections.abc import Callable
from datetime import UTC, datetime

from softgate.types import Floats

# A write of at most PIPE_BUF bytes to a pipe is whole or not at all; a longer line could be torn between workers.
MAX_LINE_BYTES = select.PIPE_BUF
STANDARD_ERROR = 2
# What a record always carries; anything else was passed as `extra` and belongs in the line.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message", "taskName"}


class LineHandler(logging.Handler):
    """Writes formatted lines to a file descriptor, dropping what it cannot take."""

    def __init__(self, descriptor: int, dropped: Floats) -> None:
        """`dropped`, shape (1,), counts the lines that were lost."""
        super().__init__()
        self._descriptor = _without_blocking(descriptor)
        self._dropped = dropped

    def emit(self, record: logging.LogRecord) -> None:
        line = self.format(record).encode("utf-8", errors="backslashreplace")[: MAX_LINE_BYTES - 1] + b"\n"
        try:
            _, writable, _ = select.select([], [self._descriptor], [], 0)
            written = os.write(self._descriptor, line) if writable else 0
        except (OSError, ValueError):
            written = 0
        if written != len(line):
            self._dropped[0] += 1


class JsonFormatter(logging.Formatter):
    """One JSON object per line: time, level, logger, message and the record's extra fields."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **{key: value for key, value in vars(record).items() if key not in _STANDARD},
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return _fitted(line)


class TextFormatter(logging.Formatter):
    """The same for a person at a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
        extra = " ".join(f"{key}={_on_one_line(value)}" for key, value in vars(record).items() if key not in _STANDARD)
        line = f"{time} {record.levelname.lower():<8} {record.getMessage()}{'  ' if extra else ''}{extra}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


FORMATTERS: dict[str, Callable[[], logging.Formatter]] = {"json": JsonFormatter, "text": TextFormatter}


def set_up(log_format: str, dropped: Floats) -> None:
    """Send softgate's and uvicorn's records to standard error in this form: auto, json or text."""
    if log_format == "auto":
        log_format = "text" if os.isatty(STANDARD_ERROR) else "json"
    handler = LineHandler(STANDARD_ERROR, dropped)
    handler.setFormatter(FORMATTERS[log_format]())
    for name, level in (("softgate", logging.INFO), ("uvicorn", logging.WARNING)):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(level)


def _fitted(line: dict[str, object]) -> str:
    """The line's JSON, its longest text cut from the front until it fits: half an object would be no JSON at all."""
    text = json.dumps(line, ensure_ascii=False, default=str)
    while len(text.encode("utf-8", errors="backslashreplace")) >= MAX_LINE_BYTES:
        longest = max(line, key=lambda key: len(str(line[key])))
        kept = str(line[longest])
        if len(kept) < MAX_LINE_BYTES // 100:
            break
        line[longest] = f"...{kept[len(kept) // 2 + 3 :]}"
        text = json.dumps(line, ensure_ascii=False, default=str)
    return text


def _on_one_line(value: object) -> str:
    """A client's path may hold a newline; in a log it must not begin a line."""
    text = str(value)
    return text if text.isprintable() else repr(text)


def _without_blocking(descriptor: int) -> int:
    """
    The same file, opened anew so that only our own writes do not block.

    O_NONBLOCK on the descriptor itself would also change the shell it is shared with. Where the file cannot be opened
    anew (a socket, another user's pipe), the poll before each write has to do.
    """
    try:
        return os.open(f"/proc/self/fd/{descriptor}", os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK)
    except OSError:
        return descriptor
