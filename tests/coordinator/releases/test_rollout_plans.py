"""What a person typed as a plan."""

from __future__ import annotations

from pathlib import Path

import pytest

from coordinator.cli.rollout_plans import names_of, staged_plan
from coordinator.errors import CoordinatorError


def test_canaries_alone_make_the_usual_plan() -> None:
    plan = staged_plan("north, south,", None, None, [])
    assert plan.canaries == ("north", "south") and plan.text == "canary:1d,10%:2d,50%:2d,100%"


def test_a_percentage_ends_the_plan() -> None:
    assert staged_plan("north", None, 50, []).text == "canary:1d,10%:2d,50%"
    assert staged_plan("north", None, 0, []).text == "canary"
    assert staged_plan("", "10%:1h,100%", None, []).canaries == ()


def test_a_file_gives_stages_and_settings_and_the_command_has_the_last_word(tmp_path: Path) -> None:
    file = tmp_path / "plan.toml"
    file.write_text('stages = "canary:1h,100%"\n[policy]\nleast_nodes = 2\nleast_results = 7\n', "utf-8")
    plan = staged_plan("north", str(file), None, ["least_nodes = 4"])
    assert plan.text == "canary:1h,100%" and (plan.policy.least_nodes, plan.policy.least_results) == (4, 7)


@pytest.mark.parametrize(
    "content", [b"\xff\xfe", b"stages = [", b"x" * 70_000, b'stages = "soon"', b"[policy]\nx = 1\n"]
)
def test_files_that_are_no_plan_are_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "plan.toml"
    file.write_bytes(content)
    with pytest.raises(CoordinatorError) as caught:
        staged_plan("north", str(file), None, [])
    assert caught.value.code in ("rollout.bad_plan", "rollout.bad_policy")


@pytest.mark.parametrize("plan", ["no/such/file.toml", "x" * 5000, "\0", ".", "canary:1h;rm"])
def test_text_that_is_no_plan_is_refused(plan: str) -> None:
    with pytest.raises(CoordinatorError) as caught:
        staged_plan("north", plan, None, [])
    assert caught.value.code == "rollout.bad_plan" and len(caught.value.message()) < 300


def test_a_canary_stage_needs_somebody() -> None:
    with pytest.raises(CoordinatorError) as caught:
        staged_plan(" , ", "canary:1h,100%", None, [])
    assert "--canary" in caught.value.message()
    assert names_of(" , ") == ()
