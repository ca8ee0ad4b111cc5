"""Measuring a foreign release on local data: a data set of this coordinator, or a folder or zip as ``evaluate`` takes it."""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from coordinator.engine import Engine
from coordinator.intake.samples import Sample
from coordinator.training import evaluation
from protocols.manifest import ReleaseManifest


@contextmanager
def laid_out(samples: Sequence[Sample], image_path: Callable[[str], Path]) -> Iterator[Path]:
    """A data set's kept images as a folder for each class, with the groups beside; gone when the block ends."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        rows = []
        for sample in samples:
            (folder / sample.label).mkdir(exist_ok=True)
            name = f"{sample.label}/{sample.sha256}{image_path(sample.sha256).suffix or '.png'}"
            (folder / name).write_bytes(image_path(sample.sha256).read_bytes())
            rows.append([name, sample.group])
        with (folder / "groups.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([["file", "group"], *rows])
        yield folder


def measure(
    manifest: ReleaseManifest,
    artifacts: Path,
    source: Path,
    groups: Path | None,
    shown: str,
    engine: Engine,
    progress: Callable[[int, int], None],
) -> dict[str, Any]:
    """The figures of ``evaluate``, and on what. Raises as ``evaluation.evaluate``.

    None of these images can have been among those that the release was trained on here; whether they were there is not known.
    """
    found = evaluation.evaluate(manifest, artifacts, source, groups, engine, progress)
    return {"on": shown, **evaluation.document(manifest, found, set())}
