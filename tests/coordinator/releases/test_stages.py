from __future__ import annotations

import pytest

from coordinator.errors import CoordinatorError
from coordinator.releases.stages import USUAL, Policy, Stage, StagedPlan, read_plan_file, read_stages


def test_the_usual_plan() -> None:
    stages = read_stages(USUAL)
    assert stages == (Stage(0, 86_400), Stage(10, 172_800), Stage(50, 172_800), Stage(100, 0))
    assert [s.name for s in stages] == ["canary", "10%", "50%", "full"]


def test_a_plan_comes_back_from_its_document() -> None:
    plan = StagedPlan(read_stages("canary:90s, 5%:36h,100%"), ("a", "b"), Policy(least_nodes=1))
    assert StagedPlan.from_document(plan.document()) == plan
    assert plan.text == "canary:90s,5%:36h,100%"


def test_a_plan_may_end_before_everybody_has_it() -> None:
    plan = StagedPlan(read_stages(USUAL), ("a",))
    assert plan.up_to(30).text == "canary:1d,10%:2d,30%"
    assert plan.up_to(50).text == "canary:1d,10%:2d,50%"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "canary",
        "0%",
        "101%",
        "10%:48h,10%",
        "50%,10%",
        "10%,canary:1h",
        "10%:1w",
        "10%:400d",
        "10%:-1h",
        ",",
        "9999%",
        "10%:1h," * 9,
    ],
)
def test_plans_that_make_no_sense_are_refused(text: str) -> None:
    with pytest.raises(CoordinatorError) as caught:
        StagedPlan(read_stages(text), ())
    assert caught.value.code == "rollout.bad_plan"


def test_a_plan_file_holds_stages_and_policy() -> None:
    stages, policy = read_plan_file('stages = "canary:1h,100%"\n[policy]\nleast_nodes = 2\n')
    assert (stages, Policy().changed(policy).least_nodes) == ("canary:1h,100%", 2)
    for text in ("stages = 3", "nodes = 3", "policy = 3", "stages ="):
        with pytest.raises(CoordinatorError):
            read_plan_file(text)


@pytest.mark.parametrize(
    "settings",
    [
        {"least_nodes": -1},
        {"least_nodes": "2.5"},
        {"least_nodes": True},
        {"failures_allowed": 1.5},
        {"failures_allowed": "nan"},
        {"confidence": 1},
        {"confidence": 0.2},
        {"compared_results": 0},
        {"unheard": 1},
        {"longest_h": "soon"},
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(CoordinatorError) as caught:
        Policy().changed(settings)
    assert caught.value.code == "rollout.bad_policy"


def test_settings_are_read_from_text() -> None:
    assert Policy().changed({"least_nodes": "5", "failures_allowed": "0.1"}) == Policy(
        least_nodes=5, failures_allowed=0.1
    )


@pytest.mark.parametrize("canaries", [tuple(map(str, range(65))), ("x" * 61,), ("a\nb",)])
def test_groups_that_would_make_nodes_refuse_the_list_are_refused_here(canaries: tuple[str, ...]) -> None:
    with pytest.raises(CoordinatorError):
        StagedPlan(read_stages(USUAL), canaries)
