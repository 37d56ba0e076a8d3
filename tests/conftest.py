import pytest


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a line breaks must not depend on how long the name of a temporary folder is."""
    monkeypatch.setenv("COLUMNS", "1000")
