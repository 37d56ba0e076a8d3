"""Write the generated files into the folder given, deploy/ where none is."""

import sys
from pathlib import Path

from softgate.workbench.dashboards.files import RULES, files


def main(arguments: list[str]) -> None:
    folder = Path(arguments[0]) if arguments else Path("deploy")
    for name, text in files((folder / RULES).read_text()).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


if __name__ == "__main__":
    main(sys.argv[1:])
