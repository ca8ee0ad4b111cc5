"""The OpenAPI document against the API itself: whatever it allows, and what it does not, is answered as it says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from coordinator.jobs.queue import Request
from coordinator.web.rows import COOKIE
from protocols.access import RIGHTS
from tests.support.uploads import Serving, declaration

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
EXAMPLES = 25
KNOWN = {"name": "timestamp.json", "entry": "malaria"}


@dataclass
class Api:
    url: str
    token: str
    known: dict[str, str]  # path parameters of things that are there


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with Serving(tmp_path_factory.mktemp("api"), tls=False) as served:

        async def fill() -> Api:
            opened = served.office
            token = await opened.token(*RIGHTS)
            async with opened.uploader(token) as client:
                made = await client.post("/v1/uploads", json=declaration(b"x" * 100_000))
            job = await opened.coordinator.jobs.add(
                Request("train", "malaria", "north", frozenset(), {}), opened.clock()
            )
            return Api(served.url, token, {"upload": made.json()["upload"], "job": job["job"], **KNOWN})

        yield served.run(fill())


def test_whatever_is_sent_is_answered_as_the_document_says(api: Api) -> None:
    schema = schemathesis.openapi.from_url(f"{api.url}/v1/openapi.json")
    tried, answers = set(), set()
    for found in schema.get_all_operations():
        operation = found.ok()
        cases = st.one_of(
            operation.as_strategy(generation_mode=GenerationMode.POSITIVE),
            operation.as_strategy(generation_mode=GenerationMode.NEGATIVE),
        )

        @seed(8)
        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(cases, st.booleans(), st.sampled_from([True, True, True, True, False]))
        def check(case: schemathesis.Case, real: bool, known: bool) -> None:
            if real and case.method != "DELETE":  # else nothing but unknown ids would be tried
                told = case.path_parameters or {}
                case.path_parameters = {**told, **{k: v for k, v in api.known.items() if k in told}}
            sent = {"Authorization": f"Bearer {api.token}"} if known else {"Cookie": f"{COOKIE}=x"}
            answer = case.call(headers=sent, timeout=60)
            answers.add(answer.status_code)
            case.validate_response(answer, checks=CHECKS)

        check()
        tried.add(operation.label)
    document = schema.raw_schema["paths"]
    assert tried == {f"{m.upper()} {p}" for p, row in document.items() for m in row} - {"GET /v1/openapi.json"}
    assert answers >= {200, 201, 202, 401, 404, 409, 422} and max(answers) < 500
