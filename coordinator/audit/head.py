"""The signed head: a small file in the home that says how long the trail is, and what each TUF timestamp carries of it."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from securesystemslib.exceptions import UnverifiedSignatureError, VerificationError
from securesystemslib.formats import encode_canonical
from securesystemslib.signer import CryptoSigner, Key, Signature

from coordinator.errors import CoordinatorError
from coordinator.home import Home
from coordinator.releases import keys
from coordinator.store.blobs import write_atomically
from protocols.audit import FIELD, FORMAT, Head, head_of
from protocols.errors import ProtocolError


class HeadFile:
    """``audit-head.json``. It never goes back: rows that vanish from the store leave it saying that there were more."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._path = home.audit_head

    def advance(self, head: Head) -> None:
        """Sign a head that is further than the one in the file. Blocking; safe over processes.

        Raises:
            OSError: it could not be written; the next act writes it.
            CoordinatorError: the online key cannot be read.
        """
        with self._path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            there = self.head()
            if there is None or head.count > there.count:
                signed = sign(head, keys.online(self._home))
                write_atomically(self._path, json.dumps(signed).encode())

    def read(self) -> dict[str, Any] | None:
        """The signed document; None: no act has been recorded yet.

        Raises:
            CoordinatorError: ``audit.bad_heads``.
        """
        try:
            return dict(json.loads(self._path.read_bytes()))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError) as error:
            raise CoordinatorError("audit.bad_heads", path=self._path.name) from error

    def head(self) -> Head | None:
        """What it says, unchecked; None also where it is damaged, so that the next act mends it."""
        try:
            document = self.read()
            return None if document is None else head_of(document)
        except (CoordinatorError, ProtocolError):
            return None


def sign(head: Head, online: CryptoSigner) -> dict[str, Any]:
    """A head in the form that TUF metadata has too."""
    signed = {"_type": FORMAT, FIELD: head.document()}
    signature = online.sign(_bytes(signed))
    return {"signed": signed, "signatures": [signature.to_dict()]}


def checked(envelopes: Iterable[Any], known: Mapping[str, Key], source: str) -> list[Head]:
    """The heads in signed documents, each signed by one of the ``known`` keys.

    Raises:
        CoordinatorError: ``audit.bad_heads``; nobody learns anything from a head that anyone may have written.
    """
    heads = []
    for envelope in envelopes:
        try:
            head = head_of(envelope)
            if head is None:
                continue
            signatures = [Signature.from_dict(dict(s)) for s in envelope["signatures"]]
            if not any(_is_valid(s, envelope["signed"], known) for s in signatures):
                raise CoordinatorError("audit.bad_heads", path=source)
        except (ProtocolError, KeyError, TypeError, ValueError) as error:
            raise CoordinatorError("audit.bad_heads", path=source) from error
        heads.append(head)
    return heads


def _is_valid(signature: Signature, signed: dict[str, Any], known: Mapping[str, Key]) -> bool:
    key = known.get(signature.keyid)
    try:
        if key is not None:
            key.verify_signature(signature, _bytes(signed))
            return True
    except (UnverifiedSignatureError, VerificationError):
        pass
    return False


def _bytes(signed: dict[str, Any]) -> bytes:
    """What is signed: the canonical JSON of TUF."""
    return str(encode_canonical(signed)).encode("utf-8")


def read_heads(path: Path) -> list[Any]:
    """Copies of heads: what a node exports, one signed document, or a TUF timestamp.

    Raises:
        CoordinatorError: ``file.not_found`` or ``audit.bad_heads``.
    """
    if not path.is_file():
        raise CoordinatorError("file.not_found", path=path)
    try:
        document = json.loads(path.read_bytes())
        found = document.get("heads", [document])
        if not isinstance(found, list) or not found:
            raise ValueError
    except (ValueError, TypeError, AttributeError) as error:
        raise CoordinatorError("audit.bad_heads", path=path.name) from error
    return found
