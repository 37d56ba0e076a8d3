"""
Functions run in a throw-away child process with a memory and a time limit.

A graph that nobody vouches for may ask for a terabyte, loop for ever or crash the engine. Then it is the child that
dies, and the caller gets a sentence. Arguments and answers are JSON: what comes back from a child that a graph may have
bent is never unpickled.
"""

import ctypes
import importlib
import json
import math
import os
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Generator, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NoReturn

from softgate.errors import GraphInvalid, SoftgateError

MOST_LINE_BYTES = 64 * 2**20
# Enough for what a dying C++ library says; beyond it, writes fail and the child goes on.
_MOST_STDERR_BYTES = 2**16
_PR_SET_PDEATHSIG = 1
# Isolated, so that no file of the working directory is taken for a module; the parent's own path comes with the order.
_BOOTSTRAP = """
import json, sys
order = json.load(sys.stdin)
sys.path[:] = order["path"]
from softgate.runtime.contained import run_as_child
run_as_child(order)
"""
# How numpy, the C++ library, onnxruntime and protobuf say that an allocation failed.
_OUT_OF_MEMORY = re.compile(
    r"bad_alloc|bad allocation|failed to allocate|unable to allocate|cannot allocate|arena alloc failed|out of memory",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Limits:
    memory_bytes: int
    """What the function may take on top of what its imports took."""
    seconds: float
    """Of wall-clock time from the end of the imports, and so much of each processor's time."""


def contained(function: str, /, *arguments: str, limits: Limits) -> Generator[Any, None, None]:
    """
    What `function` ("module:callable", given `arguments`) yields in a child of its own, as it comes.

    Values are JSON: tuples arrive as lists, and a NaN is refused. The clock goes on while the caller thinks about a
    value, and a caller that stops early ends the child. The child also ends with the thread that asked for its first
    value, so take the values in one thread.

    Raises GraphInvalid where the child is killed, takes too much, or fails in a way that is not ours; errors of ours
    that leave the function arrive as what they are.
    """
    # In memory and not in a file: a container may have no folder that can be written.
    with os.fdopen(os.memfd_create("stderr"), "rb") as stderr:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter, and nothing of the graph on its command line
            [sys.executable, "-I", "-c", _BOOTSTRAP], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr
        )
        try:
            yield from _answers(process, _order(function, arguments, limits), limits)
        except EOFError:
            _explain(process.wait(), os.pread(stderr.fileno(), _MOST_STDERR_BYTES, 0), limits)
        finally:
            process.kill()
            with process:
                pass  # closes the pipes and waits: no zombie is left


def _order(function: str, arguments: tuple[str, ...], limits: Limits) -> bytes:
    order = {
        "function": function,
        "arguments": arguments,
        "memory_bytes": limits.memory_bytes,
        "seconds": limits.seconds,
        "path": sys.path,
        "parent": os.getpid(),
    }
    return json.dumps(order).encode()


def _answers(process: "subprocess.Popen[bytes]", order: bytes, limits: Limits) -> Iterator[Any]:
    """Raises EOFError where the child ended before it was done."""
    assert process.stdin is not None
    assert process.stdout is not None
    # A child that is dead already shows so when it is read from.
    with suppress(BrokenPipeError), process.stdin as stdin:
        stdin.write(order)
    while True:
        kind, value = _message(process.stdout)
        match kind:
            case "value":
                yield value
            case "done":
                return
            case "memory":
                _raise_memory(limits)
            case "unexpected":
                raise GraphInvalid(f"Reading or running the graph failed with {value}.")
            case _:
                raise _errors()[kind](value)


def _message(stream: IO[bytes]) -> tuple[str, Any]:
    line = stream.readline(MOST_LINE_BYTES + 1)
    if len(line) > MOST_LINE_BYTES:
        raise GraphInvalid(f"The graph gave an answer of more than {MOST_LINE_BYTES // 2**20} MiB.")
    if not line.endswith(b"\n"):
        raise EOFError
    kind, value = json.loads(line)
    return kind, value


