from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from disease_kb import native
from disease_kb.cli import app
from disease_kb.seeding import database_path, seed_entries
from protocols.console import run
from tests.disease_kb.conftest import EntryFactory


class Command:
    """Runs ``medmesh-kb`` in one home and keeps what it printed."""

    def __init__(self, home: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.home = home
        self.capture = capture
        self.error: dict[str, Any] = {}

    def __call__(self, *arguments: object, code: int = 0) -> Any:
        """Run with ``--json``; returns the answer, or None where there is none."""
        out, err = self.text(*arguments, "--json", code=code)
        self.error = json.loads(err.splitlines()[-1])["error"] if code else {}
        return json.loads(out) if out else None

    def text(self, *arguments: object, code: int = 0) -> tuple[str, str]:
        with pytest.raises(SystemExit) as left:
            run(app, [*map(str, arguments), "--home", str(self.home)])
        out, err = self.capture.readouterr()
        assert left.value.code == code, err
        return out, err


@pytest.fixture
def kb(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(tmp_path / "home", capsys)


def _file(folder: Path, name: str, make_entry: EntryFactory, **changes: Any) -> Path:
    file = folder / f"{name}.toml"
    file.write_text(native.dumps(make_entry(name, **changes)), "utf-8")
    return file


def test_search_works_in_an_empty_home(kb: Command) -> None:
    first = kb("search", "疟疾")["results"][0]
    assert first["id"] == "malaria"
    assert first["name"] == {"zh": "疟疾", "en": "Malaria"}
    assert {"system", "code", "match"} == set(first["codes"][0])
    assert first["score"] == 1.0


def test_search_that_finds_nothing_is_an_answer(kb: Command) -> None:
    assert kb("search", "qwxzkj")["results"] == []


def test_show_gives_the_diagnosis_aid_in_both_languages(kb: Command) -> None:
    entry = kb("show", "malaria")
    assert entry["review_status"] == "draft"
    assert entry["urgency"] == "urgent"
    for field in ("symptoms", "image_signs", "red_flags", "differential", "management", "prevention"):
        assert set(entry[field]) == {"zh", "en"}
        assert all(isinstance(text, str) for text in entry[field]["zh"])
    assert set(entry["citations"][0]) == {"title", "publisher", "year"}


@pytest.mark.parametrize(("language", "draft"), [("zh", "未经临床医生审核"), ("en", "not reviewed by a clinician")])
def test_show_says_that_an_entry_is_a_draft(kb: Command, language: str, draft: str) -> None:
    assert draft in kb.text("show", "malaria", "--lang", language)[0]


def test_an_unknown_entry_is_not_found(kb: Command) -> None:
    kb("show", "grey-fever", code=4)
    assert kb.error["code"] == "kb.entry.not_found"


def test_validate_passes_on_the_packaged_seed(kb: Command) -> None:
    report = kb("validate")
    assert report["errors"] == []
    assert report["languages"] == ["zh", "en"]
    assert report["entries"] == report["unreviewed"] == len(seed_entries())


def test_validate_names_what_is_wrong_in_a_file(kb: Command, tmp_path: Path, make_entry: EntryFactory) -> None:
    report = kb("validate", _file(tmp_path, "a", make_entry, urgency=None), code=3)
    assert [(error["code"], error["entry"]) for error in report["errors"]] == [("kb.rule.too_few", "a")]


def test_import_adds_and_a_dry_run_does_not(kb: Command, tmp_path: Path, make_entry: EntryFactory) -> None:
    file = _file(tmp_path, "grey-fever", make_entry)
    assert kb("import", file, "--dry-run")["changes"] == [{"id": "grey-fever", "change": "added", "changes": []}]
    kb("show", "grey-fever", code=4)
    assert kb("import", file)["imported"] == 1
    assert kb("import", file)["unchanged"] == 1
    assert kb("show", "grey-fever")["name"]["zh"] == "灰热"


def test_a_conflict_is_shown_and_nothing_is_overwritten(kb: Command, tmp_path: Path, make_entry: EntryFactory) -> None:
    kb("import", _file(tmp_path, "a", make_entry))
    folder = tmp_path / "incoming"
    folder.mkdir()
    _file(folder, "a", make_entry, provenance="theirs")
    _file(folder, "b", make_entry)

    shown = kb("import", folder, "--dry-run")["conflicts"][0]
    assert (shown["id"], shown["reason"]) == ("a", "version_not_raised")
    assert shown["changes"] == [{"where": "provenance", "before": "Written for a test", "after": "theirs"}]

    kb("import", folder, code=5)
    assert kb.error["code"] == "kb.import.conflict"
    kb("show", "b", code=4)

    assert kb("import", folder, "--keep-present")["imported"] == 1
    assert kb("show", "a")["provenance"] == "Written for a test"
    assert kb("import", folder, "--replace", "a")["imported"] == 1
    assert kb("show", "a")["provenance"] == "theirs"


def test_a_bad_file_imports_nothing(kb: Command, tmp_path: Path, make_entry: EntryFactory) -> None:
    _file(tmp_path, "good", make_entry)
    (tmp_path / "bad.toml").write_text("id = 'bad'", "utf-8")
    report = kb("import", tmp_path, code=3)
    assert report["bad"][0]["code"] == "kb.field.missing"
    kb("show", "good", code=4)


def test_what_is_exported_can_be_imported_elsewhere(kb: Command, tmp_path: Path) -> None:
    for form, name in (("native", "folder"), ("csv", "table.csv"), ("replica", "all.mmkb")):
        kb("export", tmp_path / name, "--format", form)
        assert kb("import", tmp_path / name)["unchanged"] == len(seed_entries())
        assert kb("diff", "seed", tmp_path / name)["same"]


def test_export_does_not_overwrite_unasked(kb: Command, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("mine", "utf-8")
    kb("export", page, "--format", "html", code=5)
    assert page.read_text("utf-8") == "mine"
    kb("export", page, "--format", "html", "--force")
    assert page.read_text("utf-8").startswith("<!doctype html>")


def test_a_review_is_recorded_and_listed_no_more(kb: Command) -> None:
    before = [row["id"] for row in kb("unreviewed")["unreviewed"]]
    assert kb("review", "malaria", "--by", "李医生", "--on", "2026-05-06")["review"] == {
        "status": "reviewed",
        "by": "李医生",
        "on": "2026-05-06",
    }
    after = [row["id"] for row in kb("unreviewed")["unreviewed"]]
    assert sorted(set(before) - set(after)) == ["malaria"]
    changed = kb("diff", "seed", "home")["changes"]
    assert [(change["id"], change["change"]) for change in changed] == [("malaria", "updated")]


def test_build_keeps_what_was_edited_here(kb: Command) -> None:
    kb("review", "malaria", "--by", "A")
    assert kb("build")["kept"] == ["malaria"]
    assert kb("show", "malaria")["review_status"] == "reviewed"


def test_build_anew_sets_a_damaged_file_aside(kb: Command) -> None:
    path = database_path(kb.home)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"damaged " * 1000)
    kb("search", "x", code=3)
    assert kb.error["code"] == "kb.store.damaged"
    assert Path(kb("build", "--anew")["set_aside"]).read_bytes().startswith(b"damaged")
    assert kb("search", "疟疾")["results"]


@pytest.mark.parametrize(
    "arguments", [("search",), ("import", "x", "--format", "docx"), ("review", "malaria"), ("nonsense",)]
)
def test_wrong_usage_exits_2(kb: Command, arguments: tuple[str, ...]) -> None:
    kb(*arguments, code=2)


@pytest.mark.parametrize("language", ["zh", "en"])
def test_people_get_text_in_their_language(
    kb: Command, tmp_path: Path, make_entry: EntryFactory, language: str
) -> None:
    file = _file(tmp_path, "malaria", make_entry)
    for arguments in (
        ("search", "肺炎"),
        ("search", "qwxzkj"),
        ("validate",),
        ("unreviewed",),
        ("build",),
        ("diff", "seed", "home"),
    ):
        kb.text(*arguments, "--lang", language)
    out, _ = kb.text("import", file, "--dry-run", "--lang", language)
    assert "version_not_raised" in out
