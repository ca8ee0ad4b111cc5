"""Verifying the trail, in the store or in an export, and writing that export."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from securesystemslib.signer import Key, SSlibKey
from tuf.api.metadata import Metadata, Root

from coordinator.audit.head import HeadFile, checked
from coordinator.audit.log import Trail
from coordinator.errors import CoordinatorError
from coordinator.releases import keys
from coordinator.releases.repository import Repository
from coordinator.store.blobs import replacing
from protocols.artifacts import canonical_json
from protocols.audit import Finding, Head, Walk, row_of

EXPORT: Final = "medmesh.audit/1"
_MOST_LINE = 64 * 1024


@dataclass(frozen=True)
class Verdict:
    """What verifying gave. ``signer`` says who vouches for the head: this coordinator's root, a given key, or nobody."""

    rows: int
    head: Head | None
    heads: int
    signer: str
    findings: list[Finding]

    def document(self) -> dict[str, Any]:
        """As ``audit verify`` prints it."""
        return {
            "ok": not self.findings,
            "rows": self.rows,
            "head": None if self.head is None else self.head.document(),
            "heads_compared": self.heads,
            "signer": self.signer,
            "findings": [asdict(f) for f in self.findings],
        }


def online_keys(repository: Repository) -> dict[str, Key]:
    """Every key that was the online key under a root of this coordinator: heads outlive a rotation."""
    found: dict[str, Key] = {}
    for path in sorted(repository.metadata.glob("*.root.json")):
        root = Metadata[Root].from_file(str(path)).signed
        found |= {k: root.keys[k] for k in root.roles["timestamp"].keyids}
    return found


def signer_lines(repository: Repository) -> list[str]:
    """The lines of those keys, oldest first, for whoever checks an export elsewhere."""
    return [keys.public_line(key) for key in online_keys(repository).values() if isinstance(key, SSlibKey)]


async def verify(
    trail: Trail, file: HeadFile, repository: Repository, copies: Sequence[Any], source: str = ""
) -> Verdict:
    """Go through the store's rows and compare them with the signed head, the newest timestamp and ``copies`` of heads.

    Raises:
        CoordinatorError: ``audit.bad_heads``.
    """
    known, document = online_keys(repository), file.read()  # before the rows, which may only grow meanwhile
    own = checked([] if document is None else [document], known, "audit-head.json")
    published = checked([repository.timestamp().to_dict()], known, "timestamp.json")
    others = checked(copies, known, source)
    walk = Walk([*own, *published, *others])
    async for row in trail.every():
        walk.row(row)
    findings = walk.end()
    if walk.rows and not own:
        findings.append(Finding(walk.rows, "no_head", "audit-head.json is gone"))
    return Verdict(walk.rows, own[0] if own else None, len(published) + len(others), "root", findings)


async def export(trail: Trail, file: HeadFile, repository: Repository, out: Path) -> int:
    """Write all rows as JSON Lines, then the signed head with the keys to check it; whole or not at all. Returns how many."""
    written, document = 0, file.read()
    with replacing(out, 0o600) as target:
        async for row in trail.every():
            target.write(canonical_json(row.document()) + b"\n")
            written += 1
        tail = {"format": EXPORT, "rows": written, "head": document, "keys": signer_lines(repository)}
        target.write(canonical_json(tail) + b"\n")
    return written


def verify_file(path: Path, known: Mapping[str, Key] | None, copies: Sequence[Any]) -> Verdict:
    """Verify an export without the store. Without ``known`` keys the export's own are taken: that finds damage, not a forger.

    Raises:
        CoordinatorError: ``file.not_found``, ``audit.bad_heads``.
        ProtocolError: ``audit.malformed``.
    """
    if not path.is_file():
        raise CoordinatorError("file.not_found", path=path)
    tail = _tail(path)
    told: Mapping[str, Key] = {k.keyid: k for k in map(keys.from_line, tail["keys"])}
    use = told if known is None else known
    own = checked([] if tail["head"] is None else [tail["head"]], use, path.name)
    walk = Walk([*own, *checked(copies, use, "heads")])
    for line in _lines(path):
        if "format" not in line:
            walk.row(row_of(line))
    findings = walk.end()
    if walk.rows != tail["rows"]:
        findings.append(Finding(walk.rows, "truncated", f"the export says that it has {tail['rows']} rows"))
    if walk.rows and not own:
        findings.append(Finding(walk.rows, "no_head", "the export has no signed head"))
    return Verdict(walk.rows, own[0] if own else None, len(copies), "unchecked" if known is None else "key", findings)


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open("rb") as file:
        while line := file.readline(_MOST_LINE):
            try:
                document = json.loads(line)
            except ValueError as error:
                raise CoordinatorError("audit.malformed") from error
            if not isinstance(document, dict):
                raise CoordinatorError("audit.malformed")
            yield document


def _tail(path: Path) -> dict[str, Any]:
    last: dict[str, Any] = {}
    for last in _lines(path):  # noqa: B007  # only the last one is wanted
        pass
    match last:
        case {"format": str(form), "rows": int(), "head": dict() | None, "keys": list(lines)} if form == EXPORT:
            if all(isinstance(line, str) for line in lines):
                return last
    raise CoordinatorError("audit.malformed")
