"""What is counted on the node: results, words, failures; since activation, and nothing that a site chose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from edge_node.cache.store import CacheStore, Quarantined
from edge_node.health.collect import Facts, heartbeat
from edge_node.health.pulse import next_serial
from edge_node.health.tally import ReleaseTally
from edge_node.outbox.store import Counts
from edge_node.trust.standing import Standing
from protocols.artifacts import Artifact
from protocols.heartbeat import Decline, Outcomes, ReleaseHealth
from tests.edge_node.support.results import result
from tests.support.heartbeats import SENT

FILES = [Artifact.of("trunk", b"trunk")]
KEY = ("malaria", "malaria", 1)
LATER = SENT + timedelta(days=1)


async def only(store: CacheStore) -> ReleaseHealth:
    (found,) = await store.health()
    return found


def tally(path: Path) -> ReleaseTally:
    return ReleaseTally(lambda: CacheStore.open(path))


async def test_outcomes_and_words_are_counted_since_activation(tmp_path: Path) -> None:
    path = tmp_path / "i.sqlite"
    async with CacheStore.open(path) as store:
        await store.activate(*KEY, FILES, SENT)
        counting = tally(path)
        await counting.saved([result(1), result(2, outcome="unsure"), result(3, outcome="poor_quality")])
        await counting.saved([result(4, disease="skin")])  # of no release that is here
        await counting.confirmed(result(1), None, "parasitized")
        await counting.confirmed(result(2), None, "parasitized")
        await counting.confirmed(result(2), "parasitized", "uninfected")  # thought better of
        await counting.confirmed(result(3), None, "other")
        found = await only(store)
        assert (found.active, found.since, found.self_test) == (True, SENT, "passed")
        assert (found.outcomes, found.confirmed, found.agreed) == (Outcomes(1, 1, 0, 1), 3, 1)
        await store.activate(*KEY, FILES, LATER)
        again = await only(store)
    assert (again.since, again.outcomes.total, again.confirmed) == (LATER, 0, 0)


async def test_a_word_on_an_older_result_never_agrees_more_often_than_it_confirms(tmp_path: Path) -> None:
    async with CacheStore.open(tmp_path / "i.sqlite") as store:
        await store.activate(*KEY, FILES, SENT)
        await store.count_word(KEY, 0, 1)
        assert (await only(store)).agreed == 0
        await store.count_word(KEY, 0, -1)
        assert (await only(store)).agreed == 0


async def test_counting_never_costs_what_was_saved(tmp_path: Path) -> None:
    (tmp_path / "i.sqlite").write_bytes(b"not a database, but long enough to look like one" * 100)
    await tally(tmp_path / "i.sqlite").saved([result(1)])
    await tally(tmp_path / "i.sqlite").confirmed(result(1), None, "parasitized")


async def test_failures_stay_until_a_later_release_is_in_use(tmp_path: Path) -> None:
    async with CacheStore.open(tmp_path / "i.sqlite") as store:
        await store.activate(*KEY, FILES, SENT)
        await store.count_failure(("malaria", "malaria", 2), SENT, self_test=True)
        await store.count_failure(("malaria", "malaria", 2), LATER)
        rows = {h.release: (h.active, h.failures, h.self_test, h.since) for h in await store.health()}
        assert rows["malaria@2"] == (False, 2, "refused", SENT)
        await store.activate("malaria", "malaria", 3, FILES, LATER)
        assert [h.release for h in await store.health()] == ["malaria@1", "malaria@3"]


async def test_a_quarantined_release_hands_over_and_stays_known(tmp_path: Path) -> None:
    async with CacheStore.open(tmp_path / "i.sqlite") as store:
        await store.activate(*KEY, FILES, SENT)
        await store.activate("malaria", "malaria", 2, FILES, SENT)
        await store.quarantine("malaria", "malaria", 2, "worker.model_crashed", LATER, go_back=True)
        await store.count_failure(("malaria", "malaria", 2), LATER)
        rows = {h.release: (h.active, h.failures) for h in await store.health()}
    assert rows == {"malaria@1": (True, 0), "malaria@2": (False, 1)}


async def test_serials_rise_also_after_the_index_was_lost(tmp_path: Path) -> None:
    async with CacheStore.open(tmp_path / "i.sqlite") as store:
        first = await next_serial(store, LATER)
        assert await next_serial(store, SENT) == first + 1, "whatever the clock says"
    async with CacheStore.open(tmp_path / "new.sqlite") as store:
        assert await next_serial(store, LATER + timedelta(hours=1)) > first + 1


def facts(health: Sequence[ReleaseHealth], **changes: Any) -> Facts:
    plain = Facts("0.1.0", Standing(serial=7, stale_days=2), Counts(queued=3, refused=1), health, [], [], [], 1, 2)
    return replace(plain, **changes)


@pytest.mark.parametrize(
    ("health", "marks", "expected"),
    [
        ({"active": True, "failures": 2}, [], None),
        ({"active": False, "failures": 0}, [], None),
        ({"active": False, "failures": 1, "self_test": "refused"}, [], "self_test"),
        ({"active": False, "failures": 1, "self_test": "none"}, [], "failed"),
        ({"active": False, "failures": 1}, [Quarantined("malaria", "malaria", 1, "x", SENT)], "failed"),
    ],
)
def test_what_failed_is_declined_with_its_reason(
    health: dict[str, Any], marks: list[Quarantined], expected: str | None
) -> None:
    from tests.support.heartbeats import health as made

    told = heartbeat(facts([made(**health)], quarantined=marks), 1, SENT)
    assert [d.reason for d in told.declined] == ([] if expected is None else [expected])
    assert len(told.releases) == (1 if health["active"] or health["failures"] else 0)


def test_what_was_decided_here_goes_before_what_follows() -> None:
    from tests.support.heartbeats import health as made

    decided = [Decline("malaria", "malaria@1", "by_hand")]
    told = heartbeat(facts([made(active=False, failures=1)], declined=decided), 1, SENT)
    assert [d.reason for d in told.declined] == ["by_hand"]
