"""``user`` and ``token create --role`` as a keeper uses them."""

from __future__ import annotations

import io
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from coordinator.access.roles import RIGHTS, Role
from coordinator.bootstrap import initialise, open_coordinator, utc_now
from coordinator.cli.app import app
from coordinator.config import Config
from coordinator.errors import CoordinatorError
from coordinator.releases import keys
from protocols.console import run

PASSWORD = "gentle otter counts rain"
Command = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import asyncio

    home = tmp_path_factory.mktemp("home")
    asyncio.run(initialise(home, Config("Test", 1)))
    return home


@pytest.fixture
def home(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "home"))


@pytest.fixture
def command(home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    def call(*arguments: str, typed: bytes | None = None) -> tuple[int, dict[str, Any]]:
        capsys.readouterr()
        if typed is not None:
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(typed)))
        with pytest.raises(SystemExit) as stopped:
            run(app, [*arguments, "--home", str(home), "--json"])
        out, err = capsys.readouterr()
        assert PASSWORD not in out + err
        code = int(stopped.value.code or 0)
        return code, json.loads(out) if code == 0 else json.loads(err.strip().splitlines()[-1])["error"]

    return call


async def signs_in(home: Path, name: str, password: str) -> bool:
    async with open_coordinator(home) as coordinator:
        try:
            await coordinator.users.recognise(name, password, "", utc_now())
        except CoordinatorError as error:
            assert error.code == "login.refused"
            return False
        return True


async def offered(command: Command, *arguments: str, typed: bytes | None = None) -> tuple[int, dict[str, Any]]:
    """Commands start a loop of their own."""
    import asyncio

    return await asyncio.to_thread(command, *arguments, typed=typed)


async def test_the_first_administrator_is_made_here_with_a_password_of_their_own(home: Path, command: Command) -> None:
    assert (await offered(command, "user", "list"))[1]["users"] == []  # nobody comes with the installation
    typed = f"{PASSWORD}\n".encode()
    done = await offered(command, "user", "add", "Ada", "--role", "admin", "--password-stdin", typed=typed)
    assert done == (0, {"name": "Ada", "role": "admin"})
    assert await signs_in(home, "ada", PASSWORD)
    (row,) = (await offered(command, "user", "list"))[1]["users"]
    assert (row["name"], row["role"], row["state"]) == ("Ada", "admin", "active")
    assert set(row) == {"name", "role", "created", "state"}
    code, error = await offered(command, "user", "add", "ａda", "--role", "viewer", "--password-stdin", typed=typed)
    assert (code, error["code"]) == (5, "user.account_exists")
    assert await offered(command, "user", "role", "Ada", "viewer") == (0, {"name": "Ada", "role": "viewer"})
    assert (await offered(command, "user", "password", "Ada", "--password-stdin", typed=b"another long one\r\n"))[
        0
    ] == 0
    assert await signs_in(home, "Ada", "another long one") and not await signs_in(home, "Ada", PASSWORD)


@pytest.mark.parametrize(
    ("typed", "code", "error"),
    [
        (b"short\n", 3, "password.short"),
        (b"", 3, "password.short"),
        (b"x" * 300 + b"\n", 3, "password.long"),
        (b"password1234\n", 3, "password.guessable"),
        (b"Ada Lovelace\n", 3, "password.guessable"),
        (b"\xff\xfe\xff\xfe\xff\xfe\xff\xfe\xff\xfe\n", 2, "usage"),
    ],
)
def test_a_bad_password_makes_nobody(command: Command, typed: bytes, code: int, error: str) -> None:
    found = command("user", "add", "Ada Lovelace", "--role", "admin", "--password-stdin", typed=typed)
    assert (found[0], found[1]["code"]) == (code, error)
    assert command("user", "list")[1]["users"] == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["add", "ada"],
        ["add", "ada", "--role", "king", "--link"],
        ["add", "ada", "--role", "admin"],  # nobody to ask
        ["add", "ada", "--role", "admin", "--link", "--password-stdin"],
        ["add", "ada", "--link", "--approver", "medmesh-key1.x"],
        ["role", "ada", "king"],
    ],
    ids=" ".join,
)
def test_wrong_usage_makes_nobody(command: Command, arguments: list[str]) -> None:
    code, error = command("user", *arguments, typed=b"")
    assert (code, error["code"]) == (2, "usage")
    assert command("user", "list")[1]["users"] == []


@pytest.mark.parametrize("name", ["", " ada", "a\nb", "x" * 81, "a\u202eb"])
def test_names_that_people_cannot_read_are_refused(command: Command, name: str) -> None:
    code, error = command("user", "add", name, "--role", "viewer", "--link", "--url", "https://n")
    assert (code, error["code"]) == (3, "user.bad_name")


def test_a_link_needs_an_address_and_is_shown_once(home: Path, command: Command) -> None:
    code, error = command("user", "add", "nina", "--role", "uploader", "--link")
    assert (code, error["code"]) == (4, "coordinator.not_serving")
    assert command("user", "list")[1]["users"] == []
    (home / "coordinator" / "serving.json").write_text('{"url": "https://10.0.0.5:8765"}')
    code, made = command("user", "add", "nina", "--role", "uploader", "--link")
    assert code == 0 and made["link"].startswith("https://10.0.0.5:8765/password/") and made["expires"]
    assert command("user", "list")[1]["users"][0]["state"] == "no_password"
    again = command("user", "password", "nina", "--link", "--url", "https://m/")[1]
    assert again["link"].startswith("https://m/password/") and again["link"].rsplit("/", 1)[1] not in made["link"]


def test_a_person_who_leaves_loses_role_and_approval_at_once(home: Path, command: Command, tmp_path: Path) -> None:
    line = keys.public_line(keys.create(tmp_path / "anna.pem").public_key)
    code, made = command(
        "user", "add", "anna", "--role", "release_manager", "--approver", line, "--link", "--url", "https://n"
    )
    assert code == 0 and made["approvers"] == ["anna", "local"] and made["role"] == "release_manager"
    token = command("token", "create", "--name", "anna", "--role", "viewer")[1]
    code, left = command("user", "remove", "anna")
    assert code == 0 and left["removed"] and left["tokens_left"] == [token["id"]] and left["approvers"] == ["local"]
    listed = command("user", "list")[1]
    assert (listed["users"][0]["state"], listed["approvers"], listed["needed"]) == ("removed", ["local"], 1)
    code, error = command("user", "remove", "anna")
    assert (code, error["code"]) == (4, "user.account_unknown")
    assert command("user", "role", "anna", "admin")[1]["code"] == "user.account_unknown"
    assert command("user", "password", "anna", "--link", "--url", "https://n")[1]["code"] == "user.account_unknown"


def test_a_token_may_have_all_that_a_role_has(command: Command) -> None:
    made = command("token", "create", "--role", "uploader", "--scope", "job:any")[1]
    assert set(made["scopes"]) == RIGHTS[Role.UPLOADER] | {"job:any"}
    assert command("token", "create", "--name", "x")[0] == 2
    assert command("token", "create", "--scope", "everything")[0] == 2
