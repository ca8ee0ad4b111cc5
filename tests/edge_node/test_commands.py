"""Whole commands in processes of their own, against a coordinator on loopback."""

from __future__ import annotations

from pathlib import Path

from disease_kb import replica
from disease_kb.seeding import seed_entries
from tests.edge_node.support.commands import edge
from tests.edge_node.support.releases import RED, png
from tests.edge_node.support.server import CoordinatorServer


def test_join_models_pull_recognise(joined: Path, coordinator: CoordinatorServer, tmp_path: Path) -> None:
    coordinator.simulator.knowledge = (replica.build(seed_entries()), "kb-1")
    listed = edge(joined, "models").json["models"]
    assert [(m["disease"], m["cached"], m["version"]) for m in listed] == [("malaria", False, 1)]
    assert listed[0]["bytes_needed"] == listed[0]["bytes_total"] > 0

    first = edge(joined, "pull", "malaria").json
    assert (first["release"], first["already_cached"], first["active"]) == ("malaria@1", False, True)
    assert first["bytes"]["coordinator"] > 0
    again = edge(joined, "pull", "malaria").json
    assert again["already_cached"]
    assert again["bytes"]["coordinator"] == 0
    assert (
        edge(joined, "models").json["models"][0] | {"cached": True, "bytes_needed": 0}
        == edge(joined, "models").json["models"][0]
    )

    photo = tmp_path / "photo.png"
    photo.write_bytes(png(RED, edge=100))
    done = edge(joined, "recognise", str(photo), "--disease", "malaria", "--case", "A-1")
    result = done.json["results"][0]
    assert result["labels"][0]["label"] == "red"
    assert result["labels"][0]["name"]["zh"] == "疟疾"
    assert (result["prediction_set"], result["outcome"], result["case"]) == (["red"], "recognised", "A-1")
    assert result["diagnosis"]["source"] == "replica"
    assert [e["id"] for e in result["diagnosis"]["entries"]] == ["malaria"]
