"""Where ``--explain OUT.png`` puts its pictures."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_node.errors import EdgeError
from edge_node.files import write_atomic
from protocols.manifest import ReleaseManifest


@dataclass(frozen=True)
class ExplanationFiles:
    """``OUT.png`` for one picture and one disease; ``OUT-<n>-<disease>.png`` for several, n the picture's place from 1.

    A model that is not called like its disease adds its name: ``OUT-<n>-<disease>.<model>.png``.
    """

    out: Path
    several: bool

    def __post_init__(self) -> None:
        """Raises EdgeError ``edge.explain_png`` where the name does not say that a PNG is meant."""
        if self.out.suffix.lower() != ".png":
            raise EdgeError("edge.explain_png", path=self.out)

    def path(self, number: int, release: ReleaseManifest) -> Path:
        """The file for the ``number``-th picture and a release."""
        if not self.several:
            return self.out
        name = release.disease if release.model == release.disease else f"{release.disease}.{release.model}"
        return self.out.with_name(f"{self.out.stem}-{number}-{name}{self.out.suffix}")

    def spare(self, images: Sequence[Path], releases: Sequence[ReleaseManifest]) -> None:
        """Make sure that no picture to be recognised would be overwritten.

        Raises:
            EdgeError: ``edge.explain_over_image``.
        """
        for number in range(1, len(images) + 1):
            for release in releases:
                path = self.path(number, release)
                if path.exists() and any(image.exists() and path.samefile(image) for image in images):
                    raise EdgeError("edge.explain_over_image", path=path)


def write_png(path: Path, data: bytes) -> None:
    """Write a picture whole or not at all.

    Raises:
        OSError: it cannot be written; the folder must be there already.
    """
    if not path.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path.parent))
    write_atomic(path, data)
