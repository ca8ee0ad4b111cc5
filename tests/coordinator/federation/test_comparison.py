from __future__ import annotations

from pathlib import Path

from coordinator.federation.comparison import Comparison
from protocols.federation import flower
from protocols.federation.verdict import SHARED, START
from tests.coordinator.federation.test_rounds import grid, plan, run, sites
from tests.support.federation import FEATURES, FixedSite, app_of


def test_the_shared_head_is_scored_beside_each_sites_own_at_every_site(tmp_path: Path) -> None:
    found = sites()
    lines, what = grid(found), plan(found, 8)
    state = run(lines, what, tmp_path)
    verdict, alone = Comparison(lines, what, lambda n: f"site {n}").run(state)
    assert set(alone) == {f"site {n}" for n in range(2, 8)}
    assert set(verdict.heads) == {SHARED, START, *alone}
    assert verdict.heads[SHARED].sites == 6
    assert verdict.heads[SHARED].mean > verdict.heads[START].mean
    assert verdict.best_site in alone
    best = max(verdict.heads[site].mean for site in alone)
    assert verdict.finding == ("better" if verdict.heads[SHARED].mean >= best else "worse")


def test_many_heads_travel_in_several_messages(tmp_path: Path) -> None:
    found = sites(12)
    lines, what = grid(found), plan(found, 3)
    verdict, alone = Comparison(lines, what, lambda n: f"site {n}").run(run(lines, what, tmp_path))
    assert len(verdict.heads) == 2 + len(alone) == 14


def test_a_site_that_makes_nonsense_alone_is_left_out(tmp_path: Path) -> None:
    found = sites()
    lines, what = grid(found), plan(found, 3)
    state = run(lines, what, tmp_path)
    honest = lines.members[2].app

    def nonsense(message: object, context: object) -> object:
        reply = honest(message, context)
        if message.metadata.message_type == "train.alone":  # type: ignore[attr-defined]
            arrays = flower.arrays_of(reply.content.array_records["arrays"])
            reply.content["arrays"] = flower.array_record({**arrays, "weights": arrays["weights"][: FEATURES - 1]})
        return reply

    lines.members[2].app = nonsense
    verdict, alone = Comparison(lines, what, lambda n: f"site {n}").run(state)
    assert "site 2" not in alone
    assert verdict.heads[SHARED].sites == 6


def test_sites_that_have_gone_are_not_waited_for(tmp_path: Path) -> None:
    found = sites()
    lines, what = grid(found), plan(found, 3)
    state = run(lines, what, tmp_path)
    for node in (2, 3, 4, 5, 6):
        lines.members[node].app = app_of(FixedSite(None))
    lines.members[7].is_there = lambda _: False
    verdict, alone = Comparison(lines, what, lambda n: f"site {n}").run(state)
    assert alone == {}
    assert verdict.finding == "unknown"
