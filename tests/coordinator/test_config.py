"""Settings: what init wrote and a person edited."""

from __future__ import annotations

from pathlib import Path

import pytest

from coordinator.config import Config
from coordinator.errors import CoordinatorError
from coordinator.intake.limits import Limits


def test_limits_of_intake_come_from_the_file(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    Config("Test", 2, intake=Limits(max_megapixels=12)).save(path)
    assert Config.load(path).intake == Limits(max_megapixels=12)
    path.write_text('name = "Old"\napprovals = 1\n', "utf-8")
    assert Config.load(path).intake == Limits(), "a home of before the limits"


@pytest.mark.parametrize("line", ["max_megapixels = 41", "max_ratio = 0", 'max_entries = "many"', "max_pixels = 3"])
def test_limits_that_cannot_work_are_refused(tmp_path: Path, line: str) -> None:
    path = tmp_path / "config.toml"
    path.write_text(f'name = "Test"\napprovals = 1\n[intake]\n{line}\n', "utf-8")
    with pytest.raises(CoordinatorError) as caught:
        Config.load(path)
    assert caught.value.code == "coordinator.bad_config"
