"""docs/performance.md, whose measured parts stand between marks and are written by what measured them."""

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "performance.md"
BEGIN, END = "<!-- measured: {name} -->", "<!-- end of {name} -->"


def filled(page: str, name: str, text: str) -> str:
    """`page` with `text` in its part of that name. Raises ValueError where it has none."""
    begin, end = BEGIN.format(name=name), END.format(name=name)
    part = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    if len(part.findall(page)) != 1:
        raise ValueError(f"Expected one part {begin} … {end} in {PAGE.name}.")
    return part.sub(lambda _: f"{begin}\n\n{text.strip()}\n\n{end}", page)


def fill(name: str, text: str) -> None:
    PAGE.write_text(filled(PAGE.read_text(), name, text))
