"""Approving from another machine: the key stays with its owner; only the signature travels.

The approver's machine fetches the document and the metadata draft over HTTPS from the coordinator whose CA fingerprint the
approver was given, checks that the draft adds exactly this document, signs, and sends the signature back.
"""

from __future__ import annotations

import http.client
import json
import ssl
import urllib.parse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuf.api.metadata import Metadata, Targets

from coordinator.errors import CoordinatorError
from coordinator.releases import keys
from coordinator.releases.lifecycle import draft_digest, sign_draft
from coordinator.web import pinned
from protocols.trust import release_path

_TIMEOUT_S = 20
_MAX_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True)
class Request:
    """What is to be approved, checked against the draft."""

    release: str
    document: dict[str, Any]
    draft: Metadata[Targets]
    others: list[str]  # other releases that the same metadata lists


class Channel:
    """HTTPS to one coordinator, whose CA is known by its fingerprint."""

    def __init__(self, url: str, ca_sha256: str) -> None:
        parts = urllib.parse.urlsplit(url)
        if parts.scheme != "https" or not parts.hostname:
            raise CoordinatorError("usage", problem="--at takes the coordinator's https:// address")
        self._host, self._port = parts.hostname, parts.port or 443
        pem = self._call(pinned.unverified(), "GET", "/v1/ca.pem").decode("ascii", "replace")
        try:
            trusted = pinned.trusting(pem, ca_sha256)
        except ValueError as error:
            raise CoordinatorError("approve.unreachable", url=url) from error
        if trusted is None:
            raise CoordinatorError("approve.wrong_coordinator", url=url)
        self._trusted = trusted

    def get(self, path: str) -> dict[str, Any]:
        """A JSON document."""
        return dict(json.loads(self._call(self._trusted, "GET", path)))

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Send JSON and read JSON."""
        return dict(json.loads(self._call(self._trusted, "POST", path, json.dumps(body).encode())))

    def _call(self, context: ssl.SSLContext, method: str, path: str, body: bytes | None = None) -> bytes:
        connection = pinned.PinnedConnection(self._host, self._port, context, _TIMEOUT_S)
        try:
            connection.request(method, path, body)
            answer = connection.getresponse()
            data = answer.read(_MAX_BYTES)
        except (OSError, http.client.HTTPException) as error:
            raise CoordinatorError("approve.unreachable", url=f"https://{self._host}:{self._port}") from error
        finally:
            connection.close()
        if answer.status != 200:
            try:
                told = json.loads(data)["error"]
                raise CoordinatorError("approve.refused", reason=f"{told['message']} [{told['code']}]")
            except (ValueError, KeyError, TypeError) as error:
                raise CoordinatorError("approve.unreachable", url=f"https://{self._host}:{self._port}") from error
        return data


def fetch(channel: Channel, name: str, digest: str | None = None) -> Request:
    """Fetch and check a request.

    Args:
        channel: to the coordinator.
        name: of the release.
        digest: of what is to be signed, as the approver's request names it; None: there was no such request.

    Raises:
        CoordinatorError: ``approve.inconsistent`` where draft and document do not belong together; ``approve.changed`` where
            the coordinator hands out something else than what the request is for.
    """
    answer = channel.get(f"/v1/approvals/{urllib.parse.quote(name)}")
    try:
        data = answer["document"].encode("utf-8")
        document = json.loads(data)
        draft = Metadata[Targets].from_dict(answer["draft"])
        disease = "kb" if answer["release"].startswith("kb@") else document["disease"]
        path = release_path(disease, answer["release"])
        target = draft.signed.targets[path]
        target.verify_length_and_hashes(data)
    except Exception as error:  # a hostile coordinator may send anything; each way of being wrong ends here
        raise CoordinatorError("approve.inconsistent") from error
    if digest is not None and (answer["release"] != name or draft_digest(draft) != digest):
        raise CoordinatorError("approve.changed", release=name)
    return Request(answer["release"], document, draft, sorted(set(draft.signed.targets) - {path}))


def approve(channel: Channel, request: Request, key: Path) -> dict[str, Any]:
    """Sign a checked request and hand the signature in."""
    signature = sign_draft(request.draft, keys.load(key))
    body = {"keyid": signature.keyid, "sig": signature.signature}
    return channel.post(f"/v1/approvals/{urllib.parse.quote(request.release)}", body)
