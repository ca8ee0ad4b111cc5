"""The coordinator's own certificate authority, pinned by nodes at enrolment."""

from __future__ import annotations

import hashlib
import ipaddress
import ssl
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from coordinator.errors import CoordinatorError
from coordinator.home import Home
from coordinator.store.blobs import write_atomically

SERVER_NAME = "coordinator.medmesh"  # what nodes verify, whatever address they reached
_CA_DAYS = 3650
_SERVER_DAYS = 397
_NODE_DAYS = 400
_SKEW = timedelta(days=1)  # clinics' clocks are wrong; nodes take the start of their certificate as the earliest date


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def create(home: Home, now: datetime) -> None:
    """Make the authority's key and certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        _builder(_name("MedMesh coordinator CA"), _name("MedMesh coordinator CA"), key.public_key(), now, _CA_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    write_atomically(home.keys / "ca.key", _pem(key), mode=0o600)
    write_atomically(home.keys / "ca.pem", certificate.public_bytes(serialization.Encoding.PEM))


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, days: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + timedelta(days=days))
    )


@dataclass(frozen=True)
class Authority:
    """The authority's key and certificate, loaded."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate
    folder: Path

    @classmethod
    def load(cls, home: Home) -> Authority:
        """Read key and certificate from the home."""
        key = serialization.load_pem_private_key((home.keys / "ca.key").read_bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        return cls(key, x509.load_pem_x509_certificate((home.keys / "ca.pem").read_bytes()), home.keys)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate's DER form."""
        return hashlib.sha256(self.certificate.public_bytes(serialization.Encoding.DER)).hexdigest()

    @property
    def pem(self) -> bytes:
        """The certificate for nodes to pin."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def issue_server(self, hosts: list[str], now: datetime) -> tuple[Path, Path]:
        """Write a fresh server certificate; returns the files of certificate and key."""
        key = ec.generate_private_key(ec.SECP256R1())
        names: list[x509.GeneralName] = [x509.DNSName(SERVER_NAME), x509.DNSName("localhost")]
        for host in dict.fromkeys(hosts):
            try:
                names.append(x509.IPAddress(ipaddress.ip_address(host)))
            except ValueError:
                names.append(x509.DNSName(host))
        certificate = (
            _builder(_name(SERVER_NAME), self.certificate.subject, key.public_key(), now, _SERVER_DAYS)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .sign(self.key, hashes.SHA256())
        )
        paths = self.folder / "server.pem", self.folder / "server.key"
        write_atomically(paths[0], certificate.public_bytes(serialization.Encoding.PEM) + self.pem)
        write_atomically(paths[1], _pem(key), mode=0o600)
        return paths

    def issue_node(self, csr_pem: bytes, node_id: str, now: datetime) -> x509.Certificate:
        """Certify a node's key. Only the key is taken from the request; every name is ours.

        Raises:
            CoordinatorError: ``enrol.bad_request``.
        """
        try:
            request = x509.load_pem_x509_csr(csr_pem)
            key = request.public_key()
        except (ValueError, TypeError) as error:
            raise CoordinatorError("enrol.bad_request") from error
        if not request.is_signature_valid or not isinstance(key, ec.EllipticCurvePublicKey):
            raise CoordinatorError("enrol.bad_request")
        return (
            _builder(_name(node_id), self.certificate.subject, key, now, _NODE_DAYS)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]),
                critical=False,
            )
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(f"{node_id}.node.medmesh")]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .sign(self.key, hashes.SHA256())
        )

    def gateway_context(self, certificate: Path, key: Path) -> ssl.SSLContext:
        """TLS for the node gateway: only nodes with a certificate of ours may speak."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cadata=self.pem.decode())
        context.verify_mode = ssl.CERT_REQUIRED
        context.num_tickets = 0  # nodes resume no sessions; 20,000 kept ones would take 100 MB
        context.options |= ssl.OP_NO_TICKET
        context.load_cert_chain(certificate, key)
        return context
