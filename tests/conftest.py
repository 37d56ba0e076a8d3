import pytest
from hypothesis import settings

# How long an example takes says how busy the machine is.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a line breaks must not depend on how long the name of a temporary folder is."""
    monkeypatch.setenv("COLUMNS", "1000")
