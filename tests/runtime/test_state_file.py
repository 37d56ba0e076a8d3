import errno
import fcntl
import json
import os
import resource
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from softgate.errors import StartupFailed
from softgate.runtime.state_file import MAX_BYTES, NAME, StateFile

VALUES: dict[str, Any] = {"model/toy/1": {"evidence": [0.0, 1.5], "rows": 3.0}}


@pytest.fixture
def file(tmp_path: Path) -> Iterator[StateFile]:
    with closing(StateFile(tmp_path)) as held:
        yield held


def read(folder: Path) -> tuple[Any, str | None]:
    """As the next server does."""
    with closing(StateFile(folder)) as held:
        return held.read()


def in_a_child(act: Callable[[], object]) -> int:
    """The child's wait status; its exit code is the errno of an OSError that it could not go on from."""
    child = os.fork()
    if child == 0:
        try:
            act()
        except OSError as exc:
            os._exit(exc.errno or 255)
        except BaseException:
            os._exit(254)
        os._exit(0)
    return os.waitpid(child, 0)[1]


def test_what_is_written_is_read_by_the_next_server(tmp_path: Path) -> None:
    with closing(StateFile(tmp_path / "new" / "folder")) as file:
        file.write(VALUES)

    assert read(tmp_path / "new" / "folder") == (VALUES, None)


def test_the_last_that_was_written_counts_and_is_all_that_lies_there(file: StateFile, tmp_path: Path) -> None:
    for number in range(20):
        file.write({"number": number})

    assert file.read() == ({"number": 19}, None)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lock", NAME]


def test_without_a_file_there_is_a_reason(file: StateFile) -> None:
    assert file.read() == ({}, "there is no saved state")


UNUSABLE = {
    "nothing": (b"", "is not JSON"),
    "half of it": (json.dumps(VALUES).encode()[:-5], "is not JSON"),
    "zeros of a torn write": (b"\0" * 64, "is not JSON"),
    "another encoding": (b"\xff\xfe\xfa", "is not JSON"),
    "a list": (b"[1, 2]", "holds no JSON object"),
    "a number": (b"7", "holds no JSON object"),
    "null": (b"null", "holds no JSON object"),
    "an abyss": (b'{"a":' * 100_000, "is not JSON"),
    "a number of a million digits": (b'{"a": ' + b"9" * 1_000_000 + b"}", "is not JSON"),
    "too much": (b" " * MAX_BYTES + b"{}", f"is larger than {MAX_BYTES} bytes"),
}


@pytest.mark.parametrize("what", UNUSABLE)
def test_a_file_that_cannot_be_used_is_none_with_a_reason(file: StateFile, tmp_path: Path, what: str) -> None:
    content, reason = UNUSABLE[what]
    (tmp_path / NAME).write_bytes(content)

    assert file.read() == ({}, f"{tmp_path / NAME} {reason}")

    file.write(VALUES)
    assert file.read() == (VALUES, None)


def test_a_folder_in_place_of_the_file_is_a_reason_and_refuses_to_be_written(file: StateFile, tmp_path: Path) -> None:
    (tmp_path / NAME / "x").mkdir(parents=True)

    assert file.read() == ({}, f"{tmp_path / NAME} cannot be read: Is a directory")
    with pytest.raises(OSError, match="directory"):
        file.write(VALUES)


def test_a_write_that_is_killed_half_way_leaves_the_old_state_whole(file: StateFile, tmp_path: Path) -> None:
    file.write(VALUES)

    def die_half_way() -> None:
        # The kernel kills who writes beyond the limit, as long as nobody ignores its signal.
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, resource.RLIM_INFINITY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        file.write({"rows": 10**5 * [0.5]})

    for _ in range(3):
        assert os.WTERMSIG(in_a_child(die_half_way)) == signal.SIGXFSZ

    assert file.read() == (VALUES, None)
    assert sorted(path.stat().st_size for path in tmp_path.iterdir()) == [0, len(json.dumps(VALUES)), 10_000]
    file.write({"after": 1})
    assert file.read() == ({"after": 1}, None)


