"""What ``release show`` tells a person."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from coordinator.cli import releases as commands
from coordinator.errors import CoordinatorError
from coordinator.releases.stages import USUAL, StagedPlan, read_stages
from protocols.console import Console
from tests.support.manifests import example
from tests.support.rollouts import NOW, desk


async def test_stage_and_reasons_in_both_languages_and_a_draft(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with desk(tmp_path) as opened:
        await opened.rollouts.start("malaria@2", StagedPlan(read_stages(USUAL), ("canary",)), NOW)
        await opened.coordinator.models.add(example(version=3), {"dataset": "malaria", "metrics": {}})
    await commands.show(Console(tmp_path, json=False, language="en"), "malaria@2")
    told = capsys.readouterr().out
    assert (
        "stage canary (1 of 4)" in told and "waits: 0 of 20 results" in told and "longer than its plan allows" in told
    )
    assert f"- {'0' * 16}: silent, 0 results" in told
    await commands.show(Console(tmp_path, json=False, language="zh"), "malaria@2")
    assert "等待：已有 0/20 个结果" in capsys.readouterr().out
    await commands.show(Console(tmp_path, json=True, language="en"), "malaria@3")
    assert json.loads(capsys.readouterr().out)["state"] == "draft"
    for name in ("malaria@4", "leprosy"):
        with pytest.raises(CoordinatorError) as caught:
            await commands.show(Console(tmp_path, json=True, language="en"), name)
        assert caught.value.code == "release.unknown"
