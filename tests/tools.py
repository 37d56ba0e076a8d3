"""Programs that tests run: those of the environment, and those that Debian packages bring."""

import os
import shutil
import sys
from pathlib import Path

import pytest

REQUIRE_ALL = "SOFTGATE_REQUIRE_ALL"


def tool(name: str) -> str:
    """
    The path of a program.

    Without it the test skips and says so; where SOFTGATE_REQUIRE_ALL=1 promises that all are there, it fails.
    """
    path = shutil.which(name, path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
    if path is not None:
        return path
    reason = f"{name} is not installed."
    if os.environ.get(REQUIRE_ALL) == "1":
        pytest.fail(f"{reason} {REQUIRE_ALL}=1 wants every program present.")
    pytest.skip(f"{reason} {REQUIRE_ALL}=1 makes this a failure.")
