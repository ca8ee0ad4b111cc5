"""The port to running models, and the implementation within the program, for where no second process can be had."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edge_node.recognition.picture import Picture
from edge_node.recognition.recogniser import ExplainingRunner, Recogniser, Recognition
from protocols.manifest import ReleaseManifest
from protocols.selftest import golden_scores


class Models(Protocol):
    """Runs installed releases. Blocking, from any thread."""

    def recognise(
        self, picture: Picture, releases: Sequence[ReleaseManifest], *, explain: bool = False
    ) -> list[Recognition]:
        """One recognition for each release, in their order; with evidence if ``explain``.

        Raises:
            ProtocolError: ``image.*`` where the picture cannot be used, ``stage.*`` where a model cannot.
            ModelDiedError: a release took its process along.
            WorkerError: the process cannot be had.
            OSError: the file cannot be read.
        """
        ...

    def golden_scores(self, manifest: ReleaseManifest, strip: Path) -> NDArray[np.float64]:
        """Scores [pictures, labels] of a release's golden pictures on this machine. Raises as ``recognise``."""
        ...

    def warm_up(self) -> None:
        """Get ready, without waiting for it, while the caller has other things to do."""
        ...

    def close(self) -> None:
        """End what is under way; nothing can be asked any more."""
        ...


class LocalModels:
    """Runs models within this process, one at a time: a model that crashes ends the program."""

    def __init__(self, runner: ExplainingRunner) -> None:
        self._runner = runner
        self._recogniser = Recogniser(runner)
        self._turn = Lock()  # an interpreter holds the tensors of one run

    def recognise(
        self, picture: Picture, releases: Sequence[ReleaseManifest], *, explain: bool = False
    ) -> list[Recognition]:
        """As the port says."""
        with self._turn:
            return self._recogniser.recognise(picture, releases, explain=explain)

    def golden_scores(self, manifest: ReleaseManifest, strip: Path) -> NDArray[np.float64]:
        """As the port says."""
        with self._turn:
            return golden_scores(manifest, strip.read_bytes(), self._runner)

    def warm_up(self) -> None:
        """Nothing to start."""

    def close(self) -> None:
        """Nothing to end."""
