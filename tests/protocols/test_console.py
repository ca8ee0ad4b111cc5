"""What all commands share: Ctrl-C, wrong paths and names that look like markup."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from protocols.console import Console
from protocols.errors import Language

COMMAND = """
import os, signal, sys, typer
from protocols.console import Console, command, run
app = typer.Typer()
@app.callback()
def group() -> None: ...
@command(app, "work")
def work(console: Console) -> None:
    {body}
run(app, ["work", "--json"])
"""


def failure(body: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-c", COMMAND.format(body=body)], capture_output=True, text=True, check=False
    )
    assert done.stdout == ""
    return done.returncode, json.loads(done.stderr.splitlines()[-1])["error"]["code"]


def test_ctrl_c_is_a_sentence_with_a_code() -> None:
    assert failure("os.kill(os.getpid(), signal.SIGINT)") == (6, "interrupted")


def test_a_file_where_a_folder_is_needed_is_bad_input() -> None:
    assert failure("open(sys.executable + '/x')") == (3, "file.wrong_kind")


def test_an_unforeseen_fault_is_a_defect_without_a_traceback() -> None:
    assert failure("raise LookupError('secret')") == (70, "defect")


@pytest.mark.parametrize(("language", "said"), [("en", "None.\nJobs: none.\n"), ("zh", "无。\nJobs：无。\n")])
def test_a_table_without_rows_says_so(capsys: pytest.CaptureFixture[str], language: Language, said: str) -> None:
    console = Console(Path(), json=False, language=language)
    console.table(["id"], [])
    console.table(["id"], [], title="Jobs")
    assert capsys.readouterr().out == said


def test_names_in_tables_are_data_not_markup(capsys: pytest.CaptureFixture[str]) -> None:
    Console(home=Path(), json=False, language="en").table(["class"], [["pos[neg]"], ["[/x]"]])
    printed = capsys.readouterr().out
    assert "pos[neg]" in printed and "[/x]" in printed
