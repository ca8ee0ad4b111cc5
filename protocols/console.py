"""The face that the three commands share: options, JSON, language, progress and errors.

A command is a plain function whose first parameter is a ``Console``. ``command`` adds ``--json``, ``--home`` and ``--lang``.
"""

from __future__ import annotations

import asyncio
import errno
import functools
import inspect
import itertools
import json
import locale
import os
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import click
import platformdirs
import typer
from rich.console import Console as RichConsole
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from protocols.errors import Language, MedMeshError
from protocols.notice import NOTICE

__all__ = ["NOTICE", "Console", "command", "default_home", "default_language", "fail", "from_os_error", "run"]


@dataclass
class Console:
    """Where a command reads its common options and leaves its answer."""

    home: Path
    json: bool
    language: Language
    err: RichConsole = field(default_factory=lambda: RichConsole(stderr=True, highlight=False))
    out: RichConsole = field(default_factory=lambda: RichConsole(highlight=False))

    def t(self, en: str, zh: str) -> str:
        """Choose the text of the user's language."""
        return zh if self.language == "zh" else en

    def say(self, en: str, zh: str) -> None:
        """Tell a person something on the way; never part of the answer."""
        self.err.print(self.t(en, zh), soft_wrap=True, markup=False)

    def answer(self, document: dict[str, Any], human: Callable[[], None] | None = None) -> None:
        """Print the command's one answer: the document with ``--json``, else what ``human`` prints."""
        if self.json or human is None:
            sys.stdout.write(json.dumps(document, ensure_ascii=False, indent=None if self.json else 2) + "\n")
            sys.stdout.flush()
        else:
            human()

    def line(self, en: str, zh: str) -> None:
        """Print one line of a human answer on stdout."""
        self.out.print(self.t(en, zh), soft_wrap=True, markup=False)

    def table(self, headings: list[str], rows: list[list[Any]], title: str | None = None) -> None:
        """Print a small table on stdout; in words where it has no rows."""
        if not rows:
            self.line(f"{title}: none." if title else "None.", f"{title}：无。" if title else "无。")
            return
        table = Table(title=title, title_justify="left")
        for heading in headings:
            table.add_column(heading, overflow="fold")
        for row in rows:
            table.add_row(*(Text(str(cell)) for cell in row))  # names are data, never markup
        self.out.print(table)

    @contextmanager
    def progress(self, en: str, zh: str, total: int | None) -> Iterator[Callable[..., None]]:
        """Show progress of one thing on stderr; yields ``advance(done, total)``."""
        with self.steps({"": (en, zh)}) as advance:
            yield lambda done, known=total: advance("", done, known)

    @contextmanager
    def steps(self, parts: dict[str, tuple[str, str]]) -> Iterator[Callable[[str, int, int | None], None]]:
        """Progress of several parts, named in both languages; yields ``advance(part, done, total)``.

        A bar for each on a terminal, else a line at the start, at every fifth and at the end.
        """
        labels = {part: self.t(en, zh) for part, (en, zh) in parts.items()}
        if self.err.is_terminal:
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            with Progress(*columns, console=self.err) as bars:
                tasks: dict[str, TaskID] = {}

                def draw(part: str, done: int, total: int | None) -> None:
                    if part not in tasks:
                        tasks[part] = bars.add_task(labels[part], total=total)
                    bars.update(tasks[part], completed=done, total=total)

                yield draw
            return
        shown: dict[str, int] = {}

        def write(part: str, done: int, total: int | None) -> None:
            fifth = done * 5 // total if total else 0
            if fifth > shown.get(part, -1):
                shown[part] = fifth
                self.err.print(f"{labels[part]}: {done}/{total or '?'}", markup=False, soft_wrap=True)

        yield write


def default_language() -> Language:
    """Chinese where the locale is Chinese, else English."""
    name = os.environ.get("LC_ALL") or os.environ.get("LC_MESSAGES") or os.environ.get("LANG") or ""
    name = name or (locale.getlocale()[0] or "")
    return "zh" if name.lower().startswith(("zh", "chinese")) else "en"


def default_home() -> Path:
    """``$MEDMESH_HOME``, else the platform's data folder for MedMesh."""
    return Path(os.environ.get("MEDMESH_HOME") or platformdirs.user_data_dir("medmesh", appauthor=False))


