"""The app without a display."""

from __future__ import annotations

import asyncio
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import pytest

from edge_node.errors import EdgeError
from edge_node.ui import wording
from edge_node.ui.presenter.past import matching
from edge_node.ui.presenter.presenter import Presenter
from edge_node.ui.texts import texts
from edge_node.ui.values import SetAside
from protocols.imaging import Box
from tests.edge_node.ui.support.fakes import NOW, FakeNode, answer

PHOTO = Path("/clinic/pictures/smear.jpg")


async def started(presenter: Presenter) -> Presenter:
    presenter.start()
    await presenter.settle()
    return presenter


async def recognised(presenter: Presenter) -> Presenter:
    await started(presenter)
    presenter.open_disease("malaria")
    await presenter.settle()
    presenter.capture.choose(PHOTO)
    await presenter.settle()
    presenter.capture.recognise()
    await presenter.settle()
    return presenter


async def test_starting_shows_what_is_here_and_then_asks_the_coordinator(presenter: Presenter, node: FakeNode) -> None:
    seen: list[tuple[int, int]] = []
    presenter.board.listen(lambda s: seen.append((len(s.shelf.offers) if s.shelf else 0, node.library.asked)))
    await started(presenter)
    assert seen.index((2, 0)) < seen.index((3, 0)) < seen.index((3, 1)), "installed, listed, asked"
    assert node.library.asked == 1
    assert not presenter.state.refreshing


async def test_a_device_that_has_not_joined_asks_nobody(presenter: Presenter, node: FakeNode) -> None:
    node.library.member = False
    await started(presenter)
    assert node.library.asked == 0


async def test_state_cannot_be_changed_by_widgets(presenter: Presenter) -> None:
    with pytest.raises(FrozenInstanceError):
        presenter.state.language = "zh"  # type: ignore[misc]


async def test_a_ready_disease_leads_to_the_photo_and_another_to_its_models(presenter: Presenter) -> None:
    await started(presenter)
    presenter.open_disease("malaria")
    assert presenter.state.route == ("home", "source")
    presenter.home()
    presenter.open_disease("pneumonia")
    assert presenter.state.screen == "sheet"


async def test_a_withdrawn_model_cannot_be_used(presenter: Presenter) -> None:
    await started(presenter)
    presenter.open_disease("melanoma")
    assert presenter.state.screen == "sheet"


async def test_a_photo_goes_to_the_preview_with_the_suggested_region(presenter: Presenter, node: FakeNode) -> None:
    await started(presenter)
    presenter.open_disease("malaria")
    presenter.capture.choose(PHOTO)
    await presenter.settle()
    assert presenter.state.screen == "check"
    assert presenter.state.photo.box == presenter.state.photo.suggested == Box(1000, 750, 2000, 1500)
    assert node.recognition.prepared == [Box(0, 0, 4000, 3000), Box(1000, 750, 2000, 1500)]
    assert node.crops is not None and node.crops.asked == [("malaria", "malaria")], "the model has its say"


async def test_a_region_chosen_meanwhile_is_kept(presenter: Presenter, node: FakeNode) -> None:
    assert node.crops is not None
    node.crops.delay_s = 0.05
    await started(presenter)
    presenter.open_disease("malaria")
    presenter.capture.choose(PHOTO)
    while not presenter.state.photo.suggesting:  # noqa: ASYNC110 - the presenter has no event for it
        await asyncio.sleep(0)
    presenter.capture.use(Box(10, 10, 900, 900))
    await presenter.settle()
    assert presenter.state.photo.box == Box(10, 10, 900, 900)
    assert presenter.state.photo.suggested == Box(1000, 750, 2000, 1500) and not presenter.state.photo.suggesting


