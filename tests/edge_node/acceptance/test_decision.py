from __future__ import annotations

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge_node.acceptance.comparison import Comparison
from edge_node.acceptance.decision import LEAST_GROUPS, LEAST_IMAGES, compare

LABELS = ["ill", "well", "other"]


def arrays(
    rows: list[tuple[str, bool, bool, int]],
) -> tuple[NDArray[np.str_], NDArray[np.bool_], NDArray[np.bool_], NDArray[np.str_]]:
    labels, active, candidate, groups = zip(*rows, strict=True)
    return np.array(labels), np.array(active), np.array(candidate), np.array([f"g{g}" for g in groups])


def judged(rows: list[tuple[str, bool, bool, int]]) -> Comparison:
    return compare(*arrays(rows))


def every(active: bool, candidate: bool, count: int = 40, groups: int = 20) -> list[tuple[str, bool, bool, int]]:
    return [(LABELS[n % 2], active, candidate, n % groups) for n in range(count)]


SITES = st.lists(
    st.tuples(st.sampled_from(LABELS), st.booleans(), st.booleans(), st.integers(0, 25)), min_size=1, max_size=120
)
LARGE_SITES = st.lists(
    st.tuples(st.sampled_from(LABELS[:2]), st.booleans(), st.booleans(), st.integers(0, 25)), min_size=70, max_size=120
)
FEW = settings(max_examples=60, deadline=None)


@FEW
@given(SITES)
def test_a_release_is_never_worse_than_itself(rows: list[tuple[str, bool, bool, int]]) -> None:
    found = judged([(label, right, right, group) for label, right, _, group in rows])
    assert found.verdict != "worse"
    assert found.low in (0.0, None)
    assert found.high in (0.0, None)


@FEW
@given(SITES)
def test_a_candidate_that_is_right_wherever_the_active_one_is_is_never_declined(
    rows: list[tuple[str, bool, bool, int]],
) -> None:
    assert judged([(x, active, active or candidate, g) for x, active, candidate, g in rows]).verdict != "worse"


@FEW
@given(SITES)
def test_exchanging_the_two_turns_the_interval_round(rows: list[tuple[str, bool, bool, int]]) -> None:
    one = judged(rows)
    other = judged([(label, candidate, active, group) for label, active, candidate, group in rows])
    assert (one.candidate, one.active) == (other.active, other.candidate)
    if one.low is not None and one.high is not None and other.low is not None and other.high is not None:
        assert abs(one.low + other.high) < 1e-3
        assert abs(one.high + other.low) < 1e-3
    assert not (one.verdict == other.verdict == "worse")


@FEW
@given(SITES, st.randoms(use_true_random=False))
def test_the_order_of_the_images_means_nothing(rows: list[tuple[str, bool, bool, int]], chance: object) -> None:
    shuffled = list(rows)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    assert judged(shuffled) == judged(rows)


@FEW
@given(LARGE_SITES)
def test_the_interval_holds_the_difference_and_decides_alone(rows: list[tuple[str, bool, bool, int]]) -> None:
    found = judged(rows)
    assume(found.verdict != "too_few")
    assert found.candidate is not None and found.active is not None and found.low is not None and found.high is not None
    assert found.low - 2e-4 <= found.candidate - found.active <= found.high + 2e-4
    assert (found.verdict == "worse") == (found.high < 0)
    assert found.n >= LEAST_IMAGES
    assert found.groups >= LEAST_GROUPS


def test_permuted_classes_are_declined_and_the_other_way_round_are_welcome() -> None:
    worse = judged(every(active=True, candidate=False))
    assert (worse.verdict, worse.candidate, worse.active, worse.high) == ("worse", 0.0, 1.0, -1.0)
    assert judged(every(active=False, candidate=True)).verdict == "not_worse"


def test_too_few_images_groups_or_labels_say_nothing() -> None:
    assert judged(every(True, False, count=LEAST_IMAGES - 1, groups=LEAST_IMAGES)).verdict == "too_few"
    assert judged(every(True, False, count=LEAST_IMAGES, groups=LEAST_GROUPS)).verdict == "worse"
    assert judged(every(True, False, count=100, groups=LEAST_GROUPS - 1)).verdict == "too_few"
    assert judged([("ill", True, False, n) for n in range(60)]).verdict == "too_few"
    rare = [("ill", True, False, n) for n in range(60)] + [("well", True, False, n) for n in range(4)]
    assert judged(rare).verdict == "too_few"


def test_many_pictures_of_one_patient_do_not_pass_for_many_patients() -> None:
    """One patient of thirty, with half of all pictures, is what the candidate gets wrong."""
    good = [(LABELS[n % 2], True, True, n % 29) for n in range(60)]
    patient = [(LABELS[n % 2], True, False, 29) for n in range(60)]
    assert judged(good + patient).verdict == "not_worse"
    apart = [(label, active, candidate, 29 + n) for n, (label, active, candidate, _) in enumerate(patient)]
    assert judged(good + apart).verdict == "worse"


def test_equal_releases_are_declined_by_chance_no_more_often_than_the_interval_says() -> None:
    """Two releases of the same true accuracy at a site of 12 patients with 4 pictures each, 200 times."""
    chance = np.random.default_rng(7)
    declined = 0
    for _ in range(200):
        groups = np.repeat(np.arange(12), 4).astype(np.str_)
        truth = np.where(np.arange(48) % 2, "ill", "well")
        hard = np.repeat(chance.beta(8, 2, 12), 4)  # pictures of one patient are alike
        declined += compare(truth, chance.random(48) < hard, chance.random(48) < hard, groups).verdict == "worse"
    assert declined / 200 < 0.05
