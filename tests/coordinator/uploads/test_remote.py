"""The uploader's side against a real line."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from coordinator.errors import CoordinatorError
from coordinator.uploads import remote as module
from coordinator.uploads.packing import Packed, pack
from coordinator.uploads.remote import RefusedError, Remote, part_bytes_for, send, wait
from protocols import access
from protocols.access import Token
from tests.support.uploads import LIMITS, Serving


def nothing(*_: object) -> None:
    pass


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    limits = dataclasses.replace(LIMITS, largest_bytes=10 * 1024**2)
    with Serving(tmp_path_factory.mktemp("home"), limits) as found:
        yield found


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_WAITS_S", (0.01, 0.02, 0.03))


@pytest.fixture
def token(served: Serving) -> str:
    return served.run(served.office.token(access.DATASET_UPLOAD, owner=os.urandom(4).hex()))


Connect = Callable[..., Remote]


@pytest.fixture
def connect(served: Serving, token: str) -> Iterator[Connect]:
    with contextlib.ExitStack() as stack:
        yield lambda language="en": stack.enter_context(Remote(served.url, Token.decode(token), language, nothing))


@pytest.fixture
def told() -> dict[str, Any]:
    return {"kind": "dataset", "dataset": {"disease": "malaria", "name": f"set-{os.urandom(4).hex()}"}}


def packed(tmp_path: Path, size: int = 3 * 1024**2 + 5) -> Packed:
    path = tmp_path / "data.zip"
    path.write_bytes(os.urandom(size))
    return pack(path, lambda *_: None)


def test_all_is_sent_once_and_found_again(connect: Connect, told: dict[str, Any], tmp_path: Path) -> None:
    whole, seen = packed(tmp_path), []
    job, sent = send(connect(), whole, told, lambda done, total: seen.append((done, total)))
    assert sent == whole.size and seen[0] == (0, whole.size) and seen[-1] == (whole.size, whole.size)
    assert send(connect(), whole, told, nothing) == (job, 0)
    assert connect().get(f"/v1/jobs/{job}")["state"] == "queued"


def test_parts_that_are_there_are_not_sent_again(connect: Connect, told: dict[str, Any], tmp_path: Path) -> None:
    whole = packed(tmp_path)
    line = connect()
    true, calls = line.call, []

    def breaks(method: str, path: str, *more: Any) -> Any:
        calls.append(path)
        if path.endswith("/parts/2"):
            raise CoordinatorError("upload.unreachable", url="x")
        return true(method, path, *more)

    line.call = breaks  # type: ignore[method-assign]
    with pytest.raises(CoordinatorError):
        send(line, whole, told, nothing)
    part = part_bytes_for(whole.size)
    assert send(connect(), whole, told, nothing)[1] == whole.size - 2 * part


def test_a_line_that_breaks_is_taken_up_again(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    broken: list[str] = []
    line = connect()
    line._interrupted = lambda: broken.append("told")
    line.get("/v1/jobs")
    true, failures = module._exchange, [OSError("reset"), TimeoutError()]

    def flaps(*arguments: Any) -> Any:
        if failures:
            raise failures.pop()
        return true(*arguments)

    monkeypatch.setattr(module, "_exchange", flaps)
    assert line.get("/v1/jobs") == {"jobs": []} and broken == ["told"]


def test_the_coordinator_must_be_the_one_that_the_token_names(served: Serving, token: str) -> None:
    other = dataclasses.replace(Token.decode(token), ca_sha256="ab" * 32)
    with pytest.raises(CoordinatorError) as caught:
        Remote(served.url, other, "en", nothing).get("/v1/jobs")
    assert (caught.value.code, caught.value.kind.exit_code) == ("upload.wrong_coordinator", 5)


def test_nobody_there_is_said_at_once(served: Serving, token: str) -> None:
    start = time.monotonic()
    with pytest.raises(CoordinatorError) as caught:
        Remote("https://127.0.0.1:9", Token.decode(token), "en", nothing).get("/v1/jobs")
    assert (caught.value.code, caught.value.kind.exit_code) == ("upload.unreachable", 6)
    assert time.monotonic() - start < 5


@pytest.mark.parametrize("url", ["http://h", "h", "https://", "https://h:99999999", "ftp://h"])
def test_addresses_that_are_none(token: str, url: str) -> None:
    with pytest.raises(CoordinatorError, match="usage"):
        Remote(url, Token.decode(token), "en", nothing)


def test_refusals_come_in_the_coordinators_words_and_the_readers_language(
    served: Serving, token: str, connect: Connect, told: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(RefusedError) as caught:
        send(connect("zh"), packed(tmp_path, 11 * 1024**2), told, nothing)
    error = caught.value
    assert (error.code, error.kind.exit_code) == ("upload.too_large", 3) and "上限" in error.message()
    served.run(served.office.coordinator.tokens.revoke(Token.decode(token).id))
    with pytest.raises(RefusedError) as caught:
        connect().get("/v1/jobs")
    assert (caught.value.code, caught.value.kind.exit_code) == ("token.refused", 5)


def test_a_full_disk_at_the_coordinator_is_exit_code_six(
    connect: Connect, told: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage("/")._replace(free=0)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(RefusedError) as caught:
        send(connect(), packed(tmp_path), told, nothing)
    assert (caught.value.code, caught.value.kind.exit_code) == ("upload.no_room", 6)


def test_a_file_that_changes_takes_its_upload_with_it(connect: Connect, told: dict[str, Any], tmp_path: Path) -> None:
    whole = packed(tmp_path)
    whole.path.write_bytes(os.urandom(whole.size))
    with pytest.raises(CoordinatorError, match=r"upload\.changed"):
        send(connect(), whole, told, nothing)
    assert send(connect(), packed(tmp_path), told, nothing)[1] == whole.size


def test_waiting_ends_with_the_result_or_the_reason(
    served: Serving, connect: Connect, told: dict[str, Any], tmp_path: Path
) -> None:
    queue, clock = served.office.coordinator.jobs, served.office.clock
    job, _ = send(connect(), packed(tmp_path), told, nothing)
    claimed = None
    while claimed is None or claimed.id != job:
        claimed = served.run(queue.claim("r", 99, 3, clock()))
        assert claimed is not None
    served.run(queue.finish(job, "r", {"accepted": 3}, None, clock()))
    assert wait(connect(), job, nothing) == {"accepted": 3}
    other, _ = send(connect(), packed(tmp_path), told, nothing)
    served.run(queue.cancel(other, None, clock()))
    with pytest.raises(RefusedError) as caught:
        wait(connect("zh"), other, nothing)
    assert caught.value.code == "job.cancelled" and "取消" in caught.value.message()
