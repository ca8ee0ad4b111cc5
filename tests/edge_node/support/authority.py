"""A certificate authority for tests, and the certificates that it signs."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, hpke, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from edge_node.identity.identity import ca_fingerprint
from protocols import heartbeat
from protocols.parcels import SEALED_FOR, Contents, Parcel, read_contents

_SUITE = hpke.Suite(hpke.KEM.P256, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


class TestAuthority:
    """Signs a server certificate for ``coordinator.medmesh`` and nodes' requests."""

    __test__ = False

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._certificate = self._sign("CA", self._key.public_key(), ca=True)
        self.pem = self._certificate.public_bytes(serialization.Encoding.PEM).decode()
        self.fingerprint = ca_fingerprint(self.pem)

    def _sign(
        self, name: str, key: ec.EllipticCurvePublicKey, *, ca: bool = False, dns: str = "", days: float = 800
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(_name(name))
            .issuer_name(_name("CA"))
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if dns:
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(dns)]), critical=False)
        return builder.sign(self._key, hashes.SHA256())

    def sign(self, data: bytes) -> bytes:
        """The CA's own signature."""
        return self._key.sign(data, ec.ECDSA(hashes.SHA256()))

    def opened(self, parcel: Parcel) -> Contents:
        """What a node sealed for this coordinator."""
        return read_contents(_SUITE.decrypt(parcel.sealed, self._key, SEALED_FOR), parcel)

    def opened_heartbeat(self, sealed: bytes) -> bytes:
        """The frame that a node sealed for this coordinator, for others to bring."""
        return _SUITE.decrypt(sealed, self._key, heartbeat.SEALED_FOR)

    def sign_request(self, csr_pem: str, days: float = 400, node: str = "node") -> str:
        """A node's certificate."""
        key = x509.load_pem_x509_csr(csr_pem.encode()).public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        return self._sign(node, key, days=days).public_bytes(serialization.Encoding.PEM).decode()

    def server_context(self, folder: Path, dns: str = "coordinator.medmesh") -> ssl.SSLContext:
        """A server's TLS with a fresh certificate."""
        key = ec.generate_private_key(ec.SECP256R1())
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ) + self._sign("server", key.public_key(), dns=dns).public_bytes(serialization.Encoding.PEM)
        path = folder / f"server-{x509.random_serial_number():x}.pem"
        path.write_bytes(pem)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context
