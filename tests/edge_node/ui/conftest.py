from __future__ import annotations

from pathlib import Path

import pytest

from edge_node.ui.presenter.presenter import Presenter
from tests.edge_node.ui.support.fakes import FakeNode, entries
from tests.edge_node.ui.support.screen import start_kivy


@pytest.fixture
def node(tmp_path: Path) -> FakeNode:
    return FakeNode(tmp_path)


@pytest.fixture
def presenter(node: FakeNode) -> Presenter:
    return Presenter(node.services())


@pytest.fixture(scope="session")
def display(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A display that is not there; skips with the reason where even that cannot be had."""
    import fpdf  # noqa: F401 - in the app a process of its own does this and the next; here they are loaded beforehand

    entries()
    if problem := start_kivy(tmp_path_factory.mktemp("kivy")):
        pytest.skip(problem)
