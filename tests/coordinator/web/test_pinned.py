"""An approver's channel to a coordinator that is known by its fingerprint."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from coordinator.errors import CoordinatorError
from coordinator.releases.remote import Channel
from tests.support.uploads import Serving


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with Serving(tmp_path_factory.mktemp("home")) as found:
        yield found


def test_the_right_fingerprint_opens_it_and_refusals_keep_their_words(served: Serving) -> None:
    channel = Channel(served.url, served.office.coordinator.authority.fingerprint)
    assert channel.get("/v1/status")["coordinator"] == "Test"
    with pytest.raises(CoordinatorError) as caught:
        channel.get("/v1/approvals/malaria@1")
    assert caught.value.code == "approve.refused" and "release.unknown" in caught.value.message()


@pytest.mark.parametrize("port", [None, 9])
def test_another_coordinator_and_none_are_told_apart(served: Serving, port: int | None) -> None:
    url, code = (
        (served.url, "approve.wrong_coordinator") if port is None else ("https://127.0.0.1:9", "approve.unreachable")
    )
    with pytest.raises(CoordinatorError) as caught:
        Channel(url, "ab" * 32)
    assert caught.value.code == code
