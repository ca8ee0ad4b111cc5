"""The last rung of effort ``full``: who teaches whom, when the ladder ends before it, and what a failure costs."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from coordinator.errors import CoordinatorError
from coordinator.training import folds
from coordinator.training.export import Exported
from coordinator.training.features import Extraction, Trunk
from coordinator.training.ladder import ascent, distilled, race, spatial, timing
from coordinator.training.ladder.ascent import Ascent, Head, Seen, Terms
from coordinator.training.ladder.budget import ENCODINGS
from coordinator.training.ladder.decision import Subject, decide, held_out
from coordinator.training.ladder.report import Outcome, report
from coordinator.training.ladder.work import Work
from coordinator.training.selection import LAST_POOL, Data
from coordinator.training.spatial.config import SpatialConfig
from coordinator.training.spatial.maps import Maps
from coordinator.training.trunks import ReadyTrunk
from protocols.errors import MedMeshError
from protocols.imaging import InputSpec
from protocols.manifest import Backbone
from tests.support.answers import logits
from tests.support.engine import InlineEngine

LABELS = np.arange(200) % 2
GROUPS = np.array([f"patient {n // 2}" for n in range(200)])
PLANS = folds.plans(LABELS, GROUPS, 5, 2)
CONFIG = SpatialConfig(maps=("mixed4",), width=8, epochs=4)
MAPS = Maps("identity", (3, 3, 768), (), {"mixed7": np.zeros((2, 200, 2), np.int64)})
TAUGHT_NAME = "distilled head mixed4, 8 channels"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of all tests: the linear rungs are the same, and are computed once."""
    return tmp_path_factory.mktemp("work")