def test_a_file_that_may_not_grow_is_an_error_and_leaves_the_old_state_whole(file: StateFile) -> None:
    file.write(VALUES)

    def write_much() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))
        file.write({"rows": [0.5] * 100_000})

    status = in_a_child(write_much)

    assert os.waitstatus_to_exitcode(status) == errno.EFBIG
    assert file.read() == (VALUES, None)


def test_a_full_disk_is_an_error_and_leaves_the_old_state_whole(
    file: StateFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write(VALUES)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)

    with pytest.raises(OSError, match="No space left on device"):
        file.write({"rows": 1})

    assert file.read() == (VALUES, None)


def test_a_link_in_the_place_of_the_unfinished_file_leads_nowhere(file: StateFile, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("theirs")
    (tmp_path / NAME).with_suffix(".part").symlink_to(other)

    file.write(VALUES)

    assert (file.read(), other.read_text()) == ((VALUES, None), "theirs")


def test_a_pipe_in_the_place_of_the_state_is_not_waited_for(file: StateFile, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / NAME)

    assert file.read() == ({}, f"{tmp_path / NAME} is not JSON")


def test_what_is_no_json_is_refused_and_leaves_the_old_state_whole(file: StateFile) -> None:
    file.write(VALUES)

    with pytest.raises(ValueError, match="not JSON compliant"):
        file.write({"evidence": float("nan")})

    assert file.read() == (VALUES, None)


def test_a_folder_that_vanished_is_an_error(file: StateFile, tmp_path: Path) -> None:
    file.write(VALUES)
    shutil.rmtree(tmp_path)

    with pytest.raises(FileNotFoundError):
        file.write(VALUES)
    assert file.read() == ({}, "there is no saved state")


def test_a_folder_belongs_to_one_server_at_a_time(file: StateFile, tmp_path: Path) -> None:
    with pytest.raises(StartupFailed, match="another server keeps its state here; wanted a folder of its own"):
        StateFile(tmp_path)

    file.close()
    StateFile(tmp_path).close()


def test_a_killed_server_s_folder_is_free_again(tmp_path: Path) -> None:
    def hold_and_die() -> None:
        held = StateFile(tmp_path)
        held.write(VALUES)
        os.kill(os.getpid(), signal.SIGKILL)

    assert os.WTERMSIG(in_a_child(hold_and_die)) == signal.SIGKILL

    assert read(tmp_path) == (VALUES, None)


def test_the_folder_is_held_as_long_as_a_worker_of_its_server_lives(file: StateFile, tmp_path: Path) -> None:
    waiting, wake = os.pipe()
    child = os.fork()
    if child == 0:
        os.read(waiting, 1)
        os._exit(0)

    file.close()
    with pytest.raises(StartupFailed):
        StateFile(tmp_path)
    os.write(wake, b"x")
    os.waitpid(child, 0)

    StateFile(tmp_path).close()
    for end in (waiting, wake):
        os.close(end)


@pytest.mark.parametrize("folder", ["file", "file/below", "/proc/nowhere"])
def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path, folder: str) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(StartupFailed, match=r"cannot keep state here: \w"):
        StateFile(tmp_path / folder)


def test_a_file_system_without_locks_is_told_from_another_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)

    with pytest.raises(StartupFailed, match="cannot keep state here: No locks available"):
        StateFile(tmp_path)


def test_a_folder_that_may_not_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir(mode=0o500)

    def take() -> None:
        if os.geteuid() == 0:
            os.seteuid(65_534)
        try:
            StateFile(tmp_path / "state")
        except StartupFailed as exc:
            os._exit(errno.EACCES if "Permission denied" in str(exc) else 1)

    assert os.waitstatus_to_exitcode(in_a_child(take)) == errno.EACCES
