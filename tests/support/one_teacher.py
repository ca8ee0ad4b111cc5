"""A teacher's job done in one process, with what a checkpoint keeps put to the test: ``python -m … JOBFOLDER``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from coordinator.training.spatial import child
from coordinator.training.spatial.job import Job
from coordinator.training.spatial.maps import MapReader


def main(folder: Path) -> dict[str, Any]:
    job = Job.load(folder)
    reader, some, said = MapReader(job.maps), np.arange(16), dict[str, Any]()
    targets, weights = np.eye(job.classes, dtype=np.float32)[job.labels[some]], np.full((1, 16), 1 / 16, np.float32)
    begun, made = child._begun, list[Any]()

    def tried(*given: Any) -> Any:
        """Two steps, the second twice; then all as it was."""
        teacher = begun(*given)

        def stepped(seed: int) -> Any:
            teacher.step({"mixed7": reader.read("mixed7", some)}, targets, weights, seed)
            return teacher.weights()

        start, first, between = teacher.state(), stepped(1), teacher.state()
        second = stepped(2)
        teacher.restore(between)
        again = stepped(2)
        teacher.restore(start)
        said["moved"] = all(not np.array_equal(first[n], second[n]) for n in first)
        said["same_step_again"] = all(np.array_equal(second[n], again[n]) for n in first)
        made.append(teacher)
        return teacher

    child._begun = tried
    child.main(folder)
    (teacher,) = made
    kept = np.load(child.result_path(folder, 0))
    teacher.replace(teacher.weights())
    said["same_answers_again"] = bool(np.allclose(teacher.logits(reader, some)[0], kept[0, :16], atol=1e-5))
    said["learns"] = [v.path.split("/")[-1] for v in teacher._variables]
    return said


if __name__ == "__main__":
    sys.stdout.write("\n" + json.dumps(main(Path(sys.argv[1]))) + "\n")
