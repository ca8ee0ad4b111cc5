"""The linear rungs over made-up features: what is chosen, what is kept, and how a stopped training goes on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest

from coordinator.errors import CoordinatorError
from coordinator.training import folds, selection
from coordinator.training.export import Exported
from coordinator.training.features import Extraction, Trunk
from coordinator.training.ladder import ascent, budget, frontier, linear, spatial, timing
from coordinator.training.ladder.ascent import Head, Seen, Terms
from coordinator.training.ladder.budget import ENCODINGS
from coordinator.training.ladder.decision import Subject, decide, held_out
from coordinator.training.ladder.frontier import Point
from coordinator.training.ladder.report import Outcome, report
from coordinator.training.ladder.work import Work
from coordinator.training.selection import Data, TapSet
from coordinator.training.trunks import ReadyTrunk
from protocols.imaging import InputSpec
from protocols.manifest import Backbone
from tests.support.engine import InlineEngine

Item = TypeVar("Item")
Result = TypeVar("Result")
TAP_SETS = (selection.LAST_POOL, TapSet("both", ("good", "mixed10_avg")))


def made(images: int = 96, views: bool = True, classes: int = 2) -> Data:
    """The tap ``good`` carries the label where no light has changed it; altered views have its first half shifted."""
    chance = np.random.default_rng(1)
    labels = np.arange(images) % classes
    centres = np.random.default_rng(9).normal(0, 1.0, (classes, 20))
    good = (centres[labels] + chance.normal(0, 1, (images, 20))).astype(np.float32)
    last = chance.normal(0, 1, (images, 30)).astype(np.float32)
    groups = np.array([f"g{i // 4}" for i in range(images)])
    if not views:
        return Data({"good": good, "mixed10_avg": last}, labels, groups)
    moved = good + chance.normal(0, 0.5, good.shape).astype(np.float32)
    moved[:, :10] += 1.5 * np.sign(centres[1] - centres[0])[:10]  # every image looks more like the second class
    return Data(
        {"good": good, "mixed10_avg": last}, labels, groups, {"good": moved, "mixed10_avg": last}, np.arange(images)
    )


class Counting(InlineEngine):
    """Counts what it was given, and dies on the way where it is told to."""

    def __init__(self, most: int = 10**6) -> None:
        self.done = 0
        self._most = most

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        for item in items:
            if self.done == self._most:
                raise KeyboardInterrupt
            yield function(item)
            self.done += 1


def crossed(data: Data, folder: Path, engine: Counting) -> linear.Answers:
    plans = folds.plans(data.labels, data.groups, 5, 1)
    kept = Work(folder)
    kept.begin([])
    return linear.cross_validated(data, TAP_SETS, plans, kept, engine, lambda done, total: None)


@pytest.fixture(scope="module", autouse=True)
def few_strengths() -> Iterator[None]:
    """Two strengths a method: what is tried here is the way, not the grid."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(selection, "STRENGTHS", {"logistic": (1e-3, 1e-2), "tempered": (1e-2,), "ridge": (0.1, 1.0)})
        yield


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> linear.Answers:
    """The answers of an undisturbed training."""
    return crossed(made(), tmp_path_factory.mktemp("whole"), Counting())


def test_rungs_answer_for_every_image_and_view_without_having_seen_it(whole: linear.Answers) -> None:
    data, found = made(), whole
    assert set(found.rungs) == {linear.BASE, linear.TAPS, linear.FITS, linear.VIEWS}
    assert set(found.taps) == {t.name for t in TAP_SETS}
    accuracy = {n: (x[0].argmax(1) == data.labels).mean() for n, x in found.rungs.items()}
    assert abs(accuracy[linear.BASE] - 0.5) < 0.15 and accuracy[linear.TAPS] > 0.8
    on_views = {n: (x[0].argmax(1) == data.labels[data.source]).mean() for n, x in found.views.items()}
    assert on_views[linear.VIEWS] > on_views[linear.FITS] + 0.05, (
        "heads that saw views know views of unseen groups better"
    )


def test_a_stopped_training_goes_on_and_ends_with_the_same_bits(tmp_path: Path, whole: linear.Answers) -> None:
    data, first = made(), Counting(most=3)
    with pytest.raises(KeyboardInterrupt):
        crossed(data, tmp_path / "stopped", first)
    part = tmp_path / "stopped" / "linear-0-1.npz"
    part.write_bytes(part.read_bytes()[:-200])  # as a broken disk would leave it
    second = Counting()
    gone_on = crossed(data, tmp_path / "stopped", second)
    assert second.done == 3, "the two that were not begun, and the damaged one"
    for kind in ("rungs", "views", "taps"):
        for name, logits in getattr(whole, kind).items():
            assert logits.tobytes() == getattr(gone_on, kind)[name].tobytes()


def climbed(data: Data, folder: Path, told: list[tuple[str, int, int]]) -> ascent.Ascent:
    backbone = Backbone("random-1", "d" * 64, "none", "a test")
    trunk = ReadyTrunk(Trunk(folder, "c" * 64, InputSpec(75, (0.0, 1.0)), ("good", "mixed10_avg")), backbone, 1)
    seen = Seen(trunk, Extraction(data.taps, [], 0, np.zeros((len(data.labels), 192), np.float32)), data, None)
    classes = int(data.labels.max()) + 1
    terms = Terms("quick", TAP_SETS, (), 150_000, "other", classes)
    plans = folds.plans(data.labels, data.groups, 5, 1)
    kept = Work(folder)
    kept.begin([])
    return ascent.climb(seen, plans, terms, kept, InlineEngine(), lambda name: nullcontext(), lambda *x: told.append(x))


