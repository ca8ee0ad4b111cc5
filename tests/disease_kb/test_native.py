from __future__ import annotations

import pytest

from disease_kb import native
from disease_kb.errors import KnowledgeBaseError
from disease_kb.seeding import seed_files
from tests.disease_kb.conftest import EntryFactory


def test_writing_is_canonical(make_entry: EntryFactory) -> None:
    text = native.dumps(make_entry())
    assert native.dumps(native.loads(text.encode(), "x")) == text


def test_windows_line_ends_and_a_byte_order_mark_are_accepted(make_entry: EntryFactory) -> None:
    text = native.dumps(make_entry()).replace("\n", "\r\n")
    assert native.loads(b"\xef\xbb\xbf" + text.encode(), "x") == make_entry()


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"id = ", "kb.file.toml"),
        ("id = '灰'".encode("gbk"), "kb.file.encoding"),
        (b"x" * (native.MAX_FILE_BYTES + 1), "kb.file.too_large"),
        (b"a = " + b"[" * 50_000, "kb.file.toml"),
        (b"a = 1\na = 2", "kb.file.toml"),
        (b"", "kb.field.missing"),
    ],
)
def test_refuses_what_is_not_native(data: bytes, code: str) -> None:
    with pytest.raises(KnowledgeBaseError) as caught:
        native.loads(data, "x.toml")
    assert caught.value.code == code


@pytest.mark.parametrize("name", sorted(seed_files()))
def test_a_seed_file_is_named_as_its_entry(name: str) -> None:
    assert f"{native.loads(seed_files()[name], name).id}.toml" == name
