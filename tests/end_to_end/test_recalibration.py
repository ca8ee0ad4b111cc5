"""``recalibrate`` as a person runs it: a model for a site with darker pictures and fewer sick patients."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from coordinator.releases.cards import thresholds
from coordinator.store.blobs import FolderBlobs
from protocols.manifest import ReleaseManifest
from tests.end_to_end.conftest import Network, draw_set
from tests.support.commands import call, run

pytestmark = pytest.mark.slow

LIGHT = 0.6
SICK_KEPT = 4  # of the sick patients' pictures one in so many is there: 15 beside 60


@pytest.fixture(scope="module")
def home(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The network's coordinator as it is now; the versions that are made here nobody else sees."""
    folder = tmp_path_factory.mktemp("recalibration") / "home"
    shutil.copytree(network.home, folder, ignore=shutil.ignore_patterns("*.sqlite*", ".part-*"))
    for database in network.home.rglob("*.sqlite"):  # a plain copy of one that is in use may be torn
        target = folder / database.relative_to(network.home)
        with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(target)) as copy:
            source.backup(copy)
    return folder


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Labelled images of another site."""
    folder = tmp_path_factory.mktemp("recalibration") / "site"
    draw_set(folder, seed=31, patients=12, cells_each=10)
    sick = sorted((folder / "parasitized").iterdir())
    for number, path in enumerate(sick):
        if number % SICK_KEPT:
            path.unlink()
    for path in folder.rglob("*.png"):
        with Image.open(path) as picture:
            picture.point(lambda value: int(LIGHT * value)).save(path)
    rows = (folder / "groups.csv").read_text("utf-8").splitlines()
    kept = [row for row in rows[1:] if (folder / row.split(",")[0]).exists()]
    (folder / "groups.csv").write_text("\n".join([rows[0], *kept]) + "\n", "utf-8")
    return folder


@pytest.fixture(scope="module")
def recalibrated(home: Path, site: Path) -> dict[str, Any]:
    return run("medmesh-coordinator", "recalibrate", "malaria@1", "--on", str(site), home=home)


def evaluated(home: Path, site: Path, name: str) -> dict[str, Any]:
    return run("medmesh-coordinator", "evaluate", name, "--on", str(site), home=home)


def test_a_new_version_moves_the_operating_point_and_not_the_ranking(
    home: Path, site: Path, recalibrated: dict[str, Any]
) -> None:
    assert recalibrated["from"] == "malaria@1" and recalibrated["version"] > 1
    assert recalibrated["images"] == 75 and recalibrated["groups"] == 12 and recalibrated["groups_given"]
    assert any(abs(bias) > 0.05 for bias in recalibrated["bias"].values())
    name = f"malaria@{recalibrated['version']}"
    before, after = evaluated(home, site, "malaria@1"), evaluated(home, site, name)
    assert after["auc_macro"] == before["auc_macro"]
    assert after["confusion"] != before["confusion"], "the operating point"
    assert after["coverage"]["measured"] == pytest.approx(recalibrated["after"]["coverage"], abs=0.1)
    refused = {"not_this_kind_of_image", "poor_quality"}
    assert sum(after["outcomes"].get(x, 0) for x in refused) <= sum(before["outcomes"].get(x, 0) for x in refused)


def test_no_byte_of_the_network_changes_and_its_release_costs_no_conversion(
    home: Path, recalibrated: dict[str, Any]
) -> None:
    name = f"malaria@{recalibrated['version']}"
    old = run("medmesh-coordinator", "model", "show", "malaria@1", home=home)
    new = run("medmesh-coordinator", "model", "show", name, home=home)
    assert new["artifacts"] == old["artifacts"] and new["manifest"] != old["manifest"]
    assert new["recalibrated"]["from"] == "malaria@1"
    blobs = FolderBlobs(home / "coordinator" / "artifacts")
    was, now = (ReleaseManifest.from_bytes(blobs.path(x["manifest"]).read_bytes()) for x in (old, new))
    assert set(was.methods) == set(now.methods) == {*thresholds.CALIBRATION, *thresholds.LIMITS}
    assert now.methods["temperature"]["images"] == 75 and was.methods["temperature"]["images"] == 120
    (note,) = (home / "coordinator" / "backbones").glob("*.twice.json")
    noted = note.stat().st_mtime_ns
    answer = call("medmesh-coordinator", "release", "propose", name, "--notes", "Fitted to the other site", home=home)
    assert answer.code == 0, answer.stderr
    assert answer.document["state"] == "proposed" and all(g["ok"] for g in answer.document["gates"])
    assert {"parity", "self_test", "converted_twice"} <= {g["name"] for g in answer.document["gates"]}
    assert note.stat().st_mtime_ns == noted, "a second conversion would have written it anew"


def test_the_card_says_whose_figures_are_whose(home: Path, recalibrated: dict[str, Any]) -> None:
    name = f"malaria@{recalibrated['version']}"
    card = run("medmesh-coordinator", "model", "card", name, "--lang", "en", home=home)["card"]
    assert "Recalibrated for another site" in card and "75 labelled images of 12 groups" in card


REFUSALS = (
    ("nothing", "site", "model.unknown", 4),
    ("malaria@99", "site", "model.unknown", 4),
    ("malaria@1", "missing", "file.not_found", 4),
    ("malaria@1", "renamed", "evaluate.labels_differ", 3),
    ("malaria@1", "few", "recalibrate.too_few", 3),
    ("malaria@1", "one", "recalibrate.one_group", 3),
    ("malaria@1", "trained", "recalibrate.seen_in_training", 5),
)


def test_refusals_are_sentences_and_leave_no_version(network: Network, home: Path, site: Path, tmp_path: Path) -> None:
    folders = {
        "site": site,
        "missing": tmp_path / "none",
        "renamed": chosen(site, tmp_path / "renamed", 12, healthy="Healthy"),
        "few": chosen(site, tmp_path / "few", 3),
        "one": chosen(site, tmp_path / "one", 12),
        "trained": network.images,
    }
    rows = [f"{p.parent.name}/{p.name},one" for p in folders["one"].rglob("*.png")]
    (folders["one"] / "groups.csv").write_text("\n".join(["file,group", *rows]) + "\n", "utf-8")
    before = run("medmesh-coordinator", "model", "list", home=home)
    for model, where, code, exit_code in REFUSALS:
        answer = call("medmesh-coordinator", "recalibrate", model, "--on", str(folders[where]), home=home)
        assert (answer.error["code"], answer.code) == (code, exit_code)
        assert answer.error["message"] and answer.error["remedy"] and "Traceback" not in answer.stderr
    assert run("medmesh-coordinator", "model", "list", home=home) == before


def chosen(site: Path, folder: Path, each: int, healthy: str = "uninfected") -> Path:
    """Some images of each class of the site, without groups."""
    for label, name in (("parasitized", "parasitized"), ("uninfected", healthy)):
        (folder / name).mkdir(parents=True)
        for path in sorted((site / label).iterdir())[:each]:
            shutil.copy(path, folder / name)
    return folder
