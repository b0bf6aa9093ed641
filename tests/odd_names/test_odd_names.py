from __future__ import annotations

from pathlib import Path

import pytest

from tests.odd_names.campaign import campaign


@pytest.mark.process
def test_names_and_arguments_of_any_bytes_go_through_every_document(tmp_path: Path) -> None:
    tally = campaign(tmp_path, runs=24, seed=7)
    assert tally.wrong == []
    assert tally.runs >= 24
