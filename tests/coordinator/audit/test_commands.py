"""``audit list``, ``verify`` and ``export`` as scripts call them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Awaitable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from coordinator.bootstrap import initialise, open_coordinator
from coordinator.cli import audit as commands
from coordinator.config import Config
from coordinator.errors import CoordinatorError
from protocols.console import Console
from tests.support.coordinator import NOW


async def test_list_export_and_verify_here_and_elsewhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async def answer(done: Awaitable[None]) -> Any:
        await done
        return json.loads(capsys.readouterr().out)

    await initialise(tmp_path / "home", Config("test", 1))
    async with open_coordinator(tmp_path / "home") as coordinator:
        await coordinator.tokens.create("clinic", ["train"], timedelta(days=1), NOW)
        await coordinator.releases.keep_fresh(NOW)
        heads = tmp_path / "heads.json"
        heads.write_text(json.dumps({"heads": [coordinator.releases.repository.timestamp().to_dict()]}))
    console = Console(home=tmp_path / "home", json=True, language="en")
    listed = (await answer(commands.list_(console, act="token")))["acts"]
    assert [(r["act"], r["detail"]["owner"], r["actor"]["kind"]) for r in listed] == [
        ("token.create", "clinic", "local")
    ]
    out = tmp_path / "trail.jsonl"
    made = await answer(commands.export(console, out))
    assert made["rows"] == 3 and out.stat().st_mode & 0o777 == 0o600
    with pytest.raises(CoordinatorError) as caught:
        await commands.export(console, out)
    assert caught.value.code == "audit.exists"
    told = await answer(commands.verify(console, heads=[heads]))
    assert told["ok"] and told["rows"] == 3 and told["heads_compared"] == 2 and told["signer"] == "root"
    elsewhere = Console(home=tmp_path / "nowhere", json=True, language="zh")
    assert (await answer(commands.verify(elsewhere, heads=[heads], file=out, key=made["keys"])))["signer"] == "key"
    with closing(sqlite3.connect(tmp_path / "home" / "coordinator" / "coordinator.sqlite")) as database, database:
        database.execute("UPDATE audit SET actor = 'somebody else' WHERE number = 2")
    with pytest.raises(CoordinatorError) as caught:
        await commands.verify(console)
    assert caught.value.code == "audit.broken" and caught.value.kind.exit_code == 5
    findings = json.loads(capsys.readouterr().out)["findings"]
    assert [(f["row"], f["why"]) for f in findings] == [(2, "edited")]
