"""Months without a restart: rounds through all screens leave nothing behind."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edge_node.ui.presenter.presenter import Presenter
from tests.edge_node.ui.support.fakes import FakeNode
from tests.edge_node.ui.support.screen import Driver, showing

pytestmark = [
    pytest.mark.usefixtures("display"),
    pytest.mark.filterwarnings("default"),
    pytest.mark.alone,
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
]
WARM, ROUNDS = 2, 3
MOST_OBJECTS = 500  # a round: one page may still be waiting to be put away
MOST_MB = 8.0  # in all rounds


async def _round(driver: Driver, node: FakeNode) -> None:
    """Every screen once, with writing, camera, both languages, and what a case leaves behind deleted."""
    presenter = driver.presenter

    async def tap(*keys: str) -> None:
        for key in keys:
            await driver.tap(key)

    async def open_and_leave(page: Callable[[], None]) -> None:
        page()
        await driver.settle()
        presenter.home()
        await driver.settle()

    presenter.joining.open()
    await driver.settle()
    await tap("join.text")
    await driver.write("join.text", "medmesh1.x")
    await driver.write("join.text", "")
    await open_and_leave(lambda: presenter.models.open_sheet("pneumonia"))
    await tap("home.disease.malaria")
    presenter.capture.start_camera()
    await driver.frames(6)
    presenter.capture.stop_camera()
    await driver.settle()
    await tap("source.file.smear.jpg", "check.go", "result.confirm.parasitized", "result.reference")
    await driver.write("result.reference", "bed 4")
    await tap("result.save", "result.read.malaria")
    for page in ("history", "browser"):
        await tap(f"nav.{page}", f"{page}.query")
        await driver.write(f"{page}.query", "a")
        await driver.write(f"{page}.query", "")
    await tap("nav.device", "nav.settings")
    await open_and_leave(presenter.locking.choose_new)
    await tap("home.all", "source.file.smear.jpg", "check.go", "nav.home", "bar.language", "bar.language")
    assert node.history is not None
    node.history.cases.clear()
    node.history.confirmed.clear()
    node.vault.known.clear()
    driver.blocking.gaps_s.clear()
    while driver.app.root.rebuilt != driver.app._tidied:  # the app collects soon after the last page
        await driver.frames(1)


def _resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6


async def test_rounds_through_all_screens_leave_nothing_behind(node: FakeNode) -> None:
    node.library.offers[1] = replace(node.library.offers[1], active_version=2)
    async with showing(Presenter(node.services())) as driver:
        for _ in range(WARM):
            await _round(driver, node)
        objects, blocks, resident_mb = len(gc.get_objects()), sys.getallocatedblocks(), _resident_mb()
        for _ in range(ROUNDS):
            await _round(driver, node)
        more = (len(gc.get_objects()) - objects) / ROUNDS
        assert more < MOST_OBJECTS, f"{more:.0f} objects a round"
        assert (sys.getallocatedblocks() - blocks) / ROUNDS < 2 * MOST_OBJECTS
        assert _resident_mb() - resident_mb < MOST_MB
