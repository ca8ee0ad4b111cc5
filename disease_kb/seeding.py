"""The packaged seed, and building or refreshing a home's knowledge base from it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from disease_kb import native
from disease_kb.changes import by_id
from disease_kb.document import digest
from disease_kb.model import Entry
from disease_kb.store import KnowledgeBase


@dataclass(frozen=True, slots=True)
class Refresh:
    """What building from the seed did, by entry id; ``kept`` were edited here and stay as they are."""

    added: tuple[str, ...] = ()
    updated: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()


def database_path(home: Path) -> Path:
    """Return where a home keeps its knowledge base."""
    return home / "kb" / "kb.sqlite"


def seed_files() -> dict[str, bytes]:
    """Return the packaged native files by name."""
    folder = resources.files("disease_kb").joinpath("seed")
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.name.endswith(".toml")}


def seed_entries() -> list[Entry]:
    """Return the packaged entries, by id.

    Raises:
        KnowledgeBaseError: a packaged file breaks the format.
    """
    entries = by_id(native.loads(data, name) for name, data in seed_files().items())
    return [entries[name] for name in sorted(entries)]


async def open_or_build(home: Path) -> KnowledgeBase:
    """Open a home's knowledge base; build it from the seed on first use, refresh unedited entries when that changed.

    A knowledge base that came as a replica is left alone: its network decides its content.
    """
    kb = await KnowledgeBase.open(database_path(home))
    try:
        if await kb.meta("origin") != "replica" and await kb.meta("seed") != _fingerprint(seed_files()):
            await refresh(kb)
    except BaseException:
        await kb.close()
        raise
    return kb


async def refresh(kb: KnowledgeBase) -> Refresh:
    """Bring the packaged entries up to date in one transaction; entries edited, imported or reviewed here stay."""
    packaged = {entry.id: entry for entry in seed_entries()}
    present = await kb.digests()
    unedited = {name for name, (now, seed) in present.items() if now == seed}
    added = [name for name in packaged if name not in present]
    updated = [name for name in packaged if name in unedited and digest(packaged[name]) != present[name][0]]
    kept = [name for name in packaged if name in present and digest(packaged[name]) != present[name][0]]
    removed = [name for name in unedited if name not in packaged]
    await kb.write(
        [packaged[name] for name in added + updated],
        removed,
        from_seed=True,
        seed=_fingerprint(seed_files()),
        origin="seed",
    )
    still_own = [name for name in kept if name not in updated]
    return Refresh(tuple(added), tuple(updated), tuple(sorted(removed)), tuple(sorted(still_own)))


def _fingerprint(files: dict[str, bytes]) -> str:
    joined = hashlib.sha256()
    for name, data in sorted(files.items()):
        joined.update(hashlib.sha256(data).digest() + name.encode())
    return joined.hexdigest()
