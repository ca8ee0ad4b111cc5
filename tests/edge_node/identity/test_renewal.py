from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from edge_node.errors import EdgeError, UnreachableError
from edge_node.identity import tls
from edge_node.identity.identity import load_identity
from edge_node.identity.renewal import certificate_end, is_due, renew
from tests.edge_node.identity.test_enrolment import SimulatedRegistrar, invite
from tests.edge_node.identity.test_enrolment import join as enrol
from tests.edge_node.support.authority import TestAuthority

NOW = datetime(2026, 6, 1, tzinfo=UTC)


class SimulatedRenewer:
    def __init__(self, authority: TestAuthority) -> None:
        self.authority = authority
        self.failure: EdgeError | None = None

    async def renew(self, node: str, csr_pem: str, signature: str) -> str:
        if self.failure is not None:
            raise self.failure
        return self.authority.sign_request(csr_pem)


@pytest.mark.parametrize(("days", "due"), [(31, False), (30, True), (1, True), (-500, True)])
def test_renewal_is_due_in_the_last_30_days_and_after_the_end(days: int, due: bool) -> None:
    assert is_due(NOW + timedelta(days=days), NOW) is due


async def test_renewal_keeps_key_and_identity_and_replaces_the_certificate(
    authority: TestAuthority, tmp_path: Path
) -> None:
    before = await enrol(invite(authority), "clinic", tmp_path, [SimulatedRegistrar(authority)])
    key = before.credentials.read_bytes()
    after = await renew(before, [SimulatedRenewer(authority)])
    assert load_identity(tmp_path) == after
    assert (after.node, after.root(), after.joined) == (before.node, before.root(), before.joined)
    assert after.credentials != before.credentials
    assert not before.credentials.exists()
    assert certificate_end(after) >= datetime.now(UTC) + timedelta(days=390)
    first, second = (
        x509.load_pem_x509_certificate(pem)
        .public_key()
        .public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        for pem in (key, after.credentials.read_bytes())
    )
    assert first == second
    tls.pinned(after.ca_pem, after.credentials)


@pytest.mark.parametrize("failure", ["gone", "refused", "other authority"])
async def test_a_failed_renewal_leaves_the_certificate(authority: TestAuthority, tmp_path: Path, failure: str) -> None:
    before = await enrol(invite(authority), "clinic", tmp_path, [SimulatedRegistrar(authority)])
    renewer = SimulatedRenewer(TestAuthority() if failure == "other authority" else authority)
    if failure == "gone":
        renewer.failure = UnreachableError("edge.coordinator_unreachable", url="memory")
    if failure == "refused":
        renewer.failure = EdgeError("edge.coordinator_refused", reason="revoked", advice="ask")
    with pytest.raises(EdgeError):
        await renew(before, [renewer])
    assert load_identity(tmp_path) == before
