"""600 seeded mutations of a small model and of a trunk: none ends the caller, none that is let through answers wrongly."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from coordinator.errors import CoordinatorError
from coordinator.training import golden
from coordinator.vetting import candidate
from coordinator.vetting.allowlist import Limits
from coordinator.vetting.confine import Rights
from coordinator.vetting.description import Description, parse
from coordinator.vetting.examination import try_stage, vetted_stage
from coordinator.vetting.sandbox import Bounds, Sandbox
from protocols.artifacts import Artifact
from protocols.manifest import ReleaseManifest
from tests.coordinator.vetting import models
from tests.coordinator.vetting.mutations import mutated
from tests.support.coordinator import NOW

DATA = Path(__file__).parent.parent.parent / "protocols" / "data"
BOUNDS = Bounds(5, Rights(memory_mb=2048, cpu_s=5))
# (model, seed) of every mutation that ever ended a process that ran it: those of 600 that LiteRT 2.3 dies of where it is given
# the file as it came. None got past the static check so far; one that does belongs here too.
CRASH_CORPUS = [("small", 76), ("trunk", 106), ("trunk", 107), ("trunk", 147), ("trunk", 177)]

FRESH_NODE = """
import json, sys
from pathlib import Path
import numpy as np
from protocols.manifest import ReleaseManifest
from protocols.pipeline import Pipelines
from protocols.recognition import same_answer
from protocols.selftest import golden_scores

found = []
for name in json.loads(sys.stdin.read()):
    folder = Path(name)
    manifest = ReleaseManifest.from_bytes((folder / "manifest").read_bytes())
    got = golden_scores(manifest, (folder / manifest.golden.sha256).read_bytes(), Pipelines(lambda sha256: folder / sha256))
    wanted = np.array(manifest.golden.scores)
    found.append(bool(np.isfinite(got).all() and got.shape == wanted.shape and np.abs(got - wanted).max() < 1e-5))
print(json.dumps(found))
"""


def subjects() -> dict[str, tuple[bytes, Description]]:
    """A small network, and a trunk of the tests: InceptionV3's kinds of operators with its named outputs, cut to one."""
    small = parse(models.labels_file(output="softmax"))
    channels = [f"channel {n}" for n in range(64)]
    trunk = parse(models.labels_file(labels=channels))
    return {"small": (models.small(), small), "trunk": (_one_output((DATA / "trunk.tflite").read_bytes()), trunk)}


def _one_output(trunk: bytes) -> bytes:
    """The trunk as a model of one output, the 64 channels of ``mixed2_avg``; its other operators stay in the file."""
    import flatbuffers

    model = models.schema.ModelT.InitFromPackedBuf(trunk, 0)
    signature = model.signatureDefs[0]
    graph = model.subgraphs[0]
    graph.outputs = [o.tensorIndex for o in signature.outputs if o.name == b"mixed2_avg"]
    signature.outputs = [o for o in signature.outputs if o.name == b"mixed2_avg"]
    writer = flatbuffers.Builder(1024)
    writer.Finish(model.Pack(writer), file_identifier=b"TFL3")
    return bytes(writer.Output())


def test_mutations_end_nothing_and_none_that_is_let_through_answers_wrongly(tmp_path: Path) -> None:
    strip = golden.strip()
    known = subjects()
    for name, (data, wanted) in known.items():
        assert vetted_stage(data, wanted, Limits()), name
    seeds = [*CRASH_CORPUS, *((name, seed) for seed in range(300) for name in known)]
    ends: Counter[str] = Counter()
    crashed: list[tuple[str, int]] = []
    accepted: list[Path] = []
    with Sandbox() as sandbox:
        for name, seed in seeds:
            data, wanted = known[name]
            folder = tmp_path / f"{name}-{seed}"
            code, manifest = _vet(mutated(data, seed), wanted, strip, folder, sandbox)
            ends[code] += 1
            if code == "vetting.crashed":
                crashed.append((name, seed))
            if manifest is not None:
                (folder / "manifest").write_bytes(manifest.to_bytes())
                (folder / manifest.golden.sha256).write_bytes(strip)
                accepted.append(folder)
        assert sandbox._process.poll() is None
    assert ends["accepted"] == len(accepted) > 0
    assert sum(ends.values()) == len(seeds) >= 600
    assert "vetting.no_sandbox" not in ends and "vetting.nonsense" not in ends, ends
    assert crashed == [], f"add to the corpus: {crashed}"
    told = subprocess.run(
        [sys.executable, "-c", FRESH_NODE],
        input=json.dumps([str(f) for f in accepted]),
        capture_output=True,
        text=True,
        check=True,
    )
    wrong = [f.name for f, right in zip(accepted, json.loads(told.stdout), strict=True) if not right]
    assert wrong == []


def test_what_litert_dies_of_ends_one_process_of_the_sandbox_and_never_gets_that_far_when_vetted(
    tmp_path: Path,
) -> None:
    known, deaths = subjects(), 0
    if os.geteuid() == 0:
        tmp_path.chmod(0o755)
    with Sandbox() as sandbox:
        for number, (name, seed) in enumerate(CRASH_CORPUS):
            data, wanted = known[name]
            damaged = mutated(data, seed)
            (tmp_path / "stage.tflite").write_bytes(damaged)
            try:
                sandbox.run("tests.coordinator.vetting.odd_jobs:run_unvetted", {}, tmp_path, BOUNDS)
            except CoordinatorError as error:
                deaths += error.details.get("problem") == "SIGSEGV"
            code, _ = _vet(damaged, wanted, golden.strip(), tmp_path / str(number), sandbox)
            assert code != "vetting.crashed"
    assert deaths, "LiteRT has become sturdier: look for new seeds"


def _vet(
    data: bytes, wanted: Description, strip: bytes, folder: Path, sandbox: Sandbox
) -> tuple[str, ReleaseManifest | None]:
    """How vetting ends: a code, or ``accepted`` with the manifest."""
    report: dict[str, Any] = {}
    try:
        stage = vetted_stage(data, wanted, Limits())
        folder.mkdir()
        if os.geteuid() == 0:
            folder.chmod(0o755)
            os.chown(folder, 65534, 65534)
        logits = try_stage(stage, strip, wanted, folder, BOUNDS, sandbox, report)
        candidate.check_output(logits, wanted)
    except CoordinatorError as error:
        assert error.message() and error.remedy()
        return error.code, None
    described = Artifact.of("model", stage)
    (folder / described.sha256).write_bytes(stage)
    made = candidate.manifest(wanted, 1, described, Artifact.of("golden", strip), logits, {}, NOW)
    return "accepted", made


@pytest.mark.parametrize("seed", range(0, 300, 25))
def test_with_the_makers_digest_no_mutation_passes(seed: int, tmp_path: Path) -> None:
    from coordinator.vetting.examination import Allowed, examine
    from coordinator.vetting.quarantine import quarantined

    data, wanted = subjects()["small"]
    file = tmp_path / "brought.tflite"
    file.write_bytes(mutated(data, seed))
    stated = replace(wanted, sha256=Artifact.of("model", data).sha256)
    with pytest.raises(CoordinatorError) as caught, quarantined(tmp_path / "q", file, 1 << 20) as held:
        examine(held, file.name, stated, b"", Limits(), Allowed(), lambda _p, _d, _t: None)
    assert caught.value.code == "vetting.digest"