async def test_recognising_does_not_wait_for_a_suggestion(presenter: Presenter, node: FakeNode) -> None:
    assert node.crops is not None
    node.crops.delay_s = 60
    await started(presenter)
    presenter.open_disease("malaria")
    presenter.capture.choose(PHOTO)
    while not presenter.state.photo.suggesting:  # noqa: ASYNC110 - the presenter has no event for it
        await asyncio.sleep(0)
    presenter.capture.recognise()
    async with asyncio.timeout(5):
        await presenter.settle()
    assert presenter.state.screen == "result" and node.recognition.boxes == [Box(0, 0, 4000, 3000)]


async def test_without_a_suggestion_the_whole_picture_is_taken(presenter: Presenter, node: FakeNode) -> None:
    whole = Presenter(replace(node.services(), crops=None))
    await started(whole)
    whole.open_disease("malaria")
    whole.capture.choose(PHOTO)
    await whole.settle()
    assert whole.state.photo.box == Box(0, 0, 4000, 3000)
    assert whole.state.photo.suggested is None


async def test_dragging_prepares_once_for_the_last_region(presenter: Presenter, node: FakeNode) -> None:
    await started(presenter)
    presenter.open_disease("malaria")
    presenter.capture.choose(PHOTO)
    await presenter.settle()
    node.recognition.prepared.clear()
    for _ in range(30):
        presenter.capture.drag("move", 10, 0)
    await presenter.settle()
    assert node.recognition.prepared == [Box(1300, 750, 2000, 1500)]


async def test_recognition_uses_exactly_the_previewed_region(presenter: Presenter, node: FakeNode) -> None:
    await recognised(presenter)
    assert node.recognition.boxes == node.recognition.prepared[-1:]


async def test_a_result_is_kept_and_explained(presenter: Presenter, node: FakeNode) -> None:
    await recognised(presenter)
    result = presenter.state.result
    assert presenter.state.screen == "result"
    assert result.finding is not None and result.finding.id == "r1"
    assert result.heat is not None and not result.explaining


@pytest.mark.parametrize("outcome", ["poor_quality", "not_this_kind_of_image"])
async def test_a_picture_without_an_answer_is_not_explained(presenter: Presenter, node: FakeNode, outcome: str) -> None:
    node.recognition.outcome = outcome  # type: ignore[assignment]
    await recognised(presenter)
    assert presenter.state.result.heat is None


async def test_tapping_twice_asks_once(presenter: Presenter, node: FakeNode) -> None:
    await started(presenter)
    presenter.open_disease("malaria")
    presenter.capture.choose(PHOTO)
    await presenter.settle()
    node.recognition.delay_s = 0.02
    presenter.capture.recognise()
    presenter.capture.recognise()
    await presenter.settle()
    assert len(node.recognition.boxes) == 1


async def test_leaving_the_preview_drops_the_answer_under_way(presenter: Presenter, node: FakeNode) -> None:
    await started(presenter)
    presenter.open_disease("malaria")
    presenter.capture.choose(PHOTO)
    await presenter.settle()
    node.recognition.delay_s = 5
    presenter.capture.recognise()
    await asyncio.sleep(0)
    presenter.back()
    await asyncio.wait_for(presenter.settle(), 1)
    assert presenter.state.screen == "source" and not presenter.state.photo.recognising


async def test_a_broken_file_leaves_the_file_list_and_says_why(presenter: Presenter) -> None:
    await started(presenter)
    presenter.open_disease("malaria")
    presenter.capture.choose(Path("/clinic/broken.jpg"))
    await presenter.settle()
    assert presenter.state.screen == "source"
    assert presenter.state.failure is not None and presenter.state.failure.code == "image.unreadable"
    presenter.back()
    assert presenter.state.failure is None and presenter.state.screen == "source", "back closes the failure first"


async def test_a_defect_of_ours_does_not_take_the_screen_away(presenter: Presenter, node: FakeNode) -> None:
    async def broken(*_: object) -> list[object]:
        raise ZeroDivisionError

    node.recognition.recognise = broken  # type: ignore[method-assign, assignment]
    await recognised(presenter)
    assert presenter.state.screen == "check"
    assert presenter.state.failure is not None and presenter.state.failure.code == "defect"


