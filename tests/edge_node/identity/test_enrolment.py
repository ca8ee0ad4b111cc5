from __future__ import annotations

import hashlib
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from edge_node.errors import EdgeError, NotEnrolledError, SourceError, UnreachableError
from edge_node.identity import tls
from edge_node.identity.enrolment import join
from edge_node.identity.identity import load_identity
from edge_node.identity.registrar import Enrolled, Registrar
from protocols.invite import Invite
from tests.edge_node.support.authority import TestAuthority

ROOT = b"the metadata from which trust starts"


class SimulatedRegistrar:
    """A coordinator at one address; ``signer`` may be somebody else."""

    def __init__(self, authority: TestAuthority, url: str = "https://127.0.0.1:1") -> None:
        self.url = url
        self.authority = self.signer = authority
        self.gone = self.refuses = False
        self.offered_root = ROOT
        self.enrolments = 0

    async def ca_pem(self) -> str:
        if self.gone:
            raise UnreachableError("edge.coordinator_unreachable", url=self.url)
        return self.authority.pem

    async def root(self) -> bytes:
        return self.offered_root

    @asynccontextmanager
    async def trusting(self, ca_pem: str) -> AsyncIterator[Registrar]:
        assert ca_pem == self.authority.pem
        yield self

    async def enrol(self, token: str, name: str, csr_pem: str) -> Enrolled:
        self.enrolments += 1
        if self.refuses:
            raise EdgeError("edge.coordinator_refused", reason="used", advice="ask again")
        node = f"node-{self.enrolments}"
        return Enrolled(node, self.signer.sign_request(csr_pem), "Coordinator", "wss://127.0.0.1:2", ("pilot",))


def invite(authority: TestAuthority) -> Invite:
    return Invite(
        ("https://127.0.0.1:1", "https://127.0.0.1:2"),
        authority.fingerprint,
        "token",
        hashlib.sha256(ROOT).hexdigest(),
        7,
    )


async def test_join_keeps_a_usable_identity(authority: TestAuthority, tmp_path: Path) -> None:
    identity = await join(invite(authority), "clinic", tmp_path, [SimulatedRegistrar(authority)])
    assert load_identity(tmp_path) == identity
    assert identity.ca_sha256 == authority.fingerprint
    assert stat.S_IMODE(identity.credentials.stat().st_mode) == 0o600
    tls.pinned(identity.ca_pem, identity.credentials)


async def test_join_tries_the_next_address(authority: TestAuthority, tmp_path: Path) -> None:
    gone, there = SimulatedRegistrar(authority), SimulatedRegistrar(authority, "https://127.0.0.1:2")
    gone.gone = True
    identity = await join(invite(authority), "clinic", tmp_path, [gone, there])
    assert identity.urls == ("https://127.0.0.1:2", "https://127.0.0.1:1")


async def test_join_sends_no_token_to_whoever_is_not_the_coordinator(authority: TestAuthority, tmp_path: Path) -> None:
    impostor = SimulatedRegistrar(TestAuthority())
    with pytest.raises(SourceError) as caught:
        await join(invite(authority), "clinic", tmp_path, [impostor])
    assert (caught.value.code, impostor.enrolments) == ("edge.ca_mismatch", 0)
    with pytest.raises(NotEnrolledError):
        load_identity(tmp_path)


@pytest.mark.parametrize("how", ["refuses", "gone", "signer"])
async def test_a_failed_join_leaves_the_former_identity(authority: TestAuthority, tmp_path: Path, how: str) -> None:
    before = await join(invite(authority), "clinic", tmp_path, [SimulatedRegistrar(authority)])
    registrar = SimulatedRegistrar(authority)
    setattr(registrar, how, TestAuthority() if how == "signer" else True)
    with pytest.raises(EdgeError):
        await join(invite(authority), "clinic", tmp_path, [registrar])
    assert load_identity(tmp_path) == before


async def test_joining_again_replaces_the_identity_and_its_key(authority: TestAuthority, tmp_path: Path) -> None:
    before = await join(invite(authority), "clinic", tmp_path, [SimulatedRegistrar(authority)])
    after = await join(invite(authority), "clinic 2", tmp_path, [SimulatedRegistrar(authority)])
    assert load_identity(tmp_path) == after
    assert not before.credentials.exists()


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'{"node": 1'])
def test_a_damaged_identity_says_so(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "identity.json").write_bytes(content)
    with pytest.raises(EdgeError) as caught:
        load_identity(tmp_path)
    assert caught.value.code == "edge.identity_damaged"
