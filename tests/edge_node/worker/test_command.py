"""Quarantine through the public commands, and how a node's own settings reach the process for models."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from edge_node.bootstrap import Edge
from edge_node.worker.client import WorkerModels
from edge_node.worker.errors import ModelDiedError
from edge_node.worker.models import LocalModels
from protocols.manifest import ReleaseManifest
from tests.edge_node.support.commands import edge
from tests.edge_node.support.releases import RED, Simulator, make_release, png


def crash(home: Path, name: str) -> None:
    """Put a release into quarantine as a crash does."""

    async def put() -> None:
        node = Edge(home)
        async with node.local() as local:
            known = next(r for r in await local.store.installed() if r.name == name)
            manifest = ReleaseManifest.from_bytes(local.artifacts.path(known.manifest.sha256).read_bytes())
            died = ModelDiedError("worker.model_crashed", manifest, release=name, problem="SIGSEGV")
            await node.quarantine(local).add(manifest, died)

    asyncio.run(put())


def test_the_version_before_answers_and_a_person_brings_the_release_back(
    joined: Path, simulator: Simulator, tmp_path: Path
) -> None:
    photo = tmp_path / "photo.png"
    photo.write_bytes(png(RED, edge=80))
    recognise = ("recognise", str(photo), "--disease", "malaria")
    assert edge(joined, "pull", "malaria").json["active"]
    assert edge(joined, *recognise).json["results"][0]["instead_of"] is None

    crash(joined, "malaria@1")  # no other version is here
    refused = edge(joined, *recognise)
    assert (refused.code, refused.error["code"]) == (5, "worker.release_quarantined")
    assert edge(joined, "pull", "malaria").error["code"] == "worker.release_quarantined"

    simulator.publish(make_release(version=2))
    assert edge(joined, "pull", "malaria").json["release"] == "malaria@2"
    crash(joined, "malaria@2")
    (result,) = edge(joined, *recognise).json["results"]
    assert (result["release"]["version"], result["instead_of"]["release"]) == (1, "malaria@2")
    assert edge(joined, "sync").json["switched"] == []
    listed = edge(joined, "cache", "list").json
    assert [(r["release"], r["active"], r["quarantined"]) for r in listed["releases"]] == [
        ("malaria@1", True, False),
        ("malaria@2", False, True),
    ]
    assert [m["release"] for m in listed["quarantine"]] == ["malaria@2"]
    assert "worker.model_crashed" in [e["code"] for e in edge(joined, "status").json["events"]]

    assert edge(joined, "cache", "unquarantine", "malaria@1").code == 4
    freed = edge(joined, "cache", "unquarantine", "malaria@2").json
    assert freed == {"released": [{"disease": "malaria", "release": "malaria@2", "active": True}]}
    assert edge(joined, *recognise).json["results"][0]["release"]["version"] == 2


async def test_settings_choose_the_process_and_its_limits(home: Path) -> None:
    async with Edge(home).local() as local:
        assert isinstance(local.models, WorkerModels) and local.models.pid is None  # nothing runs before it is needed
        local.models.warm_up()
        pid = local.models.pid
        assert pid is not None
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    for setting in (("isolate", "false"), ("worker_memory_mb", "512"), ("worker_timeout_s", "9.5")):
        assert edge(home, "config", "set", *setting).code == 0
    assert edge(home, "config", "set", "worker_memory_mb", "1").error["code"] == "edge.config_value"
    async with Edge(home).local() as local:
        assert isinstance(local.models, LocalModels)
