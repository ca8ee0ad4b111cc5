from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from coordinator.federation.checkpoint import Checkpoints, State
from coordinator.federation.rounds import MOST_FAILED, Plan, Rounds, Stopped
from edge_node.federation.images import LabelledFeatures
from protocols.federation.choice import STRATEGIES, Strategy
from protocols.federation.head import Head, Standard
from tests.support.federation import (
    FEATURES,
    LABELS,
    MISCHIEFS,
    SUBJECT,
    FixedSite,
    Member,
    MemoryGrid,
    app_of,
    balanced,
    drawn_site,
)

ZERO = Head(np.zeros((FEATURES, 2), np.float32), np.zeros(2, np.float32))
SKEWS = (0.5, 0.15, 0.85, 0.3, 0.7, 0.5)
ROOT = Path(__file__).resolve().parent.parent.parent.parent


def sites(count: int = 6) -> list[LabelledFeatures]:
    return [drawn_site(i, ill=SKEWS[i % len(SKEWS)]) for i in range(count)]


def standard(of: Sequence[LabelledFeatures]) -> Standard:
    return Standard.of(np.concatenate([s.features for s in of]))


def plan(of: Sequence[LabelledFeatures], rounds: int = 6, strategy: Strategy | None = None) -> Plan:
    return Plan(SUBJECT, LABELS, standard(of), rounds, strategy, wait_s=0.0)


def grid(of: Sequence[LabelledFeatures], **first: object) -> MemoryGrid:
    members = {i + 2: Member(app_of(FixedSite(s))) for i, s in enumerate(of)}
    for key, value in first.items():
        setattr(members[2], key, value)
    return MemoryGrid(members)


def run(lines: MemoryGrid, what: Plan, folder: Path, is_stopped: Callable[[], bool] = lambda: False) -> State:
    rounds = Rounds(
        lines, what, Checkpoints(folder / "run.npz"), lambda n: f"site {n}", is_stopped=is_stopped, sleep=lambda _: None
    )
    return rounds.run(ZERO)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_sites_learn_together_what_none_of_them_was_told(strategy: Strategy, tmp_path: Path) -> None:
    found = sites()
    state = run(grid(found), plan(found, 8, strategy), tmp_path)
    assert state.round == 8
    assert balanced(found, state.head, standard(found)) > 0.85
    assert {h["strategy"] for h in state.history} == {strategy}


def test_twenty_sites_and_twenty_rounds_take_seconds(tmp_path: Path) -> None:
    found = sites(20)
    before = time.process_time()
    state = run(grid(found), plan(found, 20), tmp_path)
    assert state.round == 20
    assert time.process_time() - before < 20


@pytest.mark.parametrize("mischief", sorted(MISCHIEFS))
def test_a_hostile_site_is_dropped_and_named_and_the_result_holds(mischief: str, tmp_path: Path) -> None:
    what, code = MISCHIEFS[mischief]
    found = sites()
    state = run(grid(found, mischief=what), plan(found), tmp_path)
    assert state.round == 6
    assert {code for _, code in state.sites["site 2"].dropped} == {code}
    assert state.sites["site 2"].rounds == 0
    assert all(not record.dropped for name, record in state.sites.items() if name != "site 2")
    without = run(grid(found[1:]), plan(found), tmp_path / "without")
    assert balanced(found[1:], state.head, standard(found)) == pytest.approx(
        balanced(found[1:], without.head, standard(found)), abs=0.03
    )


def test_flipped_labels_at_one_site_cost_little(tmp_path: Path) -> None:
    found = sites()
    flipped = [replace(found[0], labels=1 - found[0].labels), *found[1:]]
    clean = run(grid(found), plan(found, 10), tmp_path / "clean")
    attacked = run(grid(flipped), plan(found, 10), tmp_path / "attacked")
    loss = balanced(found, clean.head, standard(found)) - balanced(found, attacked.head, standard(found))
    assert loss <= 0.03


def test_two_of_six_sites_may_be_silent(tmp_path: Path) -> None:
    lines = grid(sites())
    for node in (2, 3):
        lines.members[node].mischief = lambda _: []
    state = run(lines, plan(sites()), tmp_path)
    assert state.round == 6
    assert state.sites["site 3"].dropped[0] == (1, "federation.reply_silent")


def test_without_a_quorum_a_round_does_not_count_and_the_run_ends_with_what_it_had(tmp_path: Path) -> None:
    found = sites()
    lines = grid(found)
    for node in (2, 3, 4):
        lines.members[node].is_there = lambda number: number <= 2
    state = run(lines, plan(found), tmp_path)
    assert (state.round, state.failed) == (2, MOST_FAILED)
    assert [h["state"] for h in state.history] == ["done", "done", *["no quorum"] * MOST_FAILED]
    assert balanced(found, state.head, standard(found)) > 0.8


def test_a_site_that_comes_late_joins_the_next_round_and_one_that_returns_too(tmp_path: Path) -> None:
    found = sites()
    lines = grid(found)
    lines.members[2].is_there = lambda number: number >= 3
    lines.members[3].is_there = lambda number: number not in (2, 3)
    state = run(lines, plan(found), tmp_path)
    used = [h["used"] for h in state.history]
    assert ["site 2" in u for u in used] == [False, False, True, True, True, True]
    assert ["site 3" in u for u in used] == [True, False, False, True, True, True]


def test_a_site_that_does_not_take_part_is_not_asked_to_train(tmp_path: Path) -> None:
    found = sites()
    lines = grid(found)
    lines.members[2].app = app_of(FixedSite(None))
    state = run(lines, plan(found), tmp_path)
    assert state.round == 6
    assert "site 2" not in state.sites
    assert state.declined == {"site 2": "federation.no_images"}


