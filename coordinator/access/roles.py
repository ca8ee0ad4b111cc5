"""Roles of people, and the one table of what each may."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from coordinator.errors import CoordinatorError
from protocols import access
from protocols.access import Principal


class Role(StrEnum):
    """What a person is here for. Nodes are no people: their certificate speaks for them, on their own line."""

    VIEWER = "viewer"
    UPLOADER = "uploader"
    RELEASE_MANAGER = "release_manager"
    ADMIN = "admin"


_VIEWER = frozenset({access.VIEW})
RIGHTS: dict[Role, frozenset[str]] = {
    Role.VIEWER: _VIEWER,
    Role.UPLOADER: _VIEWER | {access.DATASET_UPLOAD, access.MODEL_UPLOAD, access.TRAIN, access.LABEL_MAP},
    Role.RELEASE_MANAGER: _VIEWER
    | {
        access.AUDIT_READ,
        access.RELEASE_PROPOSE,
        access.RELEASE_APPROVE,
        access.RELEASE_ROLLOUT,
        access.FEDERATION_RUN,
        access.NODE_MANAGE,
        access.UPSTREAM_MANAGE,
        access.KB_REVIEW,
        access.LABEL_MAP,
        access.JOB_ANY,
    },
    Role.ADMIN: frozenset(access.RIGHTS),
}


def check_gift(giver: Principal | None, rights: Iterable[str]) -> None:
    """Nobody hands on what they do not have themselves; the keeper at the machine (None) has everything.

    Raises:
        CoordinatorError: ``access.denied``.
    """
    missing = sorted(set(rights) - giver.rights) if giver is not None else []
    if missing:
        raise CoordinatorError("access.denied", rights=", ".join(missing))