async def test_screening_shows_every_answer_and_opens_one(presenter: Presenter) -> None:
    await started(presenter)
    presenter.capture.begin(None)
    presenter.capture.choose(PHOTO)
    await presenter.settle()
    presenter.capture.recognise()
    await presenter.settle()
    assert presenter.state.screen == "screening"
    assert [f.disease for f in presenter.state.screening.findings] == ["malaria", "pneumonia"]
    presenter.results.show_screened(presenter.state.screening.findings[1])
    await presenter.settle()
    assert presenter.state.result.finding is not None and presenter.state.result.finding.disease == "pneumonia"


async def test_releases_that_were_set_aside_are_named_beside_the_answers(presenter: Presenter, node: FakeNode) -> None:
    refusal = EdgeError(
        "worker.release_quarantined", release="skin@2", since="2026-03-04", cause="worker.model_crashed"
    )
    node.recognition.set_aside = (refusal,)
    await started(presenter)
    presenter.capture.begin(None)
    presenter.capture.choose(PHOTO)
    await presenter.settle()
    presenter.capture.recognise()
    await presenter.settle()
    presenter.results.show_screened(presenter.state.screening.findings[0])
    await presenter.settle()
    assert presenter.state.screening.set_aside == (refusal,)
    assert len(presenter.state.screening.findings) == 2


async def test_an_answer_says_which_release_it_stands_in_for(presenter: Presenter, node: FakeNode) -> None:
    node.recognition.instead_of = "malaria@4"
    await recognised(presenter)
    finding = presenter.state.result.finding
    assert finding is not None
    assert "malaria@4" in (wording.stand_in(finding, texts("en")) or "")
    assert "malaria@3" in (wording.stand_in(finding, texts("zh")) or "")
    assert wording.stand_in(answer(), texts("en")) is None


async def test_the_first_result_whose_key_lies_in_a_file_brings_a_warning(presenter: Presenter, node: FakeNode) -> None:
    assert node.history is not None
    node.history.key_in_file = True
    await recognised(presenter)
    assert presenter.state.result.key_in_file
    presenter.home()
    await recognised(presenter)
    assert presenter.state.result.finding is not None and presenter.state.result.finding.id == "r2"
    assert not presenter.state.result.key_in_file, "once is enough; the device page keeps saying it"


async def test_the_quota_is_chosen_where_the_models_are_listed(presenter: Presenter, node: FakeNode) -> None:
    presenter.device.open()
    presenter.device.set_quota(500)
    await presenter.settle()
    assert node.device.values["cache_quota_mb"] == "500"
    assert presenter.state.device.report is not None and presenter.state.device.report.quota_mb == 500
    assert dict(presenter.state.device.settings)["cache_quota_mb"] == "500"


async def test_a_model_is_pinned_and_unpinned(presenter: Presenter) -> None:
    presenter.device.open()
    for pinned in (True, False):
        presenter.device.pin("malaria", "malaria", pinned=pinned)
        await presenter.settle()
        assert presenter.state.device.report is not None
        assert presenter.state.device.report.stored[0].pinned is pinned


async def test_a_release_that_was_set_aside_can_be_let_in_again(presenter: Presenter, node: FakeNode) -> None:
    node.device.set_aside = (SetAside("malaria", "malaria@4", NOW),)
    presenter.device.open()
    await presenter.settle()
    assert presenter.state.device.report is not None and presenter.state.device.report.set_aside
    presenter.device.readmit("malaria@4")
    await presenter.settle()
    assert presenter.state.device.report.set_aside == ()


async def test_a_screened_answer_is_kept_once(presenter: Presenter, node: FakeNode) -> None:
    await started(presenter)
    presenter.capture.begin(None)
    presenter.capture.choose(PHOTO)
    await presenter.settle()
    presenter.capture.recognise()
    await presenter.settle()
    for _ in range(2):
        presenter.results.show_screened(presenter.state.screening.findings[0])
        await presenter.settle()
        presenter.back()
    assert node.history is not None and len(node.history.cases) == 1