def test_a_site_with_too_few_images_is_refused_by_its_own_app(tmp_path: Path) -> None:
    found = [drawn_site(9, images=19), *sites(3)]
    state = run(grid(found), plan(found, 3), tmp_path)
    assert state.declined == {"site 2": "federation.too_few_images"}
    assert state.round == 3


def test_a_label_of_one_site_alone_is_named_and_its_images_stay_out(tmp_path: Path) -> None:
    found = [drawn_site(9, images=90, ill=0.34, labels=("ill", "well", "worse")), *sites(3)]
    state = run(grid(found), plan(found, 3), tmp_path)
    assert state.left_out == {"site 2": ["worse"]}
    assert state.labels == LABELS
    assert state.sites["site 2"].rounds == 3


def test_labels_of_two_sites_widen_the_head_and_masked_sites_abstain(tmp_path: Path) -> None:
    three = ("ill", "well", "worse")
    found = [*sites(4), *(drawn_site(20 + i, ill=0.34, labels=three, images=90) for i in range(2))]
    state = run(grid(found), plan(found, 8), tmp_path)
    assert state.labels == three
    assert state.head.weights.shape == (FEATURES, 3)
    assert balanced(found[4:], state.head, standard(found)) > 0.6
    assert np.abs(state.head.weights[:, 2]).max() > 0


def test_a_site_with_other_labels_only_is_left_out_with_the_reason(tmp_path: Path) -> None:
    found = sites()
    found[0] = replace(found[0], names=("krank", "gesund"))
    state = run(grid(found), plan(found), tmp_path)
    assert state.round == 6
    assert state.sites["site 2"].dropped[0][1] == "federation.labels_disjoint"
    assert state.sites["site 2"].rounds == 0


def test_sites_with_nothing_in_common_end_the_run_without_a_round(tmp_path: Path) -> None:
    found = [replace(s, names=("krank", "gesund")) for s in sites(1)] + [replace(s, names=("a", "b")) for s in sites(1)]
    state = run(grid(found), plan(sites(2)), tmp_path)
    assert (state.round, state.failed) == (0, MOST_FAILED)


@pytest.mark.parametrize("strategy", ["trimmed", "fedadam"])
def test_a_stopped_run_goes_on_as_if_nothing_had_been(strategy: Strategy, tmp_path: Path) -> None:
    found = sites()
    whole = run(grid(found), plan(found, 6, strategy), tmp_path / "whole")
    asked = iter([False, False, False, True])
    with pytest.raises(Stopped):
        run(grid(found), plan(found, 6, strategy), tmp_path / "parts", lambda: next(asked))
    resumed = run(grid(found), plan(found, 6, strategy), tmp_path / "parts")
    np.testing.assert_array_equal(resumed.head.weights, whole.head.weights)
    assert [h["round"] for h in resumed.history] == [1, 2, 3, 4, 5, 6]


KILLED = """
import sys, time
from pathlib import Path
from tests.coordinator.federation.test_rounds import *
found = sites()
rounds = Rounds(grid(found), plan(found, 40), Checkpoints(Path(sys.argv[1]) / "run.npz"), lambda n: f"site {n}",
                told=lambda s: print(s.round, flush=True))
rounds.run(ZERO)
"""


def test_a_run_killed_with_signal_9_goes_on_from_its_last_round(tmp_path: Path) -> None:
    command = [sys.executable, "-c", KILLED, str(tmp_path / "killed")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout is not None
    reached = 0
    for line in process.stdout:
        reached = int(line)
        if reached == 3:
            os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    kept = Checkpoints(tmp_path / "killed" / "run.npz").load()
    assert kept is not None
    assert 3 <= reached <= kept.round < 40
    found = sites()
    resumed = run(grid(found), plan(found, kept.round + 2), tmp_path / "killed")
    whole = run(grid(found), plan(found, kept.round + 2), tmp_path / "whole")
    np.testing.assert_array_equal(resumed.head.weights, whole.head.weights)


def test_a_full_disk_ends_a_round_and_the_one_before_still_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = sites()
    whole = run(grid(found), plan(found, 5), tmp_path / "whole")
    run(grid(found), plan(found, 2), tmp_path / "full")

    def full(path: Path, data: bytes) -> None:
        raise OSError(errno.ENOSPC, "no room", str(path))

    with monkeypatch.context() as disk:
        disk.setattr("coordinator.federation.checkpoint.write_atomically", full)
        with pytest.raises(OSError, match="no room"):
            run(grid(found), plan(found, 5), tmp_path / "full")
    resumed = run(grid(found), plan(found, 5), tmp_path / "full")
    np.testing.assert_array_equal(resumed.head.weights, whole.head.weights)


def test_a_damaged_checkpoint_starts_the_run_anew(tmp_path: Path) -> None:
    (tmp_path / "run.npz").write_bytes(b"PK\x03\x04 nonsense")
    state = run(grid(sites()), plan(sites(), 2), tmp_path)
    assert state.round == 2


@pytest.mark.parametrize("module", ["coordinator.federation.rounds", "edge_node.federation.client_app"])
def test_flower_phones_nobody(module: str) -> None:
    code = f"import {module}; from flwr.supercore import telemetry as t, update_check as u; print(t.FLWR_TELEMETRY_ENABLED)"
    kept = {k: v for k, v in os.environ.items() if not k.startswith("FLWR_")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT, env=kept)
    assert done.stdout.strip() == "0"
