"""The app on the real services: a simulated coordinator over HTTPS, real files, the real pipeline."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from disease_kb import replica
from disease_kb.seeding import seed_entries
from edge_node.ui.presenter.presenter import Presenter
from edge_node.ui.wiring.start import services
from edge_node.ui.worker import Worker
from edge_node.worker.errors import ModelDiedError
from protocols.errors import MedMeshError
from protocols.imaging import Box, open_image, prepare
from tests.edge_node.capture.scenes import RIGHTLY, overlap
from tests.edge_node.capture.test_novelty import SUBJECT, limits, photograph, statistics
from tests.edge_node.support.releases import BLUE, RED, SPEC, Simulator, make_release
from tests.edge_node.support.server import CoordinatorServer


@pytest.fixture
def simulator() -> Simulator:
    return Simulator([make_release()], knowledge=(replica.build(seed_entries()), "7"))


@pytest.fixture
async def presenter(home: Path) -> AsyncIterator[Presenter]:
    worker = Worker()
    parts, close = await services(home, worker, "en")
    made = Presenter(parts)
    yield made
    await made.close()
    await close()
    await worker.close()


@pytest.fixture
async def ready(presenter: Presenter, coordinator: CoordinatorServer, home: Path) -> Presenter:
    """Joined, with the model and the knowledge base here."""
    (home / "edge").mkdir(parents=True)
    (home / "edge" / "config.toml").write_text('history_key = "file"\n')
    presenter.services.library._node.edge.config = presenter.services.library._node.edge._read_config()  # type: ignore[attr-defined]
    presenter.joining.type(coordinator.invite)
    presenter.joining.join("clinic")
    await presenter.settle()
    assert presenter.state.failure is None
    assert presenter.state.join.joined is not None
    assert presenter.state.shelf is not None
    offer = presenter.state.shelf.of("malaria")[0]
    assert not offer.ready and offer.bytes_needed and offer.signer
    presenter.models.download(offer)
    await presenter.settle()
    assert presenter.state.failure is None
    return presenter


def photo(folder: Path, colour: tuple[int, int, int], size: tuple[int, int] = (640, 480)) -> Path:
    path = folder / "photo.jpg"
    pixels = np.full((size[1], size[0], 3), colour, dtype=np.uint8)
    pixels[: size[1] // 2] = BLUE
    Image.fromarray(pixels).save(path, quality=95)
    return path


async def test_join_download_recognise_confirm_and_refer(ready: Presenter, tmp_path: Path) -> None:
    assert ready.state.shelf is not None and ready.state.shelf.of("malaria")[0].ready
    ready.open_disease("malaria")
    await ready.settle()
    ready.capture.choose(photo(tmp_path, RED))
    await ready.settle()
    ready.capture.use(Box(0, 260, 640, 200))
    await ready.settle()
    ready.capture.recognise()
    await ready.settle()
    assert ready.state.failure is None
    result = ready.state.result
    assert result.finding is not None and result.finding.top.label == "red" and result.finding.outcome == "recognised"
    assert result.finding.top.name == {"zh": "疟疾", "en": "Malaria"}
    assert result.finding.pages[0].red_flags["zh"], "the knowledge base came along"
    assert result.finding.id and result.key_in_file
    ready.results.confirm("blue")
    ready.results.set_reference("bed 4")
    ready.results.refer()
    await ready.settle()
    assert ready.state.failure is None
    assert ready.state.result.sheet is not None and ready.state.result.sheet.read_bytes().startswith(b"%PDF")
    ready.past.open()
    await ready.settle()
    (case,) = ready.state.history.cases or ()
    assert (case.confirmed, case.name["en"], case.sent) == ("blue", "Malaria", False)
    ready.open_case(case.id)
    await ready.settle()
    assert ready.state.result.reference == "bed 4" and ready.state.result.confirmed == "blue"
    copy = ready.state.result.kept
    assert copy is not None and min(copy.width, copy.height) >= SPEC.edge_px
    assert np.frombuffer(copy.rgb, np.uint8).reshape(-1, 3).mean(axis=0).round().tolist() == pytest.approx(RED, abs=3)


async def test_the_preview_is_exactly_what_the_model_sees(ready: Presenter, tmp_path: Path) -> None:
    path = photo(tmp_path, RED, (1200, 900))
    opened = await ready.services.pictures.open(path)
    box = Box(100, 300, 640, 500)
    shown = await ready.services.recognition.prepare(opened, box, "malaria", None)
    with open_image(path) as image:
        pixels = prepare(image, SPEC, box)
    levels = np.frombuffer(shown.raster.rgb, dtype=np.uint8).reshape(SPEC.edge_px, SPEC.edge_px, 3)
    assert np.array_equal(levels, np.rint(pixels[0] * 255).astype(np.uint8))


async def test_the_suggested_region_is_what_the_chosen_model_knows(
    ready: Presenter, coordinator: CoordinatorServer, tmp_path: Path
) -> None:
    coordinator.simulator.publish(make_release(version=2, padding=statistics(), novelty=limits()))
    ready.models.look()
    await ready.settle()
    assert ready.state.shelf is not None
    ready.models.download(ready.state.shelf.of("malaria")[0])
    await ready.settle()
    path = photograph(tmp_path / "decoy.png", decoy=True)
    ready.open_disease("malaria")
    ready.capture.choose(path)
    await ready.settle()
    assert ready.state.failure is None
    suggested = ready.state.photo.suggested
    assert suggested is not None and overlap(suggested, SUBJECT) > RIGHTLY
    assert ready.state.photo.box == suggested
    ready.capture.begin(None)
    ready.capture.choose(path)
    await ready.settle()
    plain = ready.state.photo.suggested
    assert plain is not None and overlap(plain, SUBJECT) == 0, "of all diseases, no model has a say"


async def test_it_works_without_the_coordinator(
    ready: Presenter, coordinator: CoordinatorServer, tmp_path: Path
) -> None:
    coordinator.simulator.missing |= {a.sha256 for a in coordinator.simulator.releases[0].manifest.artifacts}
    coordinator.answer_delay_s = 30
    opened = await ready.services.pictures.open(photo(tmp_path, RED))
    async with asyncio.timeout(5):
        answers = await ready.services.recognition.recognise(opened, None, "malaria", None)
    assert answers.findings[0].pages


async def test_a_release_in_quarantine_is_shown_and_let_in_again(ready: Presenter, tmp_path: Path) -> None:
    node = ready.services.library._node  # type: ignore[attr-defined]

    async def set_aside() -> None:
        local = await node.local()
        (manifest,) = await node.manifests("malaria", None)
        died = ModelDiedError("worker.model_crashed", manifest, release=manifest.name, problem="SIGSEGV")
        await node.edge.quarantine(local).add(manifest, died)

    await ready.services.library._worker.run(set_aside)  # type: ignore[attr-defined]
    ready.device.open()
    await ready.settle()
    report = ready.state.device.report
    assert report is not None and [item.release for item in report.set_aside] == ["malaria@1"]
    opened = await ready.services.pictures.open(photo(tmp_path, RED))
    with pytest.raises(MedMeshError) as refused:
        await ready.services.recognition.recognise(opened, None, "malaria", None)
    assert refused.value.code == "worker.release_quarantined"
    ready.device.readmit("malaria@1")
    await ready.settle()
    assert ready.state.device.report is not None and ready.state.device.report.set_aside == ()
    assert (await ready.services.recognition.recognise(opened, None, "malaria", None)).findings


async def test_looking_up_without_a_photo(ready: Presenter) -> None:
    ready.reading.open()
    await ready.settle()
    assert len(ready.state.browser.hits or ()) > 30
    ready.reading.search("打摆子")
    await ready.settle()
    hits = ready.state.browser.hits
    assert hits and hits[0].id == "malaria"
    ready.reading.read("malaria")
    await ready.settle()
    assert ready.state.browser.page is not None and ready.state.browser.page.citations


async def test_device_report_settings_and_leaving(ready: Presenter) -> None:
    ready.device.open()
    await ready.settle()
    report = ready.state.device.report
    assert (
        report is not None
        and report.membership is not None
        and report.membership.coordinator == "Simulated coordinator"
    )
    assert [(m.disease, m.release, m.pinned) for m in report.stored] == [("malaria", "malaria@1", False)]
    assert report.bytes_stored > 0
    for pinned in (True, False):
        ready.device.pin("malaria", "malaria", pinned=pinned)
        await ready.settle()
        assert ready.state.device.report is not None and ready.state.device.report.stored[0].pinned is pinned
    assert report.set_aside == () and not report.key_in_file, "nothing was kept yet"
    ready.device.set("threads", "2")
    await ready.settle()
    assert dict(ready.state.device.settings)["threads"] == "2"
    ready.device.set("wan_kbps", "256")
    await ready.settle()
    ready.device.set_quota(500)
    await ready.settle()
    kept = dict(ready.state.device.settings)
    assert (kept["wan_kbps"], kept["cache_quota_mb"]) == ("256.0", "500")
    assert ready.state.device.report is not None and ready.state.device.report.quota_mb == 500
    ready.device.set("threads", "many")
    await ready.settle()
    assert ready.state.failure is not None and ready.state.failure.code == "edge.config_value"
    await ready.services.enrolment.leave()
    assert not (await ready.services.library.shelf(ask=True)).member


async def test_screening_and_removing(ready: Presenter, tmp_path: Path) -> None:
    opened = await ready.services.pictures.open(photo(tmp_path, RED))
    answers = await ready.services.recognition.recognise(opened, None, None, None)
    assert [f.disease for f in answers.findings] == ["malaria"] and answers.set_aside == ()
    assert ready.state.shelf is not None
    ready.models.remove(ready.state.shelf.of("malaria")[0])
    await ready.settle()
    assert not ready.state.shelf.of("malaria")[0].ready


async def test_a_fresh_device_says_what_to_do_first(presenter: Presenter) -> None:
    presenter.start()
    await presenter.settle()
    shelf = presenter.state.shelf
    assert shelf is not None and not shelf.member and shelf.offers == ()
    presenter.reading.open()
    await presenter.settle()
    assert presenter.state.failure is not None and presenter.state.failure.code == "edge.replica_absent"


async def test_preferences_are_kept(presenter: Presenter, home: Path) -> None:
    presenter.set_language("zh")
    await presenter.settle()
    assert presenter.services.preferences.language() == "zh"
    (home / "edge" / "ui" / "preferences.json").write_text("[")
    assert presenter.services.preferences.language() == "en", "a damaged file counts as absent"
