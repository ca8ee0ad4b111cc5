"""A node's view of the coordinator's repository: python-tuf's own client over files, unpatched."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tuf.api.exceptions import DownloadHTTPError
from tuf.ngclient import FetcherInterface, Updater

from coordinator.releases.repository import Repository
from protocols.trust import ROLLOUT_PATH, Rollout


class Files(FetcherInterface):
    """Serves ``metadata/`` and ``targets/`` from a repository's folder and counts the bytes."""

    def __init__(self, repository: Repository) -> None:
        self._folders = {"m": repository.metadata, "t": repository.targets}
        self.bytes = 0

    def _fetch(self, url: str) -> Iterator[bytes]:
        kind, _, name = url.removeprefix("mem://").partition("/")
        path = self._folders[kind] / name
        if not path.is_file():
            raise DownloadHTTPError("not found", 404)
        data = path.read_bytes()
        self.bytes += len(data)
        return iter([data])


class Node:
    """Starts from a root and refreshes as often as it is told."""

    def __init__(self, folder: Path, repository: Repository) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "targets").mkdir(exist_ok=True)
        self._folder = folder
        self._root = repository.root_bytes()
        self.files = Files(repository)

    def refresh(self) -> Updater:
        """One poll, as a fresh process would do it."""
        self.files.bytes = 0
        folder = str(self._folder)
        updater = Updater(folder, "mem://m/", f"{folder}/targets", "mem://t/", self.files, bootstrap=self._root)
        updater.refresh()
        return updater

    def fetch(self, path: str) -> bytes | None:
        """A verified target, or None where no trusted role names it."""
        updater = self.refresh()
        info = updater.get_targetinfo(path)
        if info is None:
            return None
        return Path(updater.find_cached_target(info) or updater.download_target(info)).read_bytes()

    def rollout(self) -> Rollout:
        """The verified rollout document."""
        data = self.fetch(ROLLOUT_PATH)
        assert data is not None
        return Rollout.from_bytes(data)