async def test_downloading_shows_progress_and_makes_the_model_ready(presenter: Presenter, node: FakeNode) -> None:
    await started(presenter)
    presenter.open_disease("pneumonia")
    await presenter.settle()
    shares = []
    presenter.board.listen(lambda s: shares.append(s.sheet.download.done if s.sheet.download else None))
    assert presenter.state.shelf is not None
    presenter.models.download(presenter.state.shelf.of("pneumonia")[0])
    await presenter.settle()
    assert node.library.pulled == ["pneumonia"]
    assert 11_090_000 in shares and shares[-1] is None
    assert presenter.state.shelf.of("pneumonia")[0].ready
    assert dict(presenter.state.sheet.cards)["pneumonia"].images == 1600


async def test_a_download_can_be_cancelled(presenter: Presenter, node: FakeNode) -> None:
    node.library.block_s = 5
    await started(presenter)
    presenter.open_disease("pneumonia")
    assert presenter.state.shelf is not None
    presenter.models.download(presenter.state.shelf.of("pneumonia")[0])
    await asyncio.sleep(0.01)
    presenter.models.cancel_download()
    await asyncio.wait_for(presenter.settle(), 1)
    assert node.library.pulled == [] and presenter.state.sheet.download is None


async def test_joining_by_text(presenter: Presenter, node: FakeNode) -> None:
    presenter.joining.open()
    presenter.joining.type("medmesh1.abc")
    presenter.joining.join()
    await presenter.settle()
    assert node.enrolment.joined == ["medmesh1.abc"]
    assert presenter.state.join.joined is not None and not presenter.state.join.busy


async def test_joining_by_the_picture_of_a_code(presenter: Presenter) -> None:
    presenter.joining.open()
    presenter.capture.begin_invite()
    presenter.capture.choose(Path("/clinic/qr.png"))
    await presenter.settle()
    assert presenter.state.screen == "join"
    assert presenter.state.join.text == "medmesh1.fromcode"


async def test_a_picture_without_a_code_says_so_and_the_typed_text_stays(presenter: Presenter) -> None:
    presenter.joining.open()
    presenter.joining.type("medmesh1.abc")
    presenter.capture.begin_invite()
    presenter.capture.choose(PHOTO)
    await presenter.settle()
    assert presenter.state.failure is not None and presenter.state.failure.code == "ui.qr_none"
    assert presenter.state.join.text == "medmesh1.abc"


async def test_the_clinicians_word_and_the_reference_stay_with_the_result(presenter: Presenter, node: FakeNode) -> None:
    await recognised(presenter)
    presenter.results.confirm("uninfected")
    presenter.results.set_reference("  bed 4 ")
    await presenter.settle()
    assert node.history is not None and node.history.confirmed == [("r1", "uninfected")]
    assert node.vault.known == {"r1": "bed 4"}
    presenter.past.open()
    await presenter.settle()
    presenter.open_case("r1")
    await presenter.settle()
    result = presenter.state.result
    assert (result.confirmed, result.reference, result.photo) == ("uninfected", "bed 4", None)


async def test_history_is_searched_by_reference_disease_label_and_day(presenter: Presenter, node: FakeNode) -> None:
    await recognised(presenter)
    presenter.past.open()
    await presenter.settle()
    cases, shelf = presenter.state.history.cases, presenter.state.shelf
    assert cases is not None
    for query in ("bed", "疟疾", "MALARIA", "2026-03"):
        assert len(matching(cases, {"r1": "bed 4"}, query, shelf)) == 1, query
    assert matching(cases, {"r1": "bed 4"}, "bed 5", shelf) == []


