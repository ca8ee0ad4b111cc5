from __future__ import annotations

from pathlib import Path

import pytest

from disease_kb import native, replica
from disease_kb.errors import KnowledgeBaseError
from disease_kb.exporters import csv_table
from disease_kb.importers import read_source
from tests.disease_kb.conftest import EntryFactory


def test_the_form_follows_the_name_or_the_content(tmp_path: Path, make_entry: EntryFactory) -> None:
    entry = make_entry()
    (tmp_path / "a.toml").write_text(native.dumps(entry), "utf-8")
    (tmp_path / "a.csv").write_bytes(csv_table([entry]))
    (tmp_path / "a.bin").write_bytes(replica.build([entry]))
    for source in (tmp_path, tmp_path / "a.toml", tmp_path / "a.csv", tmp_path / "a.bin"):
        assert read_source(source).entries == (entry,)


def test_a_folder_names_every_bad_file_and_keeps_the_good(tmp_path: Path, make_entry: EntryFactory) -> None:
    (tmp_path / "good.toml").write_text(native.dumps(make_entry("good")), "utf-8")
    (tmp_path / "twin.toml").write_text(native.dumps(make_entry("good")), "utf-8")
    (tmp_path / "bad.toml").write_text("id = 1", "utf-8")
    (tmp_path / "huge.toml").write_bytes(b"#" * (native.MAX_FILE_BYTES + 1))
    incoming = read_source(tmp_path)
    assert [entry.id for entry in incoming.entries] == ["good"]
    assert sorted(problem.code for problem in incoming.problems) == [
        "kb.field.type",
        "kb.file.too_large",
        "kb.id.duplicate",
    ]


def test_refuses_what_is_not_there_or_has_no_known_form(tmp_path: Path) -> None:
    (tmp_path / "notes.docx").write_bytes(b"PK")
    (tmp_path / "empty").mkdir()
    for name, code in (
        ("nowhere", "file.not_found"),
        ("notes.docx", "kb.file.form"),
        ("empty", "kb.file.empty_folder"),
    ):
        with pytest.raises(KnowledgeBaseError) as caught:
            read_source(tmp_path / name)
        assert caught.value.code == code


def test_a_file_over_the_limit_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("disease_kb.importers.source.MAX_FILE_BYTES", 10)
    (tmp_path / "a.csv").write_bytes(b"x" * 11)
    with pytest.raises(KnowledgeBaseError) as caught:
        read_source(tmp_path / "a.csv")
    assert caught.value.code == "kb.file.too_large"
