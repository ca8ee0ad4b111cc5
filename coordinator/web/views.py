"""One request for a page: who asks, in which language, and how a template becomes an answer."""

from __future__ import annotations

import urllib.parse
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from coordinator.web import assets
from coordinator.web.forms import Form
from coordinator.web.rows import language
from coordinator.web.texts import texts
from coordinator.web.words import DONE, menu, tone_of, word
from protocols.access import Principal
from protocols.errors import Language, MedMeshError, table
from protocols.notice import NOTICE

LANGUAGE_COOKIE = "lang"
THEME_COOKIE = "theme"
THEMES = ("light", "dark")
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    )
)


class View:
    """A request for a page and all that its answer needs."""

    def __init__(self, request: Request, name: str, form: Form | None = None) -> None:
        self.request = request
        self.coordinator = name
        self.form = form or Form({})
        self.language: Language = language(request)
        self.texts = texts(self.language)

    @property
    def principal(self) -> Principal | None:
        """Who asks; None: nobody who is known."""
        found: Principal | None = getattr(self.request.state, "principal", None)
        return found

    @property
    def name(self) -> str:
        """Name of who asks."""
        return "" if self.principal is None else self.principal.name

    def may(self, right: str) -> bool:
        """Whether who asks may do this."""
        return self.principal is not None and self.principal.may(right)

    def query(self, name: str, default: str = "", most: int = 200) -> str:
        """A parameter of the address, cut to a sensible length."""
        return self.request.query_params.get(name, default)[:most]

    def linked(self, **changes: object) -> str:
        """The address's parameters with some changed, for links to other pages and orders of a list."""
        kept = {k: v for k, v in self.request.query_params.items() if k not in ("done", *changes)}
        return urllib.parse.urlencode(kept | {k: str(v) for k, v in changes.items()})

    def page(self) -> int:
        """Which page of a list is asked for, from 1."""
        text = self.query("page", "1", 6)
        return max(1, int(text)) if text.isascii() and text.isdecimal() else 1

    def render(self, template: str, status: int = 200, **values: Any) -> Response:
        """A page."""
        return Response(self.text(template, **values), status, media_type="text/html")

    def text(self, template: str, **values: Any) -> str:
        """A page, or a part of one, as text."""
        theme = self.request.cookies.get(THEME_COOKIE, "")
        return (
            _environment()
            .get_template(template)
            .render(
                view=self,
                t=self.texts.t,
                word=lambda kind: word(self.texts, kind),
                lang="zh-CN" if self.language == "zh" else "en",
                language=self.language,
                theme=theme if theme in THEMES else "",
                asset=assets.url,
                notice=NOTICE[self.language],
                csrf=str(getattr(self.request.state, "csrf", "")),
                path=self.request.url.path,
                here=_here(self.request),
                done=self.query("done", "", 40),
                version=_version(),
                **values,
            )
        )

    def problem(self, error: MedMeshError) -> Response:
        """An error as a page."""
        return self.render(
            "problem.html",
            error.http_status,
            code=error.code,
            message=error.message(self.language),
            remedy=error.remedy(self.language),
        )

    def to(self, path: str, **query: str) -> Response:
        """Go to another page of ours after something was done."""
        return RedirectResponse(path + (f"?{urllib.parse.urlencode(query)}" if query else ""), 303)


def when(time: str | datetime | None) -> str:
    """A time as people read it, to the minute, UTC."""
    if not time:
        return "—"
    try:
        moment = datetime.fromisoformat(time) if isinstance(time, str) else time
        return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M")
    except ValueError:
        return str(time)


def size(size_bytes: float | None) -> str:
    """A number of bytes as people read it."""
    if size_bytes is None:
        return "—"
    for unit in ("B", "kB", "MB", "GB"):
        if size_bytes < 1000:
            return f"{size_bytes:.0f} {unit}" if unit == "B" or size_bytes >= 100 else f"{size_bytes:.1f} {unit}"
        size_bytes /= 1000
    return f"{size_bytes:.1f} TB"


def full_name(site: str, node: str) -> str:
    """A node as people tell it from others of its site."""
    return node if site in ("", node) else f"{site} · {node}"


def why(code: str, language: Language) -> str:
    """The sentence of an error's code, where it says all by itself; else the code."""
    found = table().get(code)
    sentence = code if found is None else found.message[language]
    return code if "{" in sentence else sentence


def quoted(*parts: str) -> str:
    """A path of ours with names in it."""
    return "/" + "/".join(urllib.parse.quote(p, safe="@") for p in parts)


def pages_of(rows: Iterable[Any], page: int, each: int) -> tuple[list[Any], int, int]:
    """The rows of one page, that page's number, and how many pages there are."""
    all_rows = list(rows)
    count = max(1, -(-len(all_rows) // each))
    page = min(page, count)
    return all_rows[(page - 1) * each : page * each], page, count


def _here(request: Request) -> str:
    query = urllib.parse.urlencode([(k, v) for k, v in request.query_params.multi_items() if k != "done"])
    return request.url.path + (f"?{query}" if query else "")


@cache
def _version() -> str:
    return version("medmesh")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {
        "quoted": quoted,
        "when": when,
        "why": why,
        "size": size,
        "menu": menu,
        "tone_of": tone_of,
        "done_text": DONE.get,
    }
    return environment
