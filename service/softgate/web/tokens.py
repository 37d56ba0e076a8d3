"""The tokens file: who may ask for what. It holds sha256 digests, so whoever reads it learns no token."""

import hashlib
import re
import secrets
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from softgate.errors import InvalidInput, StartupFailed
from softgate.runtime.card import MODEL_NAME
from softgate.runtime.table import Table

SCOPES: Mapping[str, str] = {
    "predict": "ask for predictions and rankings",
    "read": "read everything else: models, drift, metrics, documentation",
    "admin": "change something: acknowledge an alarm, /admin",
}
# Says to people and to scanners of source code what it is.
PREFIX = "softgate_"
RANDOM_BYTES = 32
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Token:
    name: str
    digest: bytes
    """sha256 of the token."""
    scopes: frozenset[str]
    models: frozenset[str] | None
    """Those it is good for; None: all."""


class TokensFile:
    """The tokens of a file that may change: the last that could be read. A forked process has those of its parent."""

    def __init__(self, path: Path) -> None:
        """Raises StartupFailed."""
        self._path = path
        # Looked at first: what changes in between differs at the next look.
        self._seen = _state(path)
        self.tokens = read_tokens(path)

    def look(self) -> bool:
        """Whether they are others than at the last look. Raises StartupFailed, once for a change that is not read."""
        state = _state(self._path)
        if state == self._seen:
            return False
        self._seen = state
        self.tokens = read_tokens(self._path)
        return True


def new_token() -> str:
    """256 random bits, so that a digest without salt is enough to guard it."""
    return PREFIX + secrets.token_urlsafe(RANDOM_BYTES)


def digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()


def written(name: str, token: str, *, scopes: Sequence[str], models: Sequence[str]) -> str:
    """The token's table for the tokens file. Raises InvalidInput for what that could not be read back from."""
    for what in (name, *models):
        if not MODEL_NAME.fullmatch(what):
            raise InvalidInput(f"Expected a name matching {MODEL_NAME.pattern}; got {what!r}.")
    if not set(scopes) <= SCOPES.keys():
        raise InvalidInput(f"Expected a scope of {', '.join(SCOPES)}; got {', '.join(scopes)}.")
    lines = ["[[tokens]]", f'name = "{name}"', f'sha256 = "{digest(token.encode()).hex()}"', _list("scopes", scopes)]
    return "\n".join([*lines, *([_list("models", models)] if models else [])]) + "\n"


def read_tokens(path: Path) -> tuple[Token, ...]:
    """The tokens of a file, at least one. Raises StartupFailed with every mistake, and repeats no token."""
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else exc
        raise StartupFailed(f"{path}: not a readable tokens file: {why}.") from exc
    mistakes: list[str] = []
    found = _tokens(values, mistakes)
    if mistakes:
        raise StartupFailed(f"{path}: " + f"\n{path}: ".join(mistakes))
    return found


def _state(path: Path) -> tuple[int, ...] | None:
    """What tells one state of the file from another; None: there is no file."""
    try:
        now = path.stat()
    except OSError:
        return None
    return now.st_mtime_ns, now.st_size, now.st_ino


def _tokens(values: Mapping[str, Any], mistakes: list[str]) -> tuple[Token, ...]:
    tables = values.get("tokens")
    # A file that is being written may look empty for a moment.
    if values.keys() != {"tokens"} or not isinstance(tables, list) or not tables:
        mistakes.append("expected nothing but tables [[tokens]], at least one.")
        return ()
    found: list[Token] = []
    for number, table in enumerate(tables, start=1):
        place = f"tokens {number}"
        if not isinstance(table, Mapping):
            mistakes.append(f"{place}: wanted a table.")
            continue
        token = _token(Table(table, place=place, mistakes=mistakes))
        if any(token.name == other.name or token.digest == other.digest for other in found):
            mistakes.append(f"{place}: another token has this name or this sha256.")
        found.append(token)
    return tuple(found)


def _token(table: Table) -> Token:
    name = table.text("name", pattern=MODEL_NAME)
    sha256 = table.text("sha256", "")
    if not _DIGEST.fullmatch(sha256):
        # Not repeated: somebody may have put the token itself here.
        table.note("sha256", "wanted the token's sha256, 64 hexadecimal digits, as softgate token prints it.")
        sha256 = ""
    scopes = table.texts("scopes", ())
    if not scopes or not set(scopes) <= SCOPES.keys():
        table.note("scopes", f"wanted a list of {', '.join(SCOPES)}.")
    models = table.texts("models", None)
    table.finish()
    return Token(name, bytes.fromhex(sha256), frozenset(scopes), None if models is None else frozenset(models))


def _list(key: str, values: Sequence[str]) -> str:
    quoted = ", ".join(f'"{value}"' for value in values)
    return f"{key} = [{quoted}]"