class Classroom:
    """In place of TensorFlow: teachers that know so much, and heads that say by whom they were taught."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, lead: float, fails: MedMeshError | None = None) -> None:
        self.learning: list[np.ndarray] = []
        self.taught: list[np.ndarray | None] = []
        self._lead, self._fails, self._calls = lead, fails, 0
        monkeypatch.setattr(distilled, "teachers", self.teachers)
        monkeypatch.setattr(spatial, "cross_validated", self.cross_validated)

    def teachers(
        self, maps: Maps, labels: Any, learning: Sequence[Any], config: Any, backbones: Path, work: Path, told: Any
    ) -> np.ndarray:
        if self._fails is not None:
            raise self._fails
        told(config.epochs, config.epochs * len(learning), 0.0)
        self.learning += list(learning)
        found = np.stack([np.repeat(logits(LABELS, 2, seed=7, lead=self._lead), 2, axis=0) for _ in learning])
        for part, rows in zip(found, learning, strict=True):
            part[1, ~rows] = np.nan
        return found

    def cross_validated(
        self,
        maps: Maps,
        labels: Any,
        groups: Any,
        plans: Any,
        config: SpatialConfig,
        work: Path,
        told: Any,
        taught: Any,
    ) -> np.ndarray:
        self.taught.append(taught)
        told(config.epochs, config.epochs, 0.0)
        return logits(LABELS, 2, len(plans), seed=3, lead=3.5 if config.taught else 1.5)


def climbed(folder: Path, effort: ascent.Effort = "full", told: list[Any] | None = None) -> Ascent:
    backbone = Backbone("random-1", "d" * 64, "none", "a test")
    trunk = ReadyTrunk(Trunk(folder, "c" * 64, InputSpec(75, (0.0, 1.0)), ("mixed10_avg",)), backbone, 1)
    chance = np.random.default_rng(0)
    data = Data({"mixed10_avg": chance.normal(size=(200, 8)).astype(np.float32)}, LABELS, GROUPS)
    work = Work(folder / "work")
    work.begin([])
    school = distilled.school(effort, "random-1", folder, work.below("spatial"))
    extraction = Extraction(data.taps, [], 0, np.zeros((200, 192), np.float32))
    seen = Seen(trunk, extraction, data, MAPS, school)
    terms = Terms(effort, (LAST_POOL,), (CONFIG,), 150_000, "other", 2)
    said = told if told is not None else []
    return ascent.climb(seen, PLANS, terms, work, InlineEngine(), lambda name: nullcontext(), lambda *x: said.append(x))


def names(found: Ascent) -> list[str]:
    return [r.name for r in found.ladder.rungs]


def test_where_the_race_is_lost_the_ladder_ends_and_says_why(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    room = Classroom(monkeypatch, lead=1.0)
    found = climbed(folder)
    assert [rows.sum() for rows in room.learning] == [(PLANS[0] != 0).sum()], "one fold alone"
    assert room.taught == [None] and TAUGHT_NAME not in names(found)
    assert found.race is not None and not found.race.won and found.hindrance is None
    rows = reported(found)["rungs"]
    assert rows[-1]["name"] == race.NAME and rows[-1]["why"]["code"] == "not_pursued"
    assert [r["name"] for r in rows[:-1]] == names(found)


def test_where_it_is_won_every_fold_is_taught_by_who_has_not_seen_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room, told = Classroom(monkeypatch, lead=3.0), list[Any]()
    found = climbed(folder, told=told)
    assert [np.array_equal(rows, PLANS[0] != fold) for fold, rows in enumerate(room.learning)] == [True] * 5
    taught = room.taught[-1]
    assert taught is not None and taught.shape == (5, 2, 200, 2)
    for fold in range(5):
        assert np.isnan(taught[fold, 1, PLANS[0] == fold]).all()
    assert names(found)[-2:] == [TAUGHT_NAME, f"{TAUGHT_NAME} + linear"]
    assert [r.raced for r in found.ladder.rungs[-2:]] == [(0, 0), (0, 0)]
    assert len(found.ladder.rungs[-2].logits) == 1
    assert [x for x in told if x[0] == "distilled"][-1][1:] == (16, 16)
    config = found.config(TAUGHT_NAME)
    assert config is not None and config.taught and found.inputs(TAUGHT_NAME) == ("mixed4_map",)


def test_the_teacher_stands_before_who_it_taught_and_can_never_be_shipped(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Classroom(monkeypatch, lead=3.0)
    found = climbed(folder)
    said = reported(found)
    order = [r["name"] for r in said["rungs"]]
    assert order[-3:] == [race.NAME, TAUGHT_NAME, f"{TAUGHT_NAME} + linear"]
    assert said["rung"] in names(found) and said["rungs"][-3]["why"]["code"] == "teaches"
    assert race.NAME not in [p["name"] for p in said["frontier"]] and race.NAME not in said["chosen_in_folds"]
    assert TAUGHT_NAME in [p["name"] for p in said["frontier"]]


def test_other_efforts_fine_tune_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    room = Classroom(monkeypatch, lead=3.0)
    found = climbed(folder, "standard")
    assert not room.learning and found.race is None and TAUGHT_NAME not in names(found)
    for effort in ("quick", "standard"):
        assert distilled.school(effort, "random-1", folder, folder) is None
        assert distilled.passes(effort, 150_000, 2, 1600) == (0.0, 0)


@pytest.mark.parametrize("code", ["backbone.unreachable", "train.spatial_diverged", "file.not_found"])
def test_what_hinders_the_teacher_costs_its_rung_alone(
    folder: Path, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    Classroom(monkeypatch, 3.0, CoordinatorError(code, name="x", path="x"))
    found = climbed(folder)
    assert found.hindrance == code and found.race is None
    assert names(found)[-2:] == ["spatial head mixed4, 8 channels", "spatial head mixed4, 8 channels + linear"]


@pytest.mark.parametrize("error", [MedMeshError("interrupted"), CoordinatorError("train.spatial_maps_gone")])
def test_what_concerns_the_whole_training_stops_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch, error: MedMeshError
) -> None:
    Classroom(monkeypatch, 3.0, error)
    with pytest.raises(MedMeshError) as stopped:
        climbed(folder)
    assert stopped.value.code == error.code


def test_the_race_is_told_in_advance_and_the_rest_once_it_is_won() -> None:
    plan = timing.expected("full", 1600, 0, 0, 15, 0, 2, 0, *distilled.passes("full", 150_000, 2, 1600))
    assert plan.seconds["teacher"] > 0 and plan.seconds["distilled"] == 0
    left = timing.Remaining(plan)
    for part in ("backbone", "features", "views", "selection", "spatial", "teacher"):
        left.told(part, 1, 1, 1)
    assert left.seconds() == pytest.approx(plan.seconds["head"])
    left.told("distilled", 0, 16, 0)
    assert left.seconds() == pytest.approx(plan.possible["distilled"] + plan.seconds["head"])
    assert plan.possible["distilled"] > 4 * plan.seconds["teacher"]


def reported(found: Ascent) -> dict[str, Any]:
    data = found.seen.data
    subject = Subject(data.labels, data.groups, data.source, PLANS)
    decision = decide([found.ladder], subject)
    at = decision.chosen
    head = Head(Exported(b"x", ("mixed4_map",), ENCODINGS[0], {}), None, False)
    return report([found], subject, Outcome((found.ladder,), decision, held_out([found.ladder], subject, at), head))
