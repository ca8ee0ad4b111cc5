from __future__ import annotations

from typing import Any

import pytest

from coordinator.training.spatial.config import SpatialConfig


def test_the_usual_head_has_as_many_parameters_as_counted_by_hand() -> None:
    branch = 768 * 64 + 64 + 9 * 64 + 64 + 64 * 64 + 64
    assert SpatialConfig().parameters(2) == 2 * branch + 256 * 2 + 2


def test_a_narrow_head_on_one_map_fits_into_forty_kilobytes_as_int8() -> None:
    narrow = SpatialConfig(maps=("mixed4",), width=32)
    assert narrow.estimated_bytes(2) < 40_000 < narrow.estimated_bytes(2, 2)


def test_a_configuration_survives_its_document() -> None:
    config = SpatialConfig(maps=("mixed7",), pooling=("attention", "maximum"), members=3, learning_rate=2e-3)
    assert SpatialConfig.from_document(config.document()) == config


@pytest.mark.parametrize(
    "wrong",
    [{"maps": ()}, {"maps": ("mixed10",)}, {"pooling": ("median",)}, {"width": 0}, {"dropout": 1.0}, {"views": -1}],
)
def test_what_makes_no_head_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        SpatialConfig(**wrong)