def _explain(code: int, stderr: bytes, limits: Limits) -> NoReturn:
    """Say why a child ended that was not done. `code` is negative for a signal."""
    if code in (-signal.SIGALRM, -signal.SIGXCPU):
        raise GraphInvalid(f"The graph did not finish within {limits.seconds:g} s.")
    # The kernel kills when the container is out of memory, before the child has taken what it may.
    if code == -signal.SIGKILL:
        raise GraphInvalid("The process that ran the graph was killed by SIGKILL, as happens when memory runs out.")
    if _OUT_OF_MEMORY.search(stderr.decode(errors="replace")):
        _raise_memory(limits)
    if code < 0:
        raise GraphInvalid(f"The process that ran the graph was killed by {_signal_name(-code)}.")
    raise GraphInvalid(f"The process that ran the graph ended with exit code {code} before it was done.")


def _raise_memory(limits: Limits) -> NoReturn:
    raise GraphInvalid(f"The graph needs more than {limits.memory_bytes / 2**20:g} MiB of memory to load and run.")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _errors() -> dict[str, type[SoftgateError]]:
    """Every class of the tree by its code."""
    found: dict[str, type[SoftgateError]] = {}
    classes: list[type[SoftgateError]] = [SoftgateError]
    for each in classes:
        found[each.code] = each
        classes += each.__subclasses__()
    return found


def run_as_child(order: Mapping[str, Any]) -> None:
    """The other side of `contained`: this process is the child, and ends here."""
    _die_with(order["parent"])
    # Libraries print to standard output and flood standard error: neither gets in among the answers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - until the end
    try:
        module, _, name = order["function"].partition(":")
        function = getattr(importlib.import_module(module), name)
        _confine(order["memory_bytes"], order["seconds"])
        for value in function(*order["arguments"]):
            _tell(answers, "value", value)
        _tell(answers, "done", None)
    except Exception as exc:
        _tell(answers, *_told(exc))
    # What is left to tidy up is the graph's, which may not let go.
    os._exit(0)


def _die_with(parent: int) -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    # It may have died before the kernel was told.
    if os.getppid() != parent:
        os._exit(1)


def _confine(memory_bytes: int, seconds: float) -> None:
    """
    Limits that hold from here on.

    Private writable memory is what a graph takes. The address space would count libraries and reservations too, 64 MiB
    for each thread's heap: 344 MiB at most for a small graph on two threads, where 137 MiB are private and writable.
    """
    # Where there is not enough for all, the child goes first. A sandbox may not have the file.
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    taken = int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()
    _limit(resource.RLIMIT_DATA, taken + memory_bytes)
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_FSIZE, _MOST_STDERR_BYTES)
    # The second guard, should the clock be stopped: as much as all processors can do in the time.
    _limit(resource.RLIMIT_CPU, math.ceil(seconds * (os.cpu_count() or 1)) + math.ceil(sum(os.times()[:2])))
    # The kernel's own clock: its signal ends the process whatever its threads are at.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGALRM})
    signal.setitimer(signal.ITIMER_REAL, seconds)


def _limit(what: int, most: int) -> None:
    """Whoever started us may have set a lower one that cannot be raised."""
    hard = resource.getrlimit(what)[1]
    resource.setrlimit(what, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def _tell(answers: IO[bytes], kind: str, value: Any) -> None:
    answers.write(json.dumps([kind, value], allow_nan=False).encode() + b"\n")
    answers.flush()


def _told(exc: BaseException) -> tuple[str, str | None]:
    """What to tell of an exception: of a foreign one no more than its class, for its text may quote the input."""
    chain = [exc]
    for each in chain:
        chain += [cause for cause in (each.__cause__, each.__context__) if cause is not None and cause not in chain]
    if any(isinstance(each, MemoryError) or _OUT_OF_MEMORY.search(str(each)) for each in chain):
        return "memory", None
    if isinstance(exc, SoftgateError):
        return exc.code, str(exc)
    return "unexpected", type(exc).__name__
