"""Fixtures for all tests: the research data where it is, a home, a random backbone converted once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def data_folder(name: str) -> Path:
    """A research data set, or a skip that says where it was looked for."""
    folder = Path(os.environ.get("MEDMESH_DATA", ROOT.parent / "shared" / "data")) / name
    if not folder.is_dir():
        pytest.skip(f"research data set {name} is not at {folder}; set MEDMESH_DATA")
    return folder


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """One process does a whole file, and all files that share the end-to-end network or its trunk, so that each is made once.

    Where several processes share the work, what takes long comes first, so that they end together.
    """
    for item in items:
        shared = "trunk" in getattr(item, "fixturenames", ())  # the network stands on it
        item.add_marker(pytest.mark.xdist_group("network" if shared else item.nodeid.split("::")[0]))
    if config.getoption("dist", "no") != "no":
        slow = {_group(item) for item in items if item.get_closest_marker("slow")} - {"network"}
        items.sort(key=lambda item: (_group(item) != "network", _group(item) not in slow))


def _group(item: pytest.Item) -> str:
    marker = item.get_closest_marker("xdist_group")
    assert marker is not None
    return str(marker.args[0])
