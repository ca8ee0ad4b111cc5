"""Heartbeats, made up and signed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from cryptography.hazmat.primitives import hashes, hpke, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from protocols import heartbeat
from protocols.heartbeat import Comparison, Decline, Heartbeat, Letter, Outcomes, ReleaseHealth
from protocols.signatures import envelope, signed_bytes

SENT = datetime(2026, 2, 1, 12, 0, tzinfo=UTC)
HEALTH = ReleaseHealth("malaria", "malaria@1", True, SENT, "passed", 1, Outcomes(90, 7, 2, 1), 40, 36)
DECLINE = Decline("malaria", "malaria@2", "worse_here", Comparison(0.81, 0.93, -0.2, -0.04, 200, 40))
HEART = Heartbeat(
    serial=12,
    sent=SENT,
    program="0.1.0",
    storage_used_bytes=30_000_000,
    storage_free_bytes=9_000_000_000,
    outbox_waiting=2,
    catalogue_serial=7,
    releases=(HEALTH,),
    declined=(DECLINE, Decline("skin", "skin@2", "self_test")),
    stale_days=3,
    outbox_refused=0,
    events=(("trust.expired", 4),),
)
_SUITE = hpke.Suite(hpke.KEM.P256, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)


def health(release: str = "malaria@1", since: datetime = SENT, **changes: Any) -> ReleaseHealth:
    """Of ``release``, with nothing counted yet."""
    empty = replace(HEALTH, release=release, since=since, failures=0, outcomes=Outcomes(), confirmed=0, agreed=0)
    return replace(empty, **changes)


def frame(node: str, beat: Heartbeat, key: ec.EllipticCurvePrivateKey) -> bytes:
    """As a node sends its own."""
    body = Letter(node, beat).body()
    signature = key.sign(signed_bytes(heartbeat.FORMAT, body), ec.ECDSA(hashes.SHA256()))
    return heartbeat.pack(envelope(signature, body))


def carried(node: str, own: bytes, authority: ec.EllipticCurvePublicKey) -> bytes:
    """As another node carries it."""
    return heartbeat.pack_carried(node, _SUITE.encrypt(own, authority, heartbeat.SEALED_FOR))


def public_pem(key: ec.EllipticCurvePrivateKey) -> str:
    """As the coordinator keeps it."""
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, form).decode()
