from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from coordinator.errors import CoordinatorError
from coordinator.federation.personal import FILE
from coordinator.federation.refinement import last_rounds, refine
from coordinator.federation.rounds import Stopped
from tests.coordinator.federation.test_rounds import ZERO, grid, plan, sites
from tests.support.federation import FixedSite, app_of


def name(number: int) -> str:
    return f"site {number}"


@pytest.mark.parametrize(("rounds", "last"), [(1, 0), (3, 0), (4, 1), (20, 5), (100, 5)])
def test_the_last_quarter_of_the_rounds_but_at_most_five_follow_the_comparison(rounds: int, last: int) -> None:
    assert last_rounds(rounds) == last


def test_held_out_images_are_learned_from_only_after_the_comparison(tmp_path: Path) -> None:
    found = sites()
    lines = grid(found)
    asked: list[tuple[str, bool]] = []
    honest = lines.members[2].app

    def listening(message: object, context: object) -> object:
        config = message.content.config_records["config"]  # type: ignore[attr-defined]
        asked.append((message.metadata.message_type, bool(config.get("everything"))))  # type: ignore[attr-defined]
        return honest(message, context)

    lines.members[2].app = listening
    stated: list[float] = []
    other = lines.members[3].app

    def telling(message: object, context: object) -> object:
        reply = other(message, context)
        if message.metadata.message_type == "train":  # type: ignore[attr-defined]
            stated.append(reply.content.metric_records["metrics"]["score"])
        return reply

    lines.members[3].app = telling
    state, verdict = refine(lines, plan(found, 8), ZERO, tmp_path, name)
    assert state.round == 8
    assert [s >= 0 for s in stated] == [True] * 6 + [False] * 2
    assert state.sites["site 3"].score == stated[5]
    assert asked == [
        ("query", False),
        *[("train", False)] * 6,
        ("train.alone", False),
        ("evaluate", False),
        *[("train", True)] * 2,
    ]
    assert verdict.heads["shared"].sites == 6


def test_a_run_that_was_stopped_after_the_comparison_does_not_compare_again(tmp_path: Path) -> None:
    found = sites()
    refine(grid(found), plan(found, 8), ZERO, tmp_path, name)
    kept = json.loads((tmp_path / "scores.json").read_bytes())
    kept["site 2"]["scores"]["shared"] = 0.125
    (tmp_path / "scores.json").write_text(json.dumps(kept))
    lines = grid(found)
    state, verdict = refine(lines, plan(found, 8), ZERO, tmp_path, name)
    assert (state.round, lines.trained) == (8, 0)
    assert verdict.heads["shared"].lowest == 0.125


def test_nobody_there_is_said_and_nothing_is_made(tmp_path: Path) -> None:
    lines = grid(sites(2))
    for member in lines.members.values():
        member.app = app_of(FixedSite(None))
    with pytest.raises(CoordinatorError) as caught:
        refine(lines, plan(sites(2)), ZERO, tmp_path, name)
    assert caught.value.code == "federation.no_quorum"
    assert not (tmp_path / "scores.json").exists()


def test_stopping_keeps_what_there_is(tmp_path: Path) -> None:
    found = sites()
    asked = iter([False] * 5)
    with pytest.raises(Stopped):
        refine(grid(found), plan(found, 8), ZERO, tmp_path, name, is_stopped=lambda: next(asked, True))
    state, _ = refine(grid(found), plan(found, 8), ZERO, tmp_path, name)
    assert [h["round"] for h in state.history] == list(range(1, 9))


def test_a_site_whose_own_head_is_better_there_has_it_kept(tmp_path: Path) -> None:
    found = sites()
    found[0] = replace(found[0], labels=1 - found[0].labels)  # it calls things the other way round
    _, verdict = refine(grid(found), plan(found, 8), ZERO, tmp_path, name)
    assert "site 2" in verdict.personal
    with np.load(tmp_path / FILE) as kept:
        assert {key.rsplit(".", 1)[0] for key in kept.files} == set(verdict.personal)
        assert kept["site 2.weights"].shape == ZERO.weights.shape
