"""Every finding of every gate is said in the reader's language."""

from __future__ import annotations

import re
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import update

from coordinator.errors import CoordinatorError
from coordinator.releases import gates, regression
from coordinator.releases.gates import Gate
from coordinator.releases.regression import Comparison
from coordinator.reports.document import Words
from coordinator.store.tables import releases
from coordinator.training.trunks import Second
from protocols.manifest import Label
from protocols.origin import KEY
from tests.support.filled import fill
from tests.support.manifests import HEAD, TRUNK, example
from tests.support.pages import browsing

COMMAND = re.compile(r"medmesh-coordinator [\w :.@/-]+|dataset label|--[\w-]+")
SENTENCE = re.compile(r"[A-Za-z]{2,}(?: [A-Za-z]+){2,}")


def is_chinese(text: str) -> bool:
    """Whether there is Chinese and, commands apart, nothing that reads as English."""
    return re.search(r"[\u4e00-\u9fff]", text) is not None and SENTENCE.search(COMMAND.sub("", text)) is None


def every_finding() -> list[Gate]:
    made = example()
    bare = replace(made, labels=(Label("odd", None, "disease"),))
    brought = replace(made, backbone=None)
    figures: dict[str, Any] = {"balanced_accuracy": {"value": 0.9}, "n": 40, "groups": 9}
    taken: dict[str, Any] = {"network": "South", "release": "malaria@3", "approvers": ["a"], "evaluation": figures}
    parity = {
        "head": HEAD,
        "ok": True,
        "agreement": 0.99,
        "per_class": {"parasitized": 0.98},
        "score_difference": 0.001,
    }
    stages = [s.sha256 for s in made.stages]
    vetting = {"kind": "tflite", "sha256": "f" * 64, "stage": TRUNK, "sandbox": {"seccomp": "off"}}
    alone = replace(brought, stages=brought.stages[:1])
    site = {"personal": {"own": 0.9, "global": 0.8}}
    together = {"global": {"mean": 0.8, "sites": 3}, "best_single_site_mean": None, "start_mean": 0.7}
    better = replace(made, data={"federated": {**together, "against_best_site": "better"}})
    worse = replace(made, data={"federated": {**together, "against_best_site": "worse"}})
    loss = Comparison(0.8, 0.9, -0.2, -0.05, Words("what 3 sites held out", "3 个机构的留出图像"))
    complete = replace(
        made,
        data={"dataset": "x", "images": 9, "groups": 3},
        metrics={"balanced_accuracy": {"value": 0.9}},
    )
    gone = Second(obstacle=CoordinatorError("backbone.weights_gone", name="file:x", path="x"))
    return [
        gates.labels_mapped(made, None),
        gates.labels_mapped(bare, None),
        gates.labels_mapped(bare, "试点"),
        gates.retested(made, {}, None),
        gates.retested(made, {KEY: taken}, None),
        gates.retested(made, {KEY: taken}, "漏检"),
        gates.retested(made, {KEY: {**taken, "evaluation": None}}, None),
        gates.parity(made, {KEY: taken}),
        gates.parity(made, {"parity": parity}),
        gates.parity(made, {}),
        gates.parity(replace(made, artifacts=made.artifacts[:1]), {}),
        gates.vetted(made, {}),
        gates.vetted(made, {KEY: taken}),
        gates.vetted(made, {KEY: taken, "vetting": {"stages": stages}}),
        gates.vetted(brought, {}),
        gates.vetted(alone, {"vetting": vetting}),
        gates.vetted(alone, {"vetting": {**vetting, "sandbox": {}}}),
        gates.calibrated(made),
        gates.calibrated(replace(made, calibration=replace(made.calibration, coverage=1.0))),
        gates.converted_twice(brought, None),
        gates.converted_twice(made, None),
        gates.converted_twice(made, gone),
        gates.converted_twice(made, Second("f" * 64, "9" * 64)),
        gates.best_site(made, None),
        gates.best_site(replace(made, data={"federated": site}), None),
        gates.best_site(better, None),
        gates.best_site(worse, None),
        gates.best_site(worse, "小机构受益"),
        gates.notes("", None),
        gates.notes("", "旧"),
        gates.notes("改进儿童图像", "改进儿童图像"),
        gates.notes("改进儿童图像", "旧"),
        gates.card_complete(made),
        gates.card_complete(complete),
        gates.self_test(made, np.array(made.golden.scores)),
        gates.self_test(made, np.array(made.golden.scores) / 2),
        regression.gate(None, None, None),
        regression.gate("malaria@1", None, None),
        regression.gate("malaria@1", loss, None),
        regression.gate("malaria@1", loss, "许可到期"),
        regression.gate("malaria@1", replace(loss, candidate=0.95, low=None, high=None), None),
    ]


def test_every_finding_is_said_in_chinese_too() -> None:
    found = every_finding()
    assert {g.name for g in found} == set(ALL)
    assert [g.detail_zh for g in found if not is_chinese(g.detail_zh)] == []
    assert {g.name for g in found if not g.ok} >= {"labels_mapped", "parity", "best_site", "notes", "self_test"}


ALL = (
    "labels_mapped",
    "retested",
    "parity",
    "vetted",
    "calibrated",
    "converted_twice",
    "best_site",
    "notes",
    "card_complete",
    "self_test",
    "non_regression",
)


async def test_a_release_s_page_and_card_have_no_english_finding_for_chinese_readers(tmp_path: Path) -> None:
    found = every_finding()
    async with browsing(tmp_path / "home") as browser:
        await fill(browser.office, sites=1, releases_=1)
        async with browser.office.coordinator.database.begin() as connection:
            await connection.execute(update(releases).values(gates=[g.document() for g in found]))
        pages = {path: await _page(browser, path) for path in ("/releases/malaria@1", "/models/malaria@1/card")}
    for path, (english, chinese) in pages.items():
        for gate in found:
            assert gate.detail in english and gate.detail_zh in chinese, (path, gate)
            assert gate.detail == gate.detail_zh or gate.detail not in chinese, (path, gate)


async def _page(browser: Any, path: str) -> tuple[str, str]:
    en, zh = [unescape((await browser.get(path, language=lang)).text) for lang in ("en", "zh")]
    return en, zh


def test_a_refusal_by_a_gate_is_in_the_reader_s_language() -> None:
    gate = gates.self_test(example(), np.zeros((2, 2)))
    error = CoordinatorError(
        "release.gate_failed", name="m@1", gate=gate.name, detail=Words(gate.detail, gate.detail_zh)
    )
    assert gate.detail in error.message("en") and gate.detail_zh in error.message("zh")
