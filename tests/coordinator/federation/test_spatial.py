"""A run on a spatial head through Flower, in this process, with maps of six channels: the sites' own fit, with TensorFlow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from coordinator.federation.checkpoint import Checkpoints
from coordinator.federation.refinement import refine
from coordinator.federation.rounds import Plan
from coordinator.federation.spatial import coordinates, moments
from coordinator.training.spatial import folding
from coordinator.training.spatial.config import SpatialConfig
from coordinator.training.spatial.folding import Moments
from edge_node.errors import EdgeError
from edge_node.federation import spatial
from edge_node.federation.images import LabelledFeatures, held_out
from edge_node.federation.local import SiteData, balanced_accuracy
from edge_node.federation.spatial import HeldMaps
from protocols.federation.head import Head
from protocols.federation.spatial import head_of
from protocols.federation.task import Subject
from protocols.spatial.maps import quantised
from protocols.spatial.shape import SpatialShape
from tests.support.federation import FixedSite, Member, MemoryGrid, app_of

SHAPE = SpatialShape(maps=("mixed4",), width=4, members=2)
CHANNELS, NAMES = 6, ("ill", "well")
KNOWN = Moments(
    {"mixed4": np.tile(np.linspace(0.2, 0.4, CHANNELS, dtype=np.float32), (2, 1))},
    {"mixed4": np.tile(np.linspace(0.5, 0.7, CHANNELS, dtype=np.float32), (2, 1))},
)


def start() -> Head:
    chance = np.random.default_rng(5)
    sizes = {**SHAPE.body(CHANNELS), "answer": (2, SHAPE.features, 2)}
    weights = {n: chance.normal(0, 0.4, s).astype(np.float32) * (not n.endswith("bias")) for n, s in sizes.items()}
    return head_of(SHAPE, {**weights, "answer_bias": np.zeros((2, 2), np.float32)})


def drawn(seed: int, images: int = 60, ill: float = 0.5) -> LabelledFeatures:
    """A class shows as two channels at one place of 3 × 3."""
    chance = np.random.default_rng(seed)
    labels = (chance.random(images) > ill).astype(np.int64)
    values = np.maximum(chance.normal(0, 0.4, (images, 3, 3, CHANNELS)), 0).astype(np.float32)
    for image, label in enumerate(labels):
        row, column = chance.integers(0, 3, 2)
        values[image, row, column, 3 * label : 3 * label + 2] += 1.5
    groups = np.array([f"patient {i // 2}" for i in range(images)])
    return LabelledFeatures(
        HeldMaps(SHAPE, [{"mixed4": quantised(v)} for v in values]), NAMES, labels, held_out(groups)
    )


class Without(FixedSite):
    """A site without TensorFlow."""

    def features(self, subject: Subject) -> LabelledFeatures:
        raise EdgeError("federation.no_training_extra")


def test_sites_refine_a_spatial_head_and_one_without_tensorflow_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spatial, "_LEARNING_RATE", 0.03)  # two rounds from a head that knows nothing
    monkeypatch.setattr(spatial, "_EPOCHS_ALONE", 2)
    found = [drawn(seed, ill=ill) for seed, ill in enumerate((0.3, 0.5, 0.7))]
    members = {n: Member(app_of(FixedSite(s))) for n, s in enumerate(found, start=2)}
    members |= {5: Member(app_of(Without(None)))}
    standard = coordinates(SHAPE, KNOWN)
    subject = Subject.of_maps("malaria", "a" * 64, SHAPE)
    plan = Plan(subject, NAMES, standard, 2, proximity=0.01, anchor=0.0, exchange="int8", wait_s=0.0)
    state, verdict = refine(MemoryGrid(members), plan, start(), tmp_path, lambda n: f"site {n}")
    assert (state.round, [h["state"] for h in state.history]) == (2, ["done", "done"])
    assert state.declined == {"site 5": "federation.no_training_extra"}
    assert all(state.sites[f"site {n}"].rounds == 2 for n in (2, 3, 4))
    assert all(not np.array_equal(state.head.arrays()[n], v) for n, v in start().arrays().items())
    kept = Checkpoints(tmp_path / "rounds.npz").load()
    assert kept is not None and np.array_equal(kept.head.flat(), state.head.flat())

    new = drawn(20, images=200)
    data = SiteData(new.features, new.labels, np.ones(2, dtype=bool))
    before, after = (balanced_accuracy(data, head, standard) for head in (state.anchor, state.head))
    assert before is not None and after is not None
    assert after > max(before + 0.2, 0.7)
    assert verdict.gained and verdict.best_site is not None
    again = found[0].features
    assert isinstance(again, HeldMaps)
    assert again.suits(state.head, standard)

    # What is exported, the standardisation folded in, answers as the head that was refined.
    plain = folding.folded(SHAPE, spatial.weights_of(SHAPE, state.head), moments(SHAPE, standard))
    unit = coordinates(SHAPE, Moments(*({"mixed4": np.full((2, CHANNELS), x, np.float32)} for x in (0, 1))))
    np.testing.assert_allclose(again.logits(head_of(SHAPE, plain), unit), again.logits(state.head, standard), atol=1e-3)


def test_the_start_is_the_released_head_in_coordinates_rounded_for_the_wire() -> None:
    config = SpatialConfig(maps=("mixed4",), width=4, members=2)
    chance = np.random.default_rng(1)
    released = {n: chance.normal(size=s).astype(np.float32) for n, s in SHAPE.body(CHANNELS).items()}
    standard = coordinates(config, KNOWN)
    assert np.array_equal(standard.mean, standard.mean.astype(np.float16))
    rounded = moments(config, standard)
    assert np.abs(rounded.mean["mixed4"] - KNOWN.mean["mixed4"]).max() > 0
    back = folding.folded(config, folding.unfolded(config, released, rounded), rounded)
    for name, value in released.items():
        np.testing.assert_allclose(back[name], value, atol=1e-5)


def test_weights_are_kept_with_the_moments_in_them(tmp_path: Path) -> None:
    weights = {"mixed4/reduce": np.ones((2, CHANNELS, 4), np.float32), "answer": np.zeros((2, 8, 2), np.float32)}
    with (tmp_path / "folded.npz").open("wb") as file:
        folding.write(file, weights, KNOWN)
    found, known = folding.read(tmp_path / "folded.npz")
    assert found.keys() == weights.keys()
    np.testing.assert_array_equal(known.deviation["mixed4"], KNOWN.deviation["mixed4"])
