"""Images that wait for a look: whoever made the data set decides on their page, and nobody is shown a picture."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import update

from coordinator.access.roles import Role
from coordinator.audit.log import Chosen
from coordinator.intake.quarantine import Quarantine
from coordinator.store.tables import dataset_owners
from tests.coordinator.intake.test_dicom import write_dicoms
from tests.support.filled import fill
from tests.support.intake import add, opened
from tests.support.pages import Browser, browsing, text_of
from tests.support.pictures import write_set

PAGE = "/datasets/malaria/waiting"


async def waiting(browser: Browser, dataset: str | None = "malaria") -> list[str]:
    coordinator = browser.office.coordinator
    return [w["id"] for w in await Quarantine(coordinator.database, coordinator.home).list(dataset)]


async def test_one_is_taken_in_and_one_removed_and_both_are_on_record(tmp_path: Path) -> None:
    async with browsing(tmp_path / "home") as browser:
        report = await add(browser.office.coordinator, write_dicoms(tmp_path / "set", doubtful=1))
        assert (report["accepted"], len(report["quarantined"])) == (6, 2)
        first, second = await waiting(browser)
        page = (await browser.get(PAGE)).text
        assert first in page and "ultrasound, which often has text" in page and page.count("<img") == 1, (
            "the logo alone"
        )
        await browser.post(PAGE, image=first, act="accept", sure="on")
        await browser.post(PAGE, image=second, act="reject", sure="on")
        assert await waiting(browser) == []
        assert (await opened(browser.office.coordinator).show("malaria"))["images"] == 7
        rows = await browser.office.coordinator.trail.newest(Chosen(), 2)
        assert [(r.act, r.actor_kind, r.actor) for r in rows] == [
            ("dataset.quarantine.reject", "user", "Ada"),
            ("dataset.quarantine.accept", "user", "Ada"),
        ]
        assert "Nothing waits" in (await browser.get(PAGE)).text


@pytest.mark.parametrize(
    ("status", "fields"),
    [
        (422, {"act": "accept"}),
        (422, {"act": "accept", "sure": "on"}),
        (422, {"act": "burn", "sure": "on", "image": "1"}),
        (404, {"act": "reject", "sure": "on", "image": "%"}),
        (404, {"act": "reject", "sure": "on", "image": "f" * 12}),
    ],
)
async def test_a_wrong_word_changes_nothing(tmp_path: Path, status: int, fields: dict[str, str]) -> None:
    async with browsing(tmp_path / "home") as browser:
        await fill(browser.office)
        before = await waiting(browser)
        await browser.post(PAGE, status, **fields)
        assert await waiting(browser) == before and len(before) == 3


async def test_only_those_of_one_s_own_data_set(tmp_path: Path) -> None:
    async with browsing(tmp_path / "home", Role.UPLOADER) as browser:
        await fill(browser.office)  # north's
        before = await waiting(browser)
        await browser.get(PAGE, 403)
        await browser.post(PAGE, 403, act="reject", sure="on", image=before[0])
        assert PAGE not in (await browser.get("/datasets/malaria")).text
        async with browser.office.coordinator.database.begin() as connection:
            await connection.execute(update(dataset_owners).values(owner="Ada"))
        assert before[0] in text_of((await browser.get(PAGE)).text)
        assert PAGE in (await browser.get("/datasets/malaria")).text
        await browser.post(PAGE, act="reject", sure="on", image=before[0])
        assert await waiting(browser) == before[1:]


async def test_a_data_set_s_maker_cannot_reach_into_another(tmp_path: Path) -> None:
    async with browsing(tmp_path / "home") as browser:
        await fill(browser.office)
        before = await waiting(browser)
        await add(browser.office.coordinator, write_set(tmp_path / "set", 6), name="other")
        await browser.post("/datasets/other/waiting", 404, act="reject", sure="on", image=before[0])
        assert await waiting(browser) == before
