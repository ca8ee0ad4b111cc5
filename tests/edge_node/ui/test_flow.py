"""The whole app with real touches and keys, on a screen that is not there."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from edge_node.errors import EdgeError
from edge_node.ui import theme, wording
from edge_node.ui.presenter.presenter import Presenter
from edge_node.ui.texts import texts
from edge_node.ui.values import SetAside
from protocols.errors import Language
from protocols.notice import NOTICE
from tests.edge_node.ui.support.fakes import NOW, FakeNode
from tests.edge_node.ui.support.screen import Driver, showing

pytestmark = [
    pytest.mark.usefixtures("display"),
    pytest.mark.filterwarnings("default"),
    pytest.mark.alone,  # the longest block of the screen is measured
]
SIZES = ((480, 800), (1280, 800))
LONGEST_BLOCK_MS = 100


def speaking(node: FakeNode, language: Language) -> Presenter:
    node.preferences.chosen = language
    return Presenter(node.services())


def check_layout(driver: Driver) -> None:
    """No word is cut or runs out of its place, nothing to touch is too small, and the notice is there."""
    with driver.blocking.aside():
        _check_layout(driver)


def _check_layout(driver: Driver) -> None:
    from edge_node.ui.screens.widgets.text import Text

    width = driver.frame.width
    for widget in driver.frame.walk(restrict=True):
        if isinstance(widget, Text) and widget.text:
            assert widget.x >= -1 and widget.right <= width + 1, f"{widget.text!r} leaves the screen"
            drawn = widget._rectangle.size
            assert drawn[0] <= widget.width + 1, f"{widget.text!r} is wider than its place"
            assert drawn[1] <= widget.height + 1, f"{widget.text!r} is higher than its place"
    for widget in driver.frame.focusables():
        assert widget.height >= 44 and widget.width >= 44, f"{widget.key} is too small for a finger"
    assert NOTICE[driver.presenter.state.language] in driver.texts()


@pytest.mark.parametrize(("language", "size"), list(product(("en", "zh"), SIZES)))
async def test_from_disease_to_referral(node: FakeNode, language: Language, size: tuple[int, int]) -> None:
    presenter = speaking(node, language)
    async with showing(presenter, size) as driver:
        check_layout(driver)
        for key in ("home.disease.malaria", "source.file.smear.jpg", "check.go"):
            await driver.tap(key)
            check_layout(driver)
        assert presenter.state.screen == "result"
        await driver.tap("result.confirm.parasitized")
        await driver.write("result.reference", "bed 4")
        await driver.tap("result.save")
        await driver.tap("result.refer")
        check_layout(driver)
        await driver.tap("result.read.malaria")
        check_layout(driver)
        danger = {"en": "Danger signs: refer at once", "zh": "危险信号：出现任何一项立即转诊"}[language]
        texts = driver.texts()
        assert danger in texts
        assert texts.index(danger) < texts.index({"en": "What to do", "zh": "怎么处理"}[language])
        for key in ("nav.history", "history.case.r1", "nav.browser", "nav.device", "nav.settings", "nav.home"):
            await driver.tap(key)
            check_layout(driver)
        assert driver.blocking.longest_ms <= LONGEST_BLOCK_MS
        assert driver.blocking.calls == []
    assert node.history is not None and node.history.confirmed == [("r1", "parasitized")]
    assert node.vault.known == {"r1": "bed 4"}
    assert len(node.referrals.written) == 1


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        ("recognised", "像是：疟疾"),
        ("unsure", "不确定：请转诊"),
        ("not_this_kind_of_image", "不是这类图像"),
        ("poor_quality", "图像质量不够"),
    ],
)
async def test_every_outcome_is_shown_in_the_same_place_and_size(node: FakeNode, outcome: Any, said: str) -> None:
    from edge_node.ui.screens.widgets.verdict import Symbol, VerdictCard

    node.recognition.outcome = outcome
    presenter = speaking(node, "zh")
    async with showing(presenter) as driver:
        for key in ("home.disease.malaria", "source.file.smear.jpg", "check.go"):
            await driver.tap(key)
        assert said in driver.texts()
        (card,) = [w for w in driver.frame.walk() if isinstance(w, VerdictCard)]
        (symbol,) = [w for w in card.walk() if isinstance(w, Symbol)]
        assert symbol.size == [76, 76] and card.top > driver.frame.height - 120, "first on the page"
        heading = next(w for w in card.walk() if getattr(w, "text", "") == said)
        assert heading._size == theme.BIG
        scores = [text for text in driver.texts() if "/ 100" in text]
        assert bool(scores) is (outcome in ("recognised", "unsure"))


async def test_a_model_is_downloaded_and_used(node: FakeNode) -> None:
    node.library.block_s = 0.2
    presenter = speaking(node, "en")
    async with showing(presenter) as driver:
        await driver.tap("home.disease.pneumonia")
        assert "To download: 22.2 MB" in driver.texts()
        assert "Approved by: Dr Li, Dr Adebayo" in driver.texts()
        await driver.tap("sheet.download.pneumonia")
        assert "Ready on this device" in driver.texts()
        await driver.tap("sheet.use.pneumonia")
        assert presenter.state.screen == "source"


async def test_joining_with_pasted_text_and_with_a_code(node: FakeNode) -> None:
    node.library.member = False
    presenter = speaking(node, "en")
    async with showing(presenter) as driver:
        await driver.tap("home.join")
        await driver.tap("join.code")
        await driver.tap("source.file.qr.png")
        assert driver.widget("join.text").text == "medmesh1.fromcode"
        await driver.write("join.text", "medmesh1.typed")
        await driver.tap("join.join")
        assert "Joined: Demo hospital network" in driver.texts()
    assert node.enrolment.joined == ["medmesh1.typed"]


async def test_handles_and_keys_move_the_region(node: FakeNode) -> None:
    presenter = speaking(node, "en")
    async with showing(presenter) as driver:
        await driver.tap("home.disease.malaria")
        await driver.tap("source.file.smear.jpg")
        crop = driver.widget("check.crop")
        _, bottom, right, _ = crop._on_screen(crop._box)
        start = crop.to_window(right, bottom)
        await driver.touch(start, (start[0] + 20, start[1] - 20), (start[0] + 40, start[1] - 30))
        await driver.settle()
        grown = presenter.state.photo.box
        assert grown is not None and grown.width > 2000 and grown.height > 1500 and (grown.x, grown.y) == (1000, 750)
        while not crop.focused:
            await driver.press("tab")
        await driver.press("left")
        await driver.press("down", "shift")
        moved = presenter.state.photo.box
        assert moved is not None and moved.x == 940 and moved.height == grown.height + 60
        await driver.tap("check.whole")
        assert presenter.state.photo.box == presenter.state.photo.photo.whole  # type: ignore[union-attr]
    assert presenter.state.photo.box == node.recognition.prepared[-1]


async def test_everything_can_be_done_with_the_keyboard(node: FakeNode) -> None:
    async def choose(key: str) -> None:
        for _ in range(40):
            await driver.press("tab")
            if driver.frame._focus is driver.frame.find(key):
                break
        else:
            raise AssertionError(f"Tab does not reach {key}")
        await driver.press("enter")

    presenter = speaking(node, "en")
    async with showing(presenter) as driver:
        await choose("home.disease.malaria")
        await choose("source.file.smear.jpg")
        await choose("check.go")
        assert presenter.state.screen == "result"
        await driver.press("escape")
        assert presenter.state.screen == "check"


async def test_changing_the_language_changes_every_word(node: FakeNode) -> None:
    presenter = speaking(node, "en")
    async with showing(presenter) as driver:
        await driver.tap("home.disease.malaria")
        await driver.tap("bar.language")
        assert "选择图像" in driver.texts() and "Choose the picture" not in driver.texts()
        assert NOTICE["zh"] in driver.texts()
        assert presenter.state.screen == "source", "the place is kept"


async def test_the_pin_pad_by_touch_and_by_keyboard(node: FakeNode) -> None:
    node.vault.pin, node.vault.open = "2580", False
    presenter = speaking(node, "zh")
    async with showing(presenter) as driver:
        check_layout(driver)
        assert driver.frame.find("nav.home") is None, "nothing else can be reached"
        for digit in "1234":
            await driver.tap(f"pin.{digit}")
        await driver.tap("pin.enter")
        assert "PIN 码错误。" in driver.texts()
        await driver.tap("failure.close")
        for key in ("2", "5", "8", "0", "enter"):
            await driver.press(key)
        assert presenter.state.screen == "home"
        presenter.locking.lock()
        await driver.settle()
        await driver.tap("pin.forgotten")
        check_layout(driver)
        await driver.tap("pin.afresh")
        assert node.vault.put_aside == 1 and presenter.state.screen == "home"


async def test_a_page_that_is_not_whole_yet_follows_the_state_when_it_is(
    node: FakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edge_node.ui.screens.widgets import layout

    monkeypatch.setattr(layout, "_FIRST_S", -1.0)  # a slow machine: nothing is ready in the first frame
    presenter = speaking(node, "en")
    async with showing(presenter) as driver:
        presenter.locking.choose_new()
        presenter.locking.digit("1")
        await driver.settle()
        assert "●" in driver.texts()


@pytest.mark.parametrize("language", ["en", "zh"])
async def test_screening_camera_and_failures(node: FakeNode, language: Language) -> None:
    node.library.offers[1] = type(node.library.offers[1])(**{**vars(node.library.offers[1]), "active_version": 2})
    presenter = speaking(node, language)
    async with showing(presenter) as driver:
        await driver.tap("home.all")
        presenter.capture.start_camera()
        await driver.frames(8)
        check_layout(driver)
        presenter.capture.shoot()
        await driver.settle()
        await driver.tap("check.go")
        check_layout(driver)
        await driver.tap("screening.pneumonia")
        assert presenter.state.screen == "result"
        presenter.board.change(failure=EdgeError("edge.coordinator_unreachable", url="https://hospital.example:8765"))
        await driver.settle()
        check_layout(driver)
        await driver.tap("failure.close")
        assert presenter.state.failure is None
        assert driver.blocking.longest_ms <= LONGEST_BLOCK_MS


@pytest.mark.parametrize(("language", "size"), list(product(("en", "zh"), SIZES)))
async def test_what_was_set_aside_and_what_is_limited(
    node: FakeNode, language: Language, size: tuple[int, int]
) -> None:
    assert node.history is not None
    node.recognition.instead_of = "malaria@4"
    node.recognition.set_aside = (
        EdgeError(
            "worker.release_quarantined", release="skin@2", since="2026-03-04 09:30", cause="worker.model_crashed"
        ),
    )
    node.device.set_aside = (SetAside("malaria", "malaria@4", NOW),)
    node.history.key_in_file = node.device.key_in_file = True
    node.library.offers[1] = replace(node.library.offers[1], active_version=2)
    presenter = speaking(node, language)
    async with showing(presenter, size) as driver:
        for key in ("home.disease.malaria", "source.file.smear.jpg", "check.go"):
            await driver.tap(key)
        check_layout(driver)
        said = "\n".join(driver.texts())
        assert "malaria@4" in said and wording.key_file(texts(language)) in said
        await driver.tap("nav.home")
        for key in ("home.all", "source.file.smear.jpg", "check.go"):
            await driver.tap(key)
        check_layout(driver)
        assert any("skin@2" in text for text in driver.texts())
        await driver.tap("nav.device")
        check_layout(driver)
        for key in ("device.readmit.malaria@4", "device.pin.malaria.malaria", "device.quota.500"):
            await driver.tap(key)
        assert driver.frame.find("device.readmit.malaria@4") is None
        await driver.tap("nav.settings")
        check_layout(driver)
        for key in ("settings.wan_kbps.64", "settings.monthly_mb.0", "settings.metered", "settings.window.22:00-06:00"):
            await driver.tap(key)
        assert driver.blocking.longest_ms <= LONGEST_BLOCK_MS
    assert node.device.pinned == {"malaria"}
    values = node.device.values
    wanted = {"cache_quota_mb": "500", "wan_kbps": "64", "monthly_mb": "0", "metered": "true", "window": "22:00-06:00"}
    assert {key: values[key] for key in wanted} == wanted


@pytest.mark.parametrize("size", [(480, 800), (1280, 800)])
@pytest.mark.parametrize("language", ["zh", "en"])
async def test_a_series_is_leafed_through_and_a_budget_overruled(
    node: FakeNode, language: Language, size: tuple[int, int]
) -> None:
    node.library.budget_used = True
    async with showing(speaking(node, language), size) as driver:
        for key in ("home.disease.malaria", "source.file.series.dcm", "check.frame.+1", "check.frame.+1"):
            await driver.tap(key)
        check_layout(driver)
        assert texts(language).t("Picture {now} of {all}", now=3, all=3) in driver.texts()
        assert not driver.widget("check.frame.+1").usable
        await driver.tap("nav.home")
        for key in ("home.disease.pneumonia", "sheet.download.pneumonia"):
            await driver.tap(key)
        check_layout(driver)
        assert not node.library.pulled
        await driver.tap("sheet.over_budget.pneumonia")
    assert node.library.pulled == ["pneumonia"]


async def test_the_slider_fades_the_evidence(node: FakeNode) -> None:
    presenter = speaking(node, "en")
    async with showing(presenter) as driver:
        for key in ("home.disease.malaria", "source.file.smear.jpg", "check.go"):
            await driver.tap(key)
        driver.frame.reveal(driver.widget("result.heat"))
        await driver.frames(3)
        slider = driver.widget("result.heat")
        before = driver.picture()
        left = slider.to_window(slider.x + 20, slider.center_y)
        await driver.touch(slider.to_window(*slider.center), left)
        await driver.settle()
        assert slider.value < 10
        assert driver.picture() != before


async def test_what_is_missing_is_said_honestly(node: FakeNode) -> None:
    node.history = node.explainer = node.camera = node.crops = None
    presenter = speaking(node, "en")
    async with showing(presenter) as driver:
        await driver.tap("home.disease.malaria")
        assert any(text.startswith("No camera can be used") for text in driver.texts())
        await driver.tap("source.file.smear.jpg")
        assert not driver.widget("check.suggested").usable
        await driver.tap("check.go")
        assert "No map of evidence on this device." in driver.texts()
        assert any(text.startswith("Results are not kept") for text in driver.texts())
        await driver.tap("nav.history")
        assert "Results are not kept on this device yet." in driver.texts()
