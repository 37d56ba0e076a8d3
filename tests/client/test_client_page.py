"""docs/client.md: its examples give what it shows, and its tables hold what there is."""

import doctest
import re
from inspect import signature
from pathlib import Path

from servers import served
from softgate.client import Client, Retries
from softgate.client.plans import Options
from softgate.client.rows import MOST_BYTES

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "client.md").read_text()


def first_cells(header: str) -> set[str]:
    """The words in the first column of the table under this header."""
    table = PAGE.partition(f"\n| {header} |")[2].partition("\n\n")[0]
    return {word for line in table.splitlines()[2:] for word in re.findall(r"`(\w+)", line.split(" | ")[0])}


def test_examples_of_the_client_give_what_is_shown() -> None:
    examples = "\n".join(re.findall(r"^```python\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL))
    report: list[str] = []

    with served(ROOT / "models") as server:
        text = examples.replace("http://127.0.0.1:8080", server.url)
        told = doctest.DocTestParser().get_doctest(text, {}, "docs/client.md", None, None)
        results = doctest.DocTestRunner(verbose=False).run(told, out=report.append, clear_globs=False)
        for name in ("client", "once"):
            told.globs[name].close()

    assert results.failed == 0, "".join(report)
    assert results.attempted == PAGE.count(">>> ")


def test_every_method_and_option_is_told() -> None:
    public = {name for name in vars(Client) if not name.startswith("_")}

    assert first_cells("method") == public - {"close"}
    assert first_cells("option") == Options.__annotations__.keys()


def test_the_figures_are_those_of_the_code() -> None:
    retries, text = Retries(), " ".join(PAGE.split())

    assert f"at most {MOST_BYTES / 1e6:.0f} MB" in text
    assert f"at most {retries.most} retries" in text
    assert f"0 to {retries.base_seconds:g} · 2ⁿ s, at most {retries.longest_seconds:g} s" in text
    told = {**signature(Client).parameters, **signature(Client.predict_many).parameters}
    for name in ("timeout_seconds", "batch_size", "concurrency"):
        assert f"`{name}` ({told[name].default:g})" in text
