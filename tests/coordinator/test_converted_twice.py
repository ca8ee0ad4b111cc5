"""A trunk is released only if a second conversion gave the same bytes; no TensorFlow runs here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from coordinator.bootstrap import initialise, open_coordinator
from coordinator.config import Config
from coordinator.errors import CoordinatorError
from coordinator.home import Home
from coordinator.releases import gates, lifecycle
from coordinator.store.blobs import FolderBlobs
from coordinator.training import convert, parity
from coordinator.training.trunks import ReadyTrunk, Second, Trunks
from protocols.artifacts import Artifact
from protocols.manifest import Golden, ReleaseManifest, Stage
from tests.support.manifests import HEAD, TRUNK, example

NOW = datetime(2026, 1, 2, tzinfo=UTC)
WEIGHTS = "d" * 64


class Converter:
    """Gives the bytes of ``answers`` one after the other, the last one for ever."""

    def __init__(self, *answers: bytes) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    def __call__(self, name: str, cache: Path, target: Path) -> str:
        self.asked.append(name)
        target.write_bytes(self.answers.pop(0) if len(self.answers) > 1 else self.answers[0])
        return WEIGHTS


Install = Callable[..., Converter]


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Install:
    def use(*answers: bytes) -> Converter:
        converter = Converter(*answers)
        monkeypatch.setattr(convert, "convert_trunk", converter)
        return converter

    return use


@pytest.fixture
def trunks(tmp_path: Path) -> Trunks:
    return Trunks(Home(tmp_path))


def second(trunks: Trunks, made: ReadyTrunk) -> Second:
    return trunks.second(made.backbone, made.trunk.sha256)


def test_training_converts_once_and_a_second_conversion_is_noted_for_good(trunks: Trunks, install: Install) -> None:
    converter = install(b"trunk")
    made = trunks.make("random-1")
    assert trunks.make("random-1") == made and len(converter.asked) == 1
    assert not trunks.converted_twice(made.trunk.sha256)
    assert second(trunks, made) == Second(made.trunk.sha256, WEIGHTS)
    assert trunks.converted_twice(made.trunk.sha256) and len(converter.asked) == 2


def test_another_trunk_is_never_noted_nor_kept(trunks: Trunks, install: Install, tmp_path: Path) -> None:
    install(b"trunk", b"other")
    made = trunks.make("random-1")
    found = second(trunks, made)
    assert found.trunk != made.trunk.sha256 and not trunks.converted_twice(made.trunk.sha256)
    assert not FolderBlobs(Home(tmp_path).artifacts).has(found.trunk)
    assert trunks.ready("random-1") == made


def test_fetching_a_backbone_replaces_a_trunk_that_another_tensorflow_made(trunks: Trunks, install: Install) -> None:
    converter = install(b"old", b"new")
    old = trunks.make("random-1")
    new = trunks.make_twice("random-1")
    assert new.trunk.sha256 != old.trunk.sha256 and trunks.converted_twice(new.trunk.sha256)
    assert len(converter.asked) == 4
    assert trunks.make_twice("random-1") == new and len(converter.asked) == 4, "noted"


def test_a_conversion_that_never_comes_out_the_same_is_a_defect(trunks: Trunks, install: Install) -> None:
    install(*(bytes([n]) for n in range(9)))
    with pytest.raises(CoordinatorError) as caught:
        trunks.make_twice("random-1")
    assert caught.value.code == "train.conversion_unsteady" and "trunk" in caught.value.message()


def test_a_weights_file_is_found_where_it_was_and_named_where_it_is_gone(
    trunks: Trunks, install: Install, tmp_path: Path
) -> None:
    converter = install(b"trunk")
    weights = tmp_path / "clinic.weights.h5"
    weights.write_bytes(b"weights")
    made = trunks.make(f"file:{weights}")
    weights = weights.rename(tmp_path / "moved.h5")
    gone = second(trunks, made).obstacle
    assert gone is not None and "clinic.weights.h5" in gone.message() and "backbone fetch file:PATH" in gone.remedy()
    trunks.make(f"file:{weights}")
    assert len(converter.asked) == 1, "the same weights at another place"
    assert second(trunks, made).trunk == made.trunk.sha256
    assert converter.asked[-1] == f"file:{weights}"
    weights.write_bytes(b"other weights")
    assert second(trunks, made).obstacle


def test_weights_that_cannot_be_fetched_are_an_obstacle_and_a_defect_is_not(
    trunks: Trunks, monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone = example().backbone
    assert backbone is not None

    def fail(code: str, **details: str) -> None:
        def convert_trunk(*arguments: object) -> str:
            raise CoordinatorError(code, **details)

        monkeypatch.setattr(convert, "convert_trunk", convert_trunk)

    fail("backbone.unreachable", name="nsfwjs-4.4.0")
    obstacle = trunks.second(backbone, TRUNK).obstacle
    assert obstacle is not None and obstacle.code == "backbone.unreachable"
    fail("train.conversion_failed", what="trunk")
    with pytest.raises(CoordinatorError):
        trunks.second(backbone, TRUNK)


def test_the_gate_says_what_it_found_and_how_to_mend_it() -> None:
    gate = gates.converted_twice
    assert gate(example(), None).ok and gate(example(), Second(TRUNK, WEIGHTS)).ok
    other = gate(example(), Second("f" * 64, WEIGHTS))
    assert not other.ok and TRUNK in other.detail and "f" * 64 in other.detail and WEIGHTS not in other.detail
    assert "backbone fetch random-1" in other.detail
    moved = gate(example(), Second("f" * 64, "9" * 64))
    assert WEIGHTS in moved.detail and "9" * 64 in moved.detail
    gone = gate(example(), Second(obstacle=CoordinatorError("backbone.weights_gone", name="file:x", path="x")))
    assert not gone.ok and "Say where it is now" in gone.detail


def test_models_without_a_trunk_of_ours_pass() -> None:
    brought = replace(example(), backbone=None)
    bare = replace(example(), artifacts=example().artifacts[1:], stages=(Stage(HEAD),))
    for manifest in (brought, bare):
        assert gates.trunk_of(manifest) is None and gates.converted_twice(manifest, None).ok


def model(home: Home, trunk: ReadyTrunk, version: int) -> ReleaseManifest:
    """A model on a made trunk that passes every other gate."""
    strip = FolderBlobs(home.artifacts).put(b"strip")
    artifacts = (Artifact("trunk", trunk.trunk.sha256, trunk.size_bytes), *example().artifacts[1:3])
    return replace(
        example(version=version),
        artifacts=(*artifacts, Artifact("golden", strip, 5)),
        stages=(Stage(trunk.trunk.sha256), Stage(HEAD, ("mixed7_avg",))),
        golden=Golden(strip, example().golden.scores),
        backbone=trunk.backbone,
        data={"dataset": "malaria", "images": 40, "groups": 8},
        metrics={"balanced_accuracy": {"value": 0.9, "low": 0.8, "high": 0.95}},
    )


async def test_a_release_is_refused_with_both_digests_and_later_ones_cost_nothing(
    tmp_path: Path, install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    logits = np.array([[1.0, 0.0], [0.0, 1.0]], np.float32)
    figures = {"head": HEAD, **parity.compare(logits, logits, ["parasitized", "uninfected"])}
    monkeypatch.setattr(lifecycle, "golden_scores", lambda *arguments: np.array(example().golden.scores))
    converter = install(b"trunk", b"other", b"trunk")
    said: list[str] = []
    await initialise(tmp_path, Config("Test", 1))
    async with open_coordinator(tmp_path) as coordinator:
        trunk = Trunks(coordinator.home).make("random-1")
        for version in (1, 2):
            manifest = model(coordinator.home, trunk, version)
            await coordinator.models.add(manifest, {"dataset": "malaria", "parity": figures})

        async def propose(name: str) -> list[str]:
            shown = await coordinator.releases.propose(name, "", None, False, NOW, lambda: said.append(name))
            return [g["name"] for g in shown["gates"]]

        with pytest.raises(CoordinatorError) as caught:
            await propose("malaria@1")
        assert caught.value.code == "release.gate_failed" and trunk.trunk.sha256 in caught.value.message()
        assert len(converter.asked) == 2 and said == ["malaria@1"]
        assert "converted_twice" in await propose("malaria@1")
        assert "converted_twice" in await propose("malaria@2")
        assert len(converter.asked) == 3 and said == ["malaria@1"] * 2