_INTERRUPTED = 130
_COMMON = (
    inspect.Parameter(
        "json_",
        inspect.Parameter.KEYWORD_ONLY,
        default=typer.Option(False, "--json", help="One JSON document on stdout · 以 JSON 输出"),
        annotation=bool,
    ),
    inspect.Parameter(
        "home",
        inspect.Parameter.KEYWORD_ONLY,
        default=typer.Option(None, "--home", help="Data folder · 数据目录 (default: $MEDMESH_HOME)"),
        annotation=Path | None,
    ),
    inspect.Parameter(
        "lang",
        inspect.Parameter.KEYWORD_ONLY,
        default=typer.Option(None, "--lang", help="zh | en"),
        annotation=str | None,
    ),
)


def command(app: typer.Typer, name: str | None = None, **options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Register a function (plain or async) taking a ``Console`` first as a command of ``app``."""

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        signature = inspect.signature(function, eval_str=True)
        own = list(signature.parameters.values())[1:]

        @functools.wraps(function)
        def run(**arguments: Any) -> None:
            language = arguments.pop("lang") or default_language()
            if language not in ("zh", "en"):
                raise click.BadParameter("--lang takes zh or en")
            home = (arguments.pop("home") or default_home()).expanduser().absolute()
            console = Console(home=home, json=arguments.pop("json_"), language=language)
            result = function(console, **arguments)
            if inspect.isawaitable(result):
                asyncio.run(_finish(result))

        parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own]
        run.__signature__ = inspect.Signature([*parameters, *_COMMON])  # type: ignore[attr-defined]
        run.__annotations__ = {p.name: p.annotation for p in [*parameters, *_COMMON]}
        app.command(name, help=inspect.getdoc(function), **options)(run)
        return function

    return register


async def _finish(result: Awaitable[Any]) -> None:
    await result


def run(app: typer.Typer, arguments: list[str] | None = None) -> NoReturn:
    """Run a command line and leave the process with the contract's exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        code = app(args=arguments, standalone_mode=False)
        if code == _INTERRUPTED:  # Typer turns Ctrl-C into this value instead of letting it through
            fail(MedMeshError("interrupted"), arguments)
        sys.exit(code if isinstance(code, int) else 0)
    except MedMeshError as error:
        fail(error, arguments)
    except (click.exceptions.NoArgsIsHelpError, click.exceptions.Exit) as stop:
        sys.exit(getattr(stop, "exit_code", 0) or 0)
    except click.ClickException as error:
        fail(MedMeshError("usage", problem=error.format_message()), arguments)
    except (KeyboardInterrupt, click.Abort):
        fail(MedMeshError("interrupted"), arguments)
    except OSError as error:
        if os.environ.get("MEDMESH_DEBUG"):
            raise
        fail(from_os_error(error), arguments)
    except Exception as error:
        if os.environ.get("MEDMESH_DEBUG"):
            raise
        fail(MedMeshError("defect", fault=type(error).__name__), arguments)


def from_os_error(error: OSError) -> MedMeshError:
    """What the operating system refused, as an error with a code."""
    path = error.filename or "…"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return MedMeshError("storage.full", path=path)
    if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
        return MedMeshError("storage.not_writable", path=path)
    if error.errno in (errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ELOOP, errno.ENAMETOOLONG):
        return MedMeshError("file.wrong_kind", path=path)
    if error.errno == errno.ENOENT:
        return MedMeshError("file.not_found", path=path)
    return MedMeshError("defect", fault=f"{type(error).__name__} {errno.errorcode.get(error.errno or 0, '')}".strip())


def fail(error: MedMeshError, arguments: list[str]) -> NoReturn:
    """Print a failure on stderr, as JSON where ``--json`` was asked for, and exit with its code."""
    chosen = next((b for a, b in itertools.pairwise(arguments) if a == "--lang"), None)
    chosen = chosen or next((a[7:] for a in arguments if a.startswith("--lang=")), None)
    language: Language = "zh" if (chosen or default_language()) == "zh" else "en"
    if "--json" in arguments:
        sys.stderr.write(json.dumps(error.document(language), ensure_ascii=False) + "\n")
    else:
        label = "错误" if language == "zh" else "Error"
        sys.stderr.write(f"{label} [{error.code}]: {error.message(language)}\n{error.remedy(language)}\n")
    sys.stderr.flush()
    sys.exit(error.kind.exit_code)
