"""
The environments of real clients, one each, for their pins clash: `make clients` makes them all.

    python tests/clients/environments.py

A client is a file NAME.in with what it needs and NAME.txt, the same pinned with hashes.
"""

import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).parent
ENVIRONMENTS = HERE.parents[1] / ".venv-clients"


def python_of(name: str) -> Path | None:
    """The interpreter that has this client; None where it is not set up, or in another version."""
    stamp = _stamp(name)
    is_this = stamp.exists() and stamp.read_bytes() == _requirements(name).read_bytes()
    return ENVIRONMENTS / name / "bin" / "python" if is_this else None


def make(name: str) -> None:
    home = ENVIRONMENTS / name
    venv.create(home, with_pip=True, clear=True)
    line = [str(home / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*line, "--require-hashes", "--requirement", str(_requirements(name))], check=True)
    _stamp(name).write_bytes(_requirements(name).read_bytes())


def _stamp(name: str) -> Path:
    return ENVIRONMENTS / name / "made"


def _requirements(name: str) -> Path:
    return HERE / f"{name}.txt"


def main() -> None:
    for requirements in sorted(HERE.glob("*.txt")):
        if python_of(requirements.stem) is None:
            print(f"Setting up {requirements.stem} in {ENVIRONMENTS.name}", file=sys.stderr, flush=True)
            make(requirements.stem)


if __name__ == "__main__":
    main()
