"""The one table of acts. What is not in it cannot be recorded, and a test finds writing services that record nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, Final

from protocols.artifacts import canonical_json

ACTS: Final[dict[str, str]] = {
    "coordinator.init": "a coordinator was made",
    "dataset.import": "training images were imported",
    "dataset.label": "a class was mapped to the knowledge base",
    "dataset.remove": "a data set or a group of it was removed",
    "dataset.quarantine.accept": "a person let a doubtful image into a data set",
    "dataset.quarantine.reject": "a person removed a doubtful image",
    "model.train": "a version was trained",
    "model.import": "a ready-trained model was taken in",
    "model.recalibrate": "a version was made for another site",
    "model.federate": "a version came out of a federated run",
    "model.personal": "a version was made of one site's own head",
    "release.propose": "a version was put up for approval",
    "release.approve": "an approver signed",
    "release.rollout": "a release was offered to nodes",
    "release.pause": "a rollout was stopped",
    "release.pause.automatic": "a rollout was stopped by its own rules",
    "release.advance": "a rollout went to its next stage",
    "release.resume": "a rollout goes on",
    "release.rollback": "nodes were sent back to the release before",
    "release.withdraw": "a release was revoked",
    "release.countersign": "another network's release was taken over",
    "kb.publish": "the knowledge base was put up for approval",
    "kb.review": "a knowledge base entry was reviewed",
    "key.rotate": "a role's key was replaced",
    "approver.add": "a person may approve from now on",
    "approver.remove": "a person may no longer approve",
    "node.invite": "an invite was made",
    "node.enrol": "a node joined",
    "node.renew": "a node's certificate was renewed",
    "node.revoke": "a node was turned away",
    "token.create": "an API token was made",
    "token.revoke": "an API token was ended",
    "user.add": "a user was made",
    "user.change": "a user's role or password was changed",
    "user.remove": "a user was removed",
    "session.start": "a user logged in",
    "session.end": "a user logged out",
    "upstream.add": "another network's catalogue is followed",
    "upstream.pull": "a release was fetched from another network",
    "upstream.remove": "another network's catalogue is no longer followed",
    "upload.complete": "an upload arrived whole and was queued",
    "job.queue": "a training was queued",
    "job.cancel": "a job was cancelled",
    "federation.start": "a federated run was asked for",
    "federation.stop": "a federated run was asked to stop",
    "federation.result": "a federated run ended",
    "results.export": "results were written to a file",
    "audit.export": "the audit trail was written to a file",
}

MOST_BYTES: Final = 8000  # of a row's detail
MOST_SUBJECT: Final = 200
# What must never get into the trail by a slip: pictures and their names, people, secrets.
FORBIDDEN: Final = frozenset(
    {
        "file",
        "files",
        "path",
        "image",
        "images_list",
        "patient",
        "group",
        "case",
        "secret",
        "password",
        "token",
        "invite",
    }
    | {"private_key", "signature", "csr", "certificate"}
)


def some(names: Iterable[str]) -> list[str]:
    """The first few names, cut to a length that the trail takes."""
    return [name[:60] for name in islice(names, 20)]


def check(act: str, subject: str, detail: Mapping[str, Any]) -> None:
    """Refuse what the trail does not take: that is a defect of the caller's.

    Raises:
        ValueError: the act stands in no table, or the detail holds what it must not.
    """
    if act not in ACTS:
        raise ValueError(f"{act} is not in the table of acts")
    if slipped := FORBIDDEN & _keys(detail):
        raise ValueError(f"{act} must not record {', '.join(sorted(slipped))}")
    if len(subject) > MOST_SUBJECT or len(canonical_json(dict(detail))) > MOST_BYTES:
        raise ValueError(f"{act} records too much")


def _keys(value: Any) -> set[str]:
    if isinstance(value, Mapping):
        return set(value) | {k for inner in value.values() for k in _keys(inner)}
    if isinstance(value, list | tuple):
        return {k for inner in value for k in _keys(inner)}
    return set()
