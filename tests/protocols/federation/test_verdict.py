from __future__ import annotations

from collections.abc import Mapping

import pytest

from protocols.errors import ProtocolError
from protocols.federation.verdict import SHARED, START, SiteScores, read_scores, weigh


def scores(images: int = 50, **said: float | None) -> SiteScores:
    return SiteScores(images, said)


def test_a_shared_head_that_is_better_than_every_sites_own_says_so() -> None:
    verdict = weigh(
        {"a": scores(start=0.7, shared=0.9, a=0.8, b=0.6), "b": scores(start=0.6, shared=0.8, a=0.7, b=0.7)}
    )
    assert (verdict.finding, verdict.best_site, verdict.gained) == ("better", "a", True)
    assert verdict.heads[SHARED].mean == pytest.approx(0.85)
    assert (verdict.heads[SHARED].lowest, verdict.heads[SHARED].worst_site) == (0.8, "b")
    assert verdict.personal == {}


def test_one_that_is_worse_than_the_best_site_says_so_and_offers_the_sites_own() -> None:
    verdict = weigh({"a": scores(start=0.9, shared=0.8, a=0.9), "b": scores(start=0.7, shared=0.7, a=0.8)})
    assert (verdict.finding, verdict.best_site, verdict.gained) == ("worse", "a", False)
    assert verdict.personal == {"a": (0.9, 0.8)}
    assert verdict.document()["against_best_site"] == "worse"


def test_a_site_counts_by_its_images_but_a_boast_counts_for_little() -> None:
    sites: Mapping[str, SiteScores] = {
        "a": scores(50, start=0.5, shared=0.9),
        "b": scores(50, start=0.5, shared=0.9),
        "c": scores(1_000_000, start=1.0, shared=0.0),
    }
    assert weigh(sites).heads[SHARED].mean == pytest.approx((0.9 + 0.9) / 6)


def test_sites_that_cannot_tell_are_left_out() -> None:
    verdict = weigh({"a": scores(0, start=None, shared=None), "b": scores(20, start=0.5, shared=0.6, a=None)})
    assert verdict.heads[SHARED].sites == 1
    assert (verdict.finding, verdict.best_site) == ("unknown", None)


def test_without_any_site_that_can_tell_nothing_is_claimed() -> None:
    verdict = weigh({})
    assert (verdict.finding, verdict.gained) == ("unknown", False)
    assert verdict.document()["global"] is None


@pytest.mark.parametrize(
    "metrics",
    [
        {"images": 50},
        {"images": 50, "scores": [0.5], "more": 1},
        {"images": 10**12, "scores": [0.5, 0.5]},
        {"images": 5.0, "scores": [0.5, 0.5]},
        {"images": 50, "scores": [0.5]},
        {"images": 50, "scores": [0.5, 2.0]},
        {"images": 50, "scores": [0.5, float("nan")]},
        {"images": 50, "scores": 0.5},
    ],
)
def test_scores_that_cannot_be_are_refused(metrics: dict[str, object]) -> None:
    with pytest.raises(ProtocolError) as caught:
        read_scores(metrics, 2)
    assert caught.value.code.startswith("federation.reply_")


def test_a_negative_score_means_that_the_site_cannot_tell() -> None:
    assert read_scores({"images": 0, "scores": [-1.0, 0.5]}, 2) == (0, [None, 0.5])


def test_the_start_is_a_head_like_the_others() -> None:
    assert START in weigh({"a": scores(start=0.5, shared=0.6)}).heads
