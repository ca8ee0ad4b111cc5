from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from coordinator.errors import CoordinatorError
from coordinator.federation.runner import _pulls
from coordinator.federation.start import Start, check, prepare
from coordinator.home import Home
from coordinator.training.spatial.config import SpatialConfig
from protocols.federation.task import Subject
from protocols.manifest import ReleaseManifest, Stage
from tests.support.engine import InlineEngine
from tests.support.manifests import example

LINEAR = example()
KEPT = {"spatial": SpatialConfig().document(), "spatial_weights": "e" * 64}


def reading(*inputs: str) -> ReleaseManifest:
    return replace(LINEAR, stages=(LINEAR.stages[0], Stage(LINEAR.stages[1].sha256, inputs)))


SPATIAL = reading("mixed4_map", "mixed7_map")


@pytest.mark.parametrize(
    ("manifest", "training", "code"),
    [
        (replace(LINEAR, backbone=None), {}, "federation.not_ours"),
        (replace(LINEAR, stages=LINEAR.stages[:1]), {}, "federation.not_ours"),
        (reading("mixed7_avg", "mixed4_map"), KEPT, "federation.joined"),
        (SPATIAL, {}, "federation.no_weights"),
        (SPATIAL, {**KEPT, "spatial_weights": None}, "federation.no_weights"),
    ],
)
def test_what_cannot_be_refined_is_refused_at_once(
    manifest: ReleaseManifest, training: dict[str, Any], code: str
) -> None:
    with pytest.raises(CoordinatorError) as caught:
        check(manifest, training)
    assert caught.value.code == code


def test_linear_heads_and_spatial_ones_whose_weights_are_kept_may_start() -> None:
    check(LINEAR, {"spatial": None, "spatial_weights": None})
    check(SPATIAL, KEPT)


def test_weights_that_are_gone_or_damaged_are_named_before_a_map_is_computed(tmp_path: Path) -> None:
    home, samples = Home(tmp_path), [object()]

    def code() -> str:
        with pytest.raises(CoordinatorError) as caught:
            prepare(SPATIAL, KEPT, samples, home, InlineEngine(), 100)  # type: ignore[arg-type]
        return caught.value.code

    assert code() == "federation.no_weights"
    path = home.weights / "ee" / ("e" * 64)
    path.parent.mkdir(parents=True)
    for damaged in (b"", b"PK\x03\x04 half a file"):
        path.write_bytes(damaged)
        assert code() == "federation.no_weights"
    samples.clear()
    assert code() == "federation.no_training_images"


def test_a_spatial_head_is_not_drawn_to_its_start_and_held_less() -> None:
    def start(subject: Subject) -> Start:
        return Start(subject, (), None, None, None)  # type: ignore[arg-type]

    linear = start(Subject("malaria", "a" * 64, ("mixed7_avg",)))
    spatial = start(Subject.of_maps("malaria", "a" * 64, SpatialConfig().plain))
    assert _pulls(linear, {"regularisation": 0.01}) == (10.0, 100.0)
    assert _pulls(linear, {}) == (10.0, 1000.0)
    assert _pulls(spatial, {"regularisation": 0.01})[1] == 0.0
    assert _pulls(spatial, {})[0] < 10.0
