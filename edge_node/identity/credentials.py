"""The node's key and certificate (EC P-256); the only module that needs the cryptography package."""

from __future__ import annotations

import base64
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from edge_node.errors import EdgeError

_MAX_COMMON_NAME = 64  # RFC 5280, ub-common-name


class PendingCredentials:
    """A key that waits for its certificate. The key never leaves the node."""

    def __init__(self, name: str, key: ec.EllipticCurvePrivateKey | None = None) -> None:
        """Make a request in the node's ``name``, for a new key or for the one that it has."""
        self._key = key or ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:_MAX_COMMON_NAME])])
        request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(self._key, hashes.SHA256())
        self.csr_pem = request.public_bytes(serialization.Encoding.PEM).decode()

    @classmethod
    def renewing(cls, name: str, credentials: Path) -> PendingCredentials:
        """A request for the key that the node has: if the answer is lost, nothing has changed on either side.

        Raises:
            EdgeError: ``edge.identity_damaged``.
        """
        try:
            key = serialization.load_pem_private_key(credentials.read_bytes(), None)
        except (ValueError, TypeError) as error:
            raise EdgeError("edge.identity_damaged", path=credentials) from error
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise EdgeError("edge.identity_damaged", path=credentials)
        return cls(name, key)

    def signature(self) -> str:
        """The request signed by the node's key, base64: proof that it is the node that asks."""
        return base64.b64encode(self._key.sign(self.csr_pem.encode(), ec.ECDSA(hashes.SHA256()))).decode()

    def completed(self, certificate_pem: str, ca_pem: str) -> bytes:
        """Key and certificate in one PEM, once the certificate is for this key and signed by the pinned CA.

        Raises:
            EdgeError: ``edge.certificate_refused``.
        """
        try:
            certificate = x509.load_pem_x509_certificate(certificate_pem.encode())
            authority = x509.load_pem_x509_certificate(ca_pem.encode())
            certificate.verify_directly_issued_by(authority)
            ours = certificate.public_key() == self._key.public_key()
        except (ValueError, TypeError, InvalidSignature) as error:
            raise EdgeError("edge.certificate_refused") from error
        if not ours:
            raise EdgeError("edge.certificate_refused")
        key = self._key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return key + certificate.public_bytes(serialization.Encoding.PEM)


def validity(credentials_pem: bytes) -> tuple[datetime, datetime]:
    """From when until when the node's certificate is valid.

    Raises:
        ValueError: there is no certificate in it.
    """
    certificate = x509.load_pem_x509_certificate(credentials_pem)
    return certificate.not_valid_before_utc, certificate.not_valid_after_utc
