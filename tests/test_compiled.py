"""The hot path runs as machine code where it was compiled, and as Python elsewhere: all of it one way."""

import os
import re
import subprocess
import sysconfig
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest

from softgate.policy import label_keys
from softgate.runtime.compiled import is_compiled
from tools import absent, tool

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
HOOK = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["hooks"]["custom"]
MODULES: list[str] = HOOK["modules"]


@pytest.mark.parametrize("module", MODULES)
def test_each_module_runs_as_the_others(module: str) -> None:
    spec = find_spec(module.removesuffix(".py").replace("/", "."))

    assert spec is not None
    assert spec.origin is not None
    assert Path(spec.origin).suffix == (".so" if is_compiled() else ".py")


@pytest.mark.parametrize("source", HOOK["c"])
def test_what_is_written_in_c_is_there_where_it_was_compiled(source: str) -> None:
    assert (ROOT / "service" / source).exists()
    assert (find_spec(source.removesuffix(".c").replace("/", ".")) is not None) == is_compiled()


@pytest.mark.parametrize("source", HOOK["c"])
def test_no_compiler_has_doubts_of_what_is_written_in_c(source: str) -> None:
    headers = Path(sysconfig.get_path("include"))
    if not (headers / "Python.h").exists():
        absent("Python's headers are not installed.")
    flags = ["-fsyntax-only", "-Wall", "-Wextra", "-Werror", f"-I{headers}"]

    subprocess.run([tool("gcc"), *flags, str(ROOT / "service" / source)], check=True)


def test_c_writes_labels_where_it_was_compiled() -> None:
    assert (label_keys._joined is not None) == is_compiled()


def test_what_was_compiled_is_what_is_loaded() -> None:
    """`make test COMPILED=1` says where."""
    places = map(Path, os.environ.get("PYTHONPATH", "").split(os.pathsep))

    assert is_compiled() == (ROOT / "build" / "compiled" in places)


def test_none_lies_among_the_sources() -> None:
    assert list((ROOT / "service").rglob("*.so")) == []


def test_a_wheel_is_not_compiled_unasked() -> None:
    """Whoever installs softgate may have no compiler."""
    assert HOOK["enable-by-default"] is False


def test_what_compiles_is_pinned() -> None:
    pinned = re.findall(r"^([\w-]+)==", (ROOT / "requirements-compile.txt").read_text(), flags=re.M)

    assert HOOK["dependencies"] == PROJECT["dependency-groups"]["compile"]
    assert {re.split(r"\W", need)[0] for need in HOOK["dependencies"]} <= set(pinned)
