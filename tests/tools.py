"""Programs that tests run: those of the environment, and those that Debian packages bring."""

import os
import shutil
import sys
from pathlib import Path
from typing import NoReturn

import pytest

REQUIRE_ALL = "SOFTGATE_REQUIRE_ALL"


def absent(reason: str) -> NoReturn:
    """Skip the test and say why; where SOFTGATE_REQUIRE_ALL=1 promises that nothing is absent, fail it."""
    if os.environ.get(REQUIRE_ALL) == "1":
        pytest.fail(f"{reason} {REQUIRE_ALL}=1 wants nothing absent.")
    pytest.skip(f"{reason} {REQUIRE_ALL}=1 makes this a failure.")


def tool(name: str) -> str:
    """The path of a program; without it the test skips, or fails: see `absent`."""
    path = shutil.which(name, path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
    return path or absent(f"{name} is not installed.")
