"""Health for strangers without a reason, counts for those who may see them, and a log that gives nobody away."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from coordinator.web import health, logs
from tests.support.coordinator import enrol
from tests.support.uploads import Office, declaration, office


@pytest.fixture
async def there(tmp_path: Path) -> AsyncIterator[Office]:
    async with office(tmp_path / "home") as opened:
        yield opened


async def test_well_coordinator_says_so_to_anybody(there: Office) -> None:
    async with there.uploader() as client:
        answer = await client.get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"ok": True})
    assert len(answer.headers["x-request-id"]) == 12


async def unwell(there: Office) -> str:
    async with there.uploader() as client:
        answer = await client.get("/healthz", headers={"X-Request-Id": "mine"})
    assert answer.status_code == 503 and answer.headers["x-request-id"] != "mine"
    text = answer.text
    assert str(there.coordinator.home.root) not in text and "sqlite" not in text.lower() and "Error" not in text
    return str(answer.json()["error"]["code"])


async def test_unwell_coordinator_tells_strangers_no_more_than_a_code(
    there: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    metadata = there.coordinator.home.repository / "metadata" / "timestamp.json"
    there.clock.pass_(days=5000)
    assert await unwell(there) == "health.stale"
    there.clock.pass_(days=-5000)
    metadata.write_bytes(b"{")
    assert await unwell(there) == "health.stale"
    full = type("Usage", (), {"free": health.LEAST_FREE_BYTES - 1})
    monkeypatch.setattr(health.shutil, "disk_usage", lambda _: full)
    assert await unwell(there) == "health.storage"
    database = there.coordinator.home.database
    for file in database.parent.glob("coordinator.sqlite*"):
        file.unlink()
    await there.coordinator.database.close()
    database.write_bytes(b"no database at all" * 100)
    assert await unwell(there) == "health.database"
    database.unlink()


async def test_metrics_need_the_right_and_count_what_happened(there: Office) -> None:
    for node in ("n1", "n2"):
        await enrol(there.coordinator.database, node)
    await there.coordinator.enrolment.node_of("n1", there.clock())
    viewer, trainer = await there.token("view"), await there.token("train")
    async with there.uploader(trainer) as client:
        assert (await client.get("/metrics")).status_code == 403
        await client.post("/v1/trainings", json={"dataset": "absent", "effort": "quick"})
        await client.get("/v1/no/such/" + "address" * 20)
    async with there.uploader() as client:
        assert (await client.get("/metrics")).status_code == 401
    async with there.uploader(viewer) as client:
        answer = await client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    families = text_string_to_metric_families(answer.text)
    found = {(s.name, *(value for _, value in sorted(s.labels.items()))): s.value for f in families for s in f.samples}
    assert found["medmesh_nodes", "hour"] == 1 and found["medmesh_nodes", "never"] == 1
    assert found["medmesh_jobs", "queued"] == 0 and found["medmesh_results_taken",] == 0
    assert found["medmesh_node_links",] == 3 and found["medmesh_disk_free_bytes",] > 0
    assert found["medmesh_timestamp_expires_seconds",] > 86400
    assert (
        found["medmesh_refusals_total", "token.scope"] == 1 and found["medmesh_refusals_total", "dataset.unknown"] == 1
    )
    assert found["medmesh_request_seconds_count", "POST", "/v1/trainings", "404"] == 1
    assert found["medmesh_request_seconds_count", "GET", "(none)", "404"] == 1
    assert "address" not in answer.text


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    root, ours = logging.getLogger(), logging.getLogger("medmesh")
    kept = root.handlers[:], root.level, ours.level
    yield io.StringIO()
    root.handlers[:], root.level = kept[0], kept[1]
    ours.setLevel(kept[2])


async def test_log_has_a_line_a_request_and_no_secret(there: Office, log: io.StringIO, tmp_path: Path) -> None:
    logs.configure("json", log)
    token = await there.token("dataset:upload")
    invite = (await there.coordinator.enrolment.invite("Clinic", (), "https://x", there.clock()))["invite"]
    secret = token.split(".")[3]
    async with there.uploader(token) as client:
        await client.post("/v1/uploads", json={**declaration(b"x", name="patient-zhang"), "patient": "Zhang San"})
        await client.get(f"/v1/uploads/{secret}?patient=zhang")
        await client.post("/v1/enrol", json={"token": invite, "name": "n", "csr": "-----BEGIN PRIVATE KEY-----"})
    async with there.uploader(token[:-4] + "AAAA") as client:
        await client.get("/v1/jobs")
    logging.getLogger("medmesh.test").error("it failed", exc_info=ValueError(f"held {token} of Zhang San"))
    text = log.getvalue()
    lines = [json.loads(line) for line in text.splitlines()]
    by_route = {(x["route"], x["status"], x["code"]) for x in lines if x["logger"] == "medmesh.access"}
    assert ("/v1/jobs", 401, "token.refused") in by_route and len({x.get("request") for x in lines}) == 5
    assert lines[-1]["fault"].startswith("ValueError") and lines[-1]["level"] == "ERROR"
    for hidden in (secret, secret[:-4], invite, token, "hang", "PRIVATE KEY", "192.0.2.1", str(tmp_path)):
        assert hidden not in text, hidden


async def test_text_log_tells_kind_and_place_of_a_fault_and_not_its_words(there: Office, log: io.StringIO) -> None:
    logs.configure("text", log)
    try:
        raise ValueError("Zhang San")
    except ValueError:
        logging.getLogger("medmesh.test").exception("it failed")
    async with there.uploader() as client:
        await client.get("/healthz")
    assert log.getvalue().startswith("ERROR medmesh.test it failed: ValueError at test_health.py:")
    assert "Zhang" not in log.getvalue() and len(log.getvalue().splitlines()) == 1


async def test_what_people_sent_is_in_no_text_of_a_database_error(there: Office) -> None:
    with pytest.raises(Exception, match="parameters hidden") as caught:
        await enrol(there.coordinator.database, "secret-node")
        await enrol(there.coordinator.database, "secret-node")
    assert "secret-node" not in str(caught.value)