async def test_without_a_history_the_answer_is_still_shown(node: FakeNode) -> None:
    presenter = Presenter(replace(node.services(), history=None, explainer=None))
    await recognised(presenter)
    assert presenter.state.screen == "result"
    presenter.past.open()
    assert presenter.state.history.cases is None


async def test_searching_while_typing_asks_once(presenter: Presenter, node: FakeNode) -> None:
    presenter.reading.open()
    await presenter.settle()
    for text in ("p", "pn", "pneu"):
        presenter.reading.search(text)
    await presenter.settle()
    assert node.knowledge.asked == ["pneu"]
    assert "pneumonia" in [hit.id for hit in presenter.state.browser.hits or ()]


async def test_the_camera_is_switched_off_by_leaving(presenter: Presenter, node: FakeNode) -> None:
    await started(presenter)
    presenter.open_disease("malaria")
    presenter.capture.start_camera()
    await asyncio.sleep(0.02)
    assert presenter.state.photo.frame is not None
    presenter.back()
    await presenter.settle()
    await asyncio.sleep(0.01)
    assert node.camera is not None and node.camera.closed == 1
    assert not presenter.state.photo.camera_on


async def test_taking_a_photo_leads_to_the_preview(presenter: Presenter, node: FakeNode) -> None:
    await started(presenter)
    presenter.open_disease("malaria")
    presenter.capture.start_camera()
    await asyncio.sleep(0.02)
    presenter.capture.shoot()
    await presenter.settle()
    assert presenter.state.screen == "check" and node.pictures.kept == 1


async def test_a_missing_camera_is_said(presenter: Presenter, node: FakeNode) -> None:
    assert node.camera is not None
    node.camera.gone = True
    await started(presenter)
    presenter.open_disease("malaria")
    presenter.capture.start_camera()
    await presenter.settle()
    assert presenter.state.failure is not None and presenter.state.failure.code == "ui.camera_missing"


async def type_pin(presenter: Presenter, digits: str) -> None:
    for digit in digits:
        presenter.locking.digit(digit)
    presenter.locking.enter()
    await presenter.settle()


async def test_a_new_pin_is_asked_for_twice(presenter: Presenter, node: FakeNode) -> None:
    await started(presenter)
    presenter.locking.choose_new()
    await type_pin(presenter, "2580")
    await type_pin(presenter, "2581")
    assert node.vault.pin is None
    assert presenter.state.failure is not None and presenter.state.failure.code == "ui.pin_differs"
    await type_pin(presenter, "2580")
    await type_pin(presenter, "2580")
    assert node.vault.pin == "2580" and presenter.state.pin.is_set


async def test_locking_takes_everything_about_patients_off_the_screen_and_out_of_the_state(
    presenter: Presenter, node: FakeNode
) -> None:
    node.vault.pin = "2580"
    await recognised(presenter)
    presenter.locking.lock()
    await presenter.settle()
    state = presenter.state
    assert state.screen == "pin" and state.result.finding is None and state.photo.photo is None
    assert not node.vault.open


async def test_a_wrong_pin_keeps_it_locked_and_the_right_one_opens(presenter: Presenter, node: FakeNode) -> None:
    node.vault.pin, node.vault.open = "2580", False
    await started(presenter)
    assert presenter.state.locked
    await type_pin(presenter, "1111")
    assert presenter.state.locked and presenter.state.failure is not None
    await type_pin(presenter, "2580")
    assert not presenter.state.locked and presenter.state.screen == "home"


async def test_the_digits_are_no_part_of_the_state(presenter: Presenter) -> None:
    presenter.locking.choose_new()
    for digit in "2580":
        presenter.locking.digit(digit)
    assert "2580" not in repr(presenter.state)
    assert presenter.state.pin.typed == 4


