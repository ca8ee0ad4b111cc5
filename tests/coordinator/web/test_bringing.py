"""A ready-trained model that a browser sends: a job with the very bytes, or nothing."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from coordinator.access.roles import Role
from coordinator.errors import CoordinatorError
from coordinator.jobs.queue import failure
from coordinator.uploads.store import data_path
from tests.support.pages import Browser, browsing, text_of

MODEL = b"\x1c\x00\x00\x00TFL3" + bytes(4000)
LABELS = {"disease": "malaria", "model": "clinic-7", "labels": ["a", "b"], "output": "softmax"}


async def sent(browser: Browser, status: int, name: str, labels: bytes | None, data: bytes = MODEL) -> str:
    token = browser.client.headers.pop("X-CSRF-Token")
    files = {} if labels is None else {"labels": ("labels.json", labels)}
    answer = await browser.client.post(f"/models/upload?csrf={token}", files={**files, "file": (name, data)})
    browser.client.headers["X-CSRF-Token"] = token
    assert answer.status_code == status, text_of(answer.text)[:400]
    return answer.headers.get("location", "") or answer.text


def kept(browser: Browser) -> list[Path]:
    folder = browser.office.coordinator.home.uploads
    return list(folder.iterdir()) if folder.exists() else []


async def test_a_model_becomes_a_job_with_the_bytes_that_were_sent(tmp_path: Path) -> None:
    async with browsing(tmp_path / "home", Role.UPLOADER) as browser:
        assert "/models/upload" in (await browser.get("/models")).text
        where = await sent(browser, 303, "Our Model.TFLITE", json.dumps(LABELS).encode())
        queue = browser.office.coordinator.jobs
        job = await queue.claim("r", 1, 3, browser.office.clock())
        assert job is not None and where.startswith(f"/jobs/{job.id}")
        assert (job.request.kind, job.request.subject, job.request.owner) == ("model_import", "model clinic-7", "Ada")
        options = job.request.options
        assert options["description"] == LABELS and options["sha256"] == hashlib.sha256(MODEL).hexdigest()
        path = data_path(browser.office.coordinator.home, str(job.request.upload), options)
        assert path.name == "upload.tflite" and path.read_bytes() == MODEL
        error = failure(CoordinatorError("vetting.damaged", what="x"))
        await queue.fail(job.id, "r", error, browser.office.clock())
        page = text_of((await browser.get(f"/jobs/{job.id}", language="zh")).text)
        assert error["message"]["zh"] in page and error["remedy"]["zh"] in page


@pytest.mark.parametrize(
    ("status", "name", "labels"),
    [
        (422, "model.pkl", json.dumps(LABELS).encode()),
        (422, "tflite", json.dumps(LABELS).encode()),
        (422, "model.tflite", b"no JSON"),
        (422, "model.tflite", b"[" * 100_000),
        (422, "model.tflite", b'"text"'),
        (422, "model.tflite", None),
        (422, "model.tflite", b'{"a": "' + b"x" * 300_000 + b'"}'),
    ],
)
async def test_a_wrong_model_leaves_nothing(tmp_path: Path, status: int, name: str, labels: bytes | None) -> None:
    async with browsing(tmp_path / "home", Role.UPLOADER) as browser:
        await sent(browser, status, name, labels)
        assert kept(browser) == [] and await browser.office.coordinator.jobs.list() == []


async def test_a_model_that_no_vetting_would_take_is_refused_before_it_is_read(tmp_path: Path) -> None:
    async with browsing(tmp_path / "home", Role.UPLOADER) as browser:
        assert "134 MB" in text_of((await browser.get("/models/upload")).text)
        token = browser.client.headers["X-CSRF-Token"]
        headers = {"Content-Type": "multipart/form-data; boundary=x", "Content-Length": str(200 * 1024 * 1024)}
        answer = await browser.client.post(f"/models/upload?csrf={token}", content=b"", headers=headers)
        assert answer.status_code == 413 and kept(browser) == []


async def test_who_may_not_bring_a_model_is_shown_no_way_to(tmp_path: Path) -> None:
    async with browsing(tmp_path / "home", Role.VIEWER) as browser:
        assert "/models/upload" not in (await browser.get("/models")).text
        await browser.get("/models/upload", 403)
        await sent(browser, 403, "model.tflite", json.dumps(LABELS).encode())
        assert kept(browser) == []
