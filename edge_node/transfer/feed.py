"""The list L with the time of its fetching: from the coordinator when it answers, else the last one kept."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from edge_node.errors import EdgeError, SourceError
from edge_node.files import write_atomic
from edge_node.transfer.catalogue import Catalogue
from protocols.clock import Clock

_FORMAT = "medmesh.edge.catalogue/1"


class CatalogueOrigin(Protocol):
    """One address of the coordinator."""

    async def catalogue(self) -> bytes:
        """The catalogue as sent, at most ``MAX_CATALOGUE_BYTES``.

        Raises:
            SourceError: nobody answered, or not our coordinator.
        """
        ...


@dataclass(frozen=True)
class Snapshot:
    """A catalogue and when it was fetched. ``failure`` says why it is not a fresh one."""

    catalogue: Catalogue
    fetched: datetime
    failure: EdgeError | None = None


class CatalogueCache:
    """The last catalogue on disk, bound to the coordinator that told it."""

    def __init__(self, path: Path, ca_sha256: str) -> None:
        self._path = path
        self._ca_sha256 = ca_sha256

    def load(self) -> Snapshot | None:
        """The kept catalogue; None where there is none, or it is damaged or another coordinator's."""
        try:
            document = json.loads(self._path.read_bytes())
            if document["format"] != _FORMAT or document["ca_sha256"] != self._ca_sha256:
                return None
            catalogue = Catalogue.from_bytes(base64.b64decode(document["catalogue"], validate=True))
            return Snapshot(catalogue, datetime.fromisoformat(document["fetched"]))
        except (FileNotFoundError, ValueError, KeyError, TypeError, EdgeError):
            return None

    def save(self, data: bytes, fetched: datetime) -> None:
        """Keep the bytes of a catalogue that was just read without complaint."""
        document = {
            "format": _FORMAT,
            "ca_sha256": self._ca_sha256,
            "fetched": fetched.isoformat(timespec="seconds"),
            "catalogue": base64.b64encode(data).decode(),
        }
        write_atomic(self._path, json.dumps(document).encode())


class CatalogueFeed:
    """Gives the newest catalogue that can be had."""

    def __init__(self, origins: Sequence[CatalogueOrigin], cache: CatalogueCache, clock: Clock) -> None:
        self._origins = origins
        self._cache = cache
        self._clock = clock

    async def refresh(self) -> Snapshot:
        """Fetch, check and keep the catalogue.

        Raises:
            SourceError: no address delivered one; the kept one is unchanged.
            EdgeError: ``edge.catalogue_malformed``.
        """
        failure: EdgeError = SourceError("edge.coordinator_unreachable", url="-")
        for origin in self._origins:
            try:
                data = await origin.catalogue()
                catalogue = Catalogue.from_bytes(data)
            except EdgeError as error:
                failure = error
                continue
            now = self._clock()
            self._cache.save(data, now)
            return Snapshot(catalogue, now)
        raise failure

    async def newest(self) -> Snapshot:
        """The catalogue from the coordinator, else the kept one with the reason.

        Raises:
            EdgeError: neither is to be had; the code says why the coordinator's is not.
        """
        try:
            return await self.refresh()
        except EdgeError as error:
            kept = self._cache.load()
            if kept is None:
                raise
            return Snapshot(kept.catalogue, kept.fetched, error)
