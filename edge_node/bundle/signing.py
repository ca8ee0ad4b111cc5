"""Signatures under parcels and receipts (EC P-256, SHA-256): the node's key signs, the pinned CA is what is believed.

What a parcel holds is sealed to the CA's key by HPKE (RFC 9180: P-256, HKDF-SHA256, AES-256-GCM), so that nodes need no second
key and a lost stick tells nothing.
"""

from __future__ import annotations

from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, hpke, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from edge_node.errors import EdgeError
from protocols import heartbeat
from protocols.heartbeat import Letter
from protocols.parcels import FORMAT, SEALED_FOR, Contents, Parcel
from protocols.signatures import Signed, envelope, signed_bytes

_ALGORITHM = ec.ECDSA(hashes.SHA256())
_SUITE = hpke.Suite(hpke.KEM.P256, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)


class NodeSigner:
    """The node's own key and certificate."""

    def __init__(self, credentials: Path) -> None:
        """Args: credentials: PEM file of both.

        Raises:
            EdgeError: ``edge.identity_damaged``.
        """
        pem = credentials.read_bytes()
        try:
            key = serialization.load_pem_private_key(pem, None)
            certificate = x509.load_pem_x509_certificate(pem)
        except (ValueError, TypeError) as error:
            raise EdgeError("edge.identity_damaged", path=credentials) from error
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise EdgeError("edge.identity_damaged", path=credentials)
        self._key = key
        self.certificate = certificate.public_bytes(serialization.Encoding.PEM).decode()

    def signed(self, parcel: Parcel) -> bytes:
        """The parcel as it travels."""
        body = parcel.body()
        return envelope(self._key.sign(signed_bytes(FORMAT, body), _ALGORITHM), body)

    def signed_heartbeat(self, letter: Letter) -> bytes:
        """The frame in which the node's own heartbeat travels."""
        body = letter.body()
        return heartbeat.pack(envelope(self._key.sign(signed_bytes(heartbeat.FORMAT, body), _ALGORITHM), body))


def sealed(contents: Contents, ca_pem: str) -> bytes:
    """What only the coordinator can open; another time it is sealed otherwise."""
    return _closed(contents.data(), ca_pem, SEALED_FOR)


def sealed_heartbeat(frame: bytes, ca_pem: str) -> bytes:
    """A heartbeat's frame for the coordinator's eyes only, to go by other nodes' lines."""
    return _closed(frame, ca_pem, heartbeat.SEALED_FOR)


def _closed(data: bytes, ca_pem: str, purpose: bytes) -> bytes:
    key = x509.load_pem_x509_certificate(ca_pem.encode()).public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise EdgeError("edge.identity_damaged", path="-")
    return _SUITE.encrypt(data, key, purpose)


def is_from_coordinator(signed: Signed, ca_pem: str) -> bool:
    """Whether the pinned CA itself signed."""
    return _is_right(x509.load_pem_x509_certificate(ca_pem.encode()), signed)


def is_from_node(parcel: Parcel, signed: Signed, ca_pem: str) -> bool:
    """Whether a node of the pinned CA signed, by its certificate; an expired one counts, as between peers."""
    authority = x509.load_pem_x509_certificate(ca_pem.encode())
    try:
        certificate = x509.load_pem_x509_certificate(parcel.certificate.encode())
        certificate.verify_directly_issued_by(authority)
        names = [name.value for name in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    except (ValueError, TypeError, InvalidSignature):
        return False
    return names == [parcel.node] and _is_right(certificate, signed)


def _is_right(certificate: x509.Certificate, signed: Signed) -> bool:
    try:
        key = certificate.public_key()
        if not isinstance(key, ec.EllipticCurvePublicKey):
            return False
        key.verify(signed.signature, signed.data, _ALGORITHM)
    except (InvalidSignature, ValueError):
        return False
    return True
