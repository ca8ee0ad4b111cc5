from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.edge_node.support.authority import TestAuthority
from tests.edge_node.support.commands import edge
from tests.edge_node.support.releases import Simulator, make_release
from tests.edge_node.support.server import CoordinatorServer, serving


@pytest.fixture(scope="session")
def authority() -> TestAuthority:
    return TestAuthority()


@pytest.fixture
def simulator() -> Simulator:
    return Simulator([make_release()])


@pytest.fixture
def coordinator(simulator: Simulator, authority: TestAuthority, tmp_path: Path) -> Iterator[CoordinatorServer]:
    with serving(simulator, authority, tmp_path) as server:
        yield server


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def joined(coordinator: CoordinatorServer, home: Path) -> Path:
    """The home of a node that has joined ``coordinator``."""
    assert edge(home, "join", coordinator.invite, "--name", "clinic").code == 0
    return home