async def test_a_forgotten_pin_costs_references_and_membership_but_no_models(
    presenter: Presenter, node: FakeNode
) -> None:
    node.vault.pin, node.vault.open = "2580", False
    await started(presenter)
    presenter.locking.forgotten(yes=True)
    presenter.back()
    assert not presenter.state.pin.forgotten and presenter.state.locked, "back only takes the question back"
    presenter.locking.start_afresh()
    await presenter.settle()
    assert not presenter.state.locked
    assert node.vault.put_aside == 1 and node.enrolment.left == 1
    assert presenter.state.shelf is not None and presenter.state.shelf.of("malaria")[0].ready


async def test_updating_reports_failure_and_stays_usable(presenter: Presenter, node: FakeNode) -> None:
    node.device.failure = EdgeError("edge.coordinator_unreachable", url="https://x")
    await started(presenter)
    presenter.device.open()
    presenter.device.sync()
    await presenter.settle()
    assert presenter.state.failure is node.device.failure
    assert not presenter.state.device.syncing and not presenter.state.device.synced
    assert presenter.state.device.report is not None


async def test_changing_a_setting_shows_the_new_value(presenter: Presenter, node: FakeNode) -> None:
    presenter.device.open_settings()
    presenter.device.set("threads", "2")
    await presenter.settle()
    assert dict(presenter.state.device.settings)["threads"] == "2"


async def test_the_language_is_remembered(presenter: Presenter, node: FakeNode) -> None:
    presenter.set_language("zh")
    await presenter.settle()
    assert presenter.state.language == node.preferences.chosen == "zh"


async def test_a_referral_sheet_is_written_for_the_answer_on_the_screen(presenter: Presenter, node: FakeNode) -> None:
    await recognised(presenter)
    presenter.results.refer()
    await presenter.settle()
    assert node.referrals.written == [presenter.state.result.sheet]


async def test_going_to_a_screen_on_the_way_back_makes_no_circles(presenter: Presenter) -> None:
    for screen in ("source", "check", "result", "source"):
        presenter.board.go(screen)  # type: ignore[arg-type]
    assert presenter.state.route == ("home", "source")


async def test_closing_ends_all_work(presenter: Presenter, node: FakeNode) -> None:
    node.recognition.delay_s = 60
    await started(presenter)
    presenter.open_disease("malaria")
    presenter.capture.choose(PHOTO)
    await presenter.settle()
    presenter.capture.recognise()
    await asyncio.wait_for(presenter.close(), 1)


def test_an_answer_reads_back_from_its_own_document() -> None:
    found = answer("unsure")
    assert [score.label for score in found.prediction_set] == ["parasitized", "uninfected"]
    assert found.release == "malaria@3" and found.pages[0].red_flags["zh"]


async def test_of_a_file_with_several_pictures_each_can_be_taken(presenter: Presenter, node: FakeNode) -> None:
    await started(presenter)
    presenter.open_disease("malaria")
    presenter.capture.choose(Path("/clinic/pictures/series.dcm"))
    await presenter.settle()
    first = presenter.state.photo.photo
    assert first is not None and (first.frame, first.frames) == (1, 3)
    presenter.capture.turn_to(3)
    await presenter.settle()
    last = presenter.state.photo.photo
    assert last is not None and (last.frame, last.frames) == (3, 3)
    presenter.capture.turn_to(4)
    await presenter.settle()
    assert presenter.state.photo.photo is last, "there is no fourth"
    assert presenter.state.route.count("check") == 1


async def test_a_download_over_the_budget_needs_a_second_word(presenter: Presenter, node: FakeNode) -> None:
    await started(presenter)
    node.library.budget_used = True
    presenter.open_disease("pneumonia")
    offer = next(o for o in node.library.offers if o.disease == "pneumonia")
    presenter.models.download(offer)
    await presenter.settle()
    assert presenter.state.failure is not None and presenter.state.failure.code == "edge.budget_used"
    assert presenter.state.sheet.over_budget == offer.release
    assert not node.library.pulled
    presenter.models.download(offer, over_budget=True)
    await presenter.settle()
    assert node.library.pulled == ["pneumonia"]
    assert presenter.state.sheet.over_budget is None