def test_the_ladder_of_one_backbone_has_its_rungs_in_order(tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    found = climbed(made(classes=3), tmp_path, told)
    assert [r.name for r in found.ladder.rungs] == [linear.BASE, linear.TAPS, linear.FITS, linear.VIEWS]
    assert [r.rule for r in found.ladder.rungs] == ["first", "contains", "better", "robust"]
    assert told[0] == ("selection", 0, 5) and told[-1] == ("selection", 5, 5)
    assert found.inputs(linear.BASE) == ("mixed10_avg",)
    assert found.ladder.rungs[0].logits.shape[2] == 3


def test_without_views_there_is_no_rung_of_views_and_the_report_tells_of_the_others(tmp_path: Path) -> None:
    found = climbed(made(views=False), tmp_path, [])
    assert [r.name for r in found.ladder.rungs] == [linear.BASE, linear.TAPS, linear.FITS]
    data = found.seen.data
    subject = Subject(data.labels, data.groups, data.source, folds.plans(data.labels, data.groups, 5, 1))
    decision = decide([found.ladder], subject)
    at = decision.chosen
    exported = Exported(b"x" * 777, found.inputs(found.ladder.rungs[at[1]].name), ENCODINGS[0], {})
    head = Head(exported, found.choices.rung(found.ladder.rungs[at[1]].name), False)
    said = report([found], subject, Outcome((found.ladder,), decision, held_out([found.ladder], subject, at), head))
    assert [r["name"] for r in said["rungs"]] == [linear.BASE, linear.TAPS, linear.FITS]
    (chosen,) = [r for r in said["rungs"] if r["chosen"]]
    assert chosen["name"] == said["rung"] and chosen["bytes"] == 777 and chosen["kept"]
    assert sum(said["chosen_in_folds"].values()) == 5
    assert {p["name"] for p in said["frontier"]} >= {linear.BASE, said["rung"]}
    (backbone,) = said["backbones"]
    assert backbone["backbone"] == "random-1" and backbone["chosen"]
    json.dumps(said)


CHANNELS = {
    f"mixed{d}_{p}": c for d, c in ((2, 288), (4, 768), (7, 768), (8, 1280), (10, 2048)) for p in ("avg", "max")
}


def test_a_budget_leaves_out_what_does_not_keep_to_it() -> None:
    tap_sets = selection.CANDIDATES["standard"]
    two, limit = budget.within(None, tap_sets, CHANNELS, 2)
    assert set(two) == set(tap_sets) and limit == 150_000
    small, _ = budget.within(10, tap_sets, CHANNELS, 2)
    assert {s.name for s in small} == {"last pool", "mixed7 avg", "mixed4+7 avg+max"}
    with pytest.raises(CoordinatorError) as caught:
        budget.within(2, tap_sets, CHANNELS, 2)
    assert caught.value.code == "train.over_budget" and "4 kB" in caught.value.message()
    many, limit = budget.within(None, tap_sets, CHANNELS, 1000)
    assert [s.name for s in many] == ["mixed7 avg"] and limit > 150_000


def test_spatial_heads_keep_to_effort_and_budget() -> None:
    assert spatial.within("quick", 10**6, 2, 1600) == ()
    assert len(spatial.within("standard", 150_000, 2, 1600)) < len(spatial.within("full", 150_000, 2, 1600))
    assert len(spatial.within("full", 150_000, 7, 1600)) >= 1
    for limit in (40_000, 150_000):
        found = spatial.within("full", limit, 2, 1600)
        assert found and all(c.estimated_bytes(2) <= limit for c in found)
    assert spatial.within("full", 1000, 2, 1600) == ()
    sizes = [c.estimated_bytes(2) for c in spatial.within("full", 10**6, 2, 1600)]
    assert sizes == sorted(sizes), "from light to heavy"


def test_few_images_are_shown_more_often_within_limits() -> None:
    (most, many, usual, few, fewest) = (
        spatial.within("standard", 150_000, 2, images)[0].epochs for images in (10**6, 3200, 1600, 800, 10)
    )
    assert most == many == usual // 2 and few == 2 * usual and 2 * usual < fewest <= 3 * usual
    passes = [spatial.map_epochs("standard", 150_000, 2, images) for images in (1600, 800)]
    assert passes[1] == 2 * passes[0], "what a training will take knows of it"


def test_the_frontier_holds_what_no_smaller_head_beats() -> None:
    points = [Point("a", 10, 0.90, None, None), Point("b", 20, 0.89, 0.8, 0.95), Point("c", 30, 0.95, 0.9, 0.99, True)]
    points += [
        Point("d", 30, 0.94, None, None),
        Point("a", 10, 0.90, None, None),
    ]  # another that is just like the first
    assert [p.name for p in frontier.frontier(points)] == ["a", "c"]
    rows = frontier.document(points)
    assert [(r["name"], r["frontier"], r["chosen"]) for r in rows] == [
        ("a", True, False),
        ("a", False, False),
        ("b", False, False),
        ("c", True, True),
        ("d", False, False),
    ]


def test_time_left_follows_what_the_parts_really_took() -> None:
    plan = timing.expected("standard", 1600, 1600, 1600, 15, 0, 2, 1)
    left = timing.Remaining(plan)
    assert left.seconds() == pytest.approx(plan.total)
    left.told("backbone", 1, 1, 30)
    left.told("features", 800, 1600, 200)  # ten times as slow as expected
    rest = sum(plan.seconds[p] for p in ("views", "selection", "spatial", "head"))
    assert left.seconds() == pytest.approx(200 + rest)
    for part in ("features", "views", "selection", "spatial", "head"):
        left.told(part, 1, 1, 1)
    assert left.seconds() == 0
