from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from coordinator.errors import CoordinatorError
from coordinator.federation.checkpoint import SiteRecord, State
from coordinator.federation.jobs import Jobs, Options
from coordinator.federation.progress import Progress
from coordinator.releases.cards import federated
from coordinator.releases.gates import best_site
from coordinator.reports.document import Alert, Facts, text
from protocols.federation.accountant import epsilon
from protocols.federation.head import Head
from protocols.federation.verdict import SiteScores, weigh
from tests.support.coordinator import NOW, database
from tests.support.manifests import example

HEAD = Head(np.zeros((3, 2), np.float32), np.zeros(2, np.float32))


def state() -> State:
    sites = {"a1": SiteRecord(("x", "y"), (50, 50), 0.9, 3), "b2": SiteRecord(("x", "y"), (20, 20), 0.8, 2)}
    history = [{"round": n, "state": "done", "strategy": "median", "asked": 2, "used": ["a1"]} for n in (1, 2, 3, 4)]
    return State(4, 0, HEAD, HEAD, ("x", "y"), {}, sites, history)


def report(shared: float, alone: float, noise: float = 0.0) -> dict[str, Any]:
    scores = {"start": 0.6, "shared": shared, "a1": alone, "b2": 0.5}
    verdict = weigh({site: SiteScores(50, scores) for site in ("a1", "b2")})
    options = Options(rounds=4, clip=1.0 if noise else 0.0, noise=noise)
    job = type("Job", (), {"id": "j", "model": "malaria@1", "options": options})()
    return Progress(job, lambda _: None).report(state(), verdict)  # type: ignore[arg-type]


async def test_one_run_at_a_time_and_its_state_is_kept(tmp_path: Path) -> None:
    async with database(tmp_path) as opened:
        jobs = Jobs(opened)
        with pytest.raises(CoordinatorError) as caught:
            await jobs.newest()
        assert caught.value.code == "federation.unknown"
        first = await jobs.start("malaria@1", Options(rounds=7), NOW)
        with pytest.raises(CoordinatorError) as caught:
            await jobs.start("skin@2", Options(), NOW)
        assert caught.value.code == "federation.running"
        assert caught.value.details == {"model": "malaria@1"}
        found = await jobs.unfinished()
        assert found is not None
        assert (found.id, found.options.rounds, found.state) == (first.id, 7, "queued")
        await jobs.note(first.id, "done", {"model": "malaria@2"})
        assert await jobs.unfinished() is None
        with pytest.raises(CoordinatorError) as caught:
            await jobs.stop(None)
        assert caught.value.code == "federation.not_running"
        second = await jobs.start("malaria@2", Options(), NOW)
        assert (await jobs.newest()).id == second.id
        assert (await jobs.newest(first.id)).document == {"model": "malaria@2"}


async def test_who_asked_to_stop_is_not_overruled(tmp_path: Path) -> None:
    async with database(tmp_path) as opened:
        jobs = Jobs(opened)
        job = await jobs.start("malaria@1", Options(), NOW)
        assert (await jobs.stop(job.id)).state == "stopping"
        await jobs.note(job.id, "running")
        assert (await jobs.newest(job.id)).state == "stopping"


def test_bytes_are_counted_by_site_and_the_status_has_the_contracts_keys() -> None:
    written: list[dict[str, Any]] = []
    job = type("Job", (), {"id": "j", "model": "malaria@1", "options": Options(rounds=4)})()
    progress = Progress(job, written.append)  # type: ignore[arg-type]
    progress.passed("a1", 10, 100)
    progress.passed("a1", 5, 50)
    found = state()
    progress.round(found)
    progress.passed("a1", 1, 1)
    progress.round(found)
    row = written[-1]["sites"][0]
    assert (row["site"], row["metric"], row["bytes_up"], row["bytes_down"]) == ("a1", 0.9, 16, 151)
    assert {"round", "rounds", "sites", "global", "best_single_site"} <= set(written[-1])


@pytest.mark.parametrize(
    ("shared", "alone", "reason", "ok"),
    [(0.8, 0.7, None, True), (0.7, 0.8, None, False), (0.7, 0.8, "smaller sites gain", True)],
)
def test_a_head_below_the_best_sites_goes_out_only_with_a_reason(
    shared: float, alone: float, reason: str | None, ok: bool
) -> None:
    manifest = replace(example(), data={"federated": report(shared, alone)})
    gate = best_site(manifest, reason)
    assert gate.ok is ok
    assert f"{shared:.3f}" in gate.detail
    assert f"{alone:.3f}" in gate.detail
    assert reason is None or reason in gate.detail


def test_without_a_comparison_a_reason_is_needed_too() -> None:
    found = report(0.8, 0.7) | {
        "against_best_site": "unknown",
        "best_single_site_mean": None,
        "global": {"mean": None, "min": None, "sites": None},
    }
    assert not best_site(replace(example(), data={"federated": found}), None).ok
    assert best_site(example(), None).ok


def test_the_card_says_what_is_worse_what_was_kept_and_what_noise_guarantees() -> None:
    section = federated.section(replace(example(), data={"federated": report(0.7, 0.8, noise=8.0)}))
    alerts = [text(b.content, "en") for b in section.blocks if isinstance(b, Alert)]
    assert any("better than this one" in a for a in alerts)
    assert any("malaria@1" in a for a in alerts)
    (facts,) = [b for b in section.blocks if isinstance(b, Facts)]
    shown = {text(name, "en"): text(value, "en") for name, value in facts.rows}
    wanted = epsilon(8.0, 5)
    assert wanted is not None
    assert f"ε {wanted:.1f}" in shown["Privacy noise at the sites"]
    assert "5 changes" in shown["Privacy noise at the sites"]
    for words in shown.values():
        assert "a1" not in words


def test_the_report_names_no_site() -> None:
    found = str(report(0.8, 0.7))
    assert "a1" not in found
    assert "b2" not in found
