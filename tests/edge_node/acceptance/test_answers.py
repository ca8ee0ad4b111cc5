"""What answers for a release is a process of its own: it gives the same answers, and it alone goes down with a bad one."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_node.acceptance.answers import AnswersDiedError, Bounds, Question, answers
from tests.edge_node.acceptance.site import Counting
from tests.edge_node.support.releases import BLUE, RED, TRUNK, Release, make_release, png

IMAGES = [Question(png(RED)), Question(png(BLUE)), Question(b"no picture"), Question(Path("/nowhere"))]


def on_disk(release: Release, folder: Path) -> dict[str, Path]:
    for sha256, data in release.files.items():
        (folder / sha256).write_bytes(data)
    return {sha256: folder / sha256 for sha256 in release.files}


def test_the_process_answers_as_recognition_does_and_leaves_out_what_cannot_be_read(tmp_path: Path) -> None:
    release = make_release()
    files = on_disk(release, tmp_path)
    found = list(answers(release.manifest_bytes, files, IMAGES, Bounds()))
    assert [a and a.label for a in found] == ["red", "blue", None, None]
    assert found[0] is not None
    again = Question(None, found[0].features)  # what the trunk gave is enough
    counting = Counting()
    (known,) = counting(release.manifest_bytes, files, [again], Bounds())
    assert known is not None
    assert (known.label, counting.trunk_runs) == ("red", 0)


@pytest.mark.parametrize(
    ("trunk", "bounds"), [(TRUNK[: len(TRUNK) // 2], Bounds()), (b"greedy", Bounds(memory_mb=700, image_s=5))]
)
def test_a_release_that_does_not_run_or_eats_memory_ends_its_process_alone(
    tmp_path: Path, trunk: bytes, bounds: Bounds
) -> None:
    if trunk == b"greedy":
        trunk = (Path(__file__).parent.parent / "data" / "greedy_trunk.tflite").read_bytes()
    release = make_release(trunk=trunk)
    with pytest.raises(AnswersDiedError):
        list(answers(release.manifest_bytes, on_disk(release, tmp_path), IMAGES, bounds))
