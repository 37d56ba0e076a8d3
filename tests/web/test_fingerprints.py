"""What tells one state of a model folder from another."""

import os
from pathlib import Path

from graphs import write_text_model
from softgate.web.staging import fingerprint


def test_every_file_that_is_served_counts(tmp_path: Path) -> None:
    write_text_model(tmp_path / "toy")
    before = fingerprint(tmp_path)
    (tmp_path / "toy" / "1" / "golden.json").write_text("{}")

    assert fingerprint(tmp_path) > before
    assert fingerprint(tmp_path / "toy") > set()


def test_links_that_lead_back_end(tmp_path: Path) -> None:
    write_text_model(tmp_path / "toy")
    for name in ("a", "b"):
        os.symlink(".", tmp_path / name)

    assert len(fingerprint(tmp_path)) < 100
