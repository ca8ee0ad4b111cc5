from __future__ import annotations

from pathlib import Path

from tests.support.commands import call, run


def test_what_cannot_be_refined_is_refused_and_nothing_is_queued(tmp_path: Path) -> None:
    run("medmesh-coordinator", "init", "--approvals", "1", home=tmp_path)
    unknown = call("medmesh-coordinator", "federate", "start", "malaria", home=tmp_path)
    assert (unknown.code, unknown.error["code"]) == (4, "model.unknown")
    nothing = call("medmesh-coordinator", "federate", "status", home=tmp_path)
    assert (nothing.code, nothing.error["code"]) == (4, "federation.unknown")
