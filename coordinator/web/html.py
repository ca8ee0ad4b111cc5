"""Pages for people: rendering, forms, and what browsers are told about them."""

from __future__ import annotations

import base64
import hashlib
import urllib.parse
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from coordinator.access.forgery import SAFE
from coordinator.errors import CoordinatorError
from coordinator.web import assets
from coordinator.web.bodies import need_type, read_body
from coordinator.web.observing import CODE
from coordinator.web.rows import Row, language, refusal_headers
from protocols.errors import MedMeshError
from protocols.notice import NOTICE

FORM: Final = "application/x-www-form-urlencoded"
MOST_FORM_BYTES: Final = 64 * 1024
_MOST_FIELDS: Final = 200
_TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Page(Row):
    """A row for browsers: refusals are pages, and who has not signed in is led to where one does."""

    async def csrf_sent(self, request: Request) -> str:
        """From htmx as a header, from plain forms as the hidden field ``csrf``."""
        return await super().csrf_sent(request) or (await read_form(request)).get("csrf", "")

    def refused(self, request: Request, error: MedMeshError) -> Response:
        """A page that says what to do."""
        request.scope[CODE] = error.code
        if error.code in ("access.missing", "access.session"):
            return _to_sign_in(request)
        return refused_page(request, error)

    def guarded(self, answer: Response) -> Response:
        """No page is kept, framed, or given anything from elsewhere."""
        answer.headers.setdefault("Cache-Control", "no-store")
        answer.headers["Content-Security-Policy"] = content_security_policy()
        # Not no-referrer: under that, browsers send ``Origin: null`` with our own forms.
        answer.headers["Referrer-Policy"] = "same-origin"
        answer.headers["Cross-Origin-Opener-Policy"] = "same-origin"
        answer.headers["X-Frame-Options"] = "DENY"
        return super().guarded(answer)


def render(request: Request, template: str, status: int = 200, **values: Any) -> Response:
    """A page in the reader's language. Templates know ``t(en, zh)``, ``lang``, ``principal`` and ``csrf``."""
    lang = language(request)
    known = {
        "t": lambda en, zh: zh if lang == "zh" else en,
        "lang": lang,
        "principal": getattr(request.state, "principal", None),
        "csrf": getattr(request.state, "csrf", ""),
        "notice": NOTICE[lang],
        "other": "?" + request.url.include_query_params(lang="en" if lang == "zh" else "zh").query,
    }
    answer = HTMLResponse(_environment().get_template(template).render(known | values), status)
    if request.query_params.get("lang") == lang:
        answer.set_cookie("lang", lang, max_age=365 * 86400, secure=True, httponly=True, samesite="lax")
    answer.headers["Content-Language"] = lang
    return answer


def refused_page(request: Request, error: MedMeshError) -> Response:
    """A refusal in words."""
    lang = language(request)
    answer = render(request, "refused.html", error.http_status, message=error.message(lang), remedy=error.remedy(lang))
    answer.headers.update(refusal_headers(error))
    return answer


async def read_form(request: Request) -> dict[str, str]:
    """The fields of a plain form; of a name that stands twice the last.

    Raises:
        CoordinatorError: ``api.…`` or ``upload.malformed``.
    """
    form: dict[str, str] | None = getattr(request.state, "form", None)
    if form is None:
        need_type(request, FORM)
        data = await read_body(request, MOST_FORM_BYTES)
        try:
            pairs = urllib.parse.parse_qsl(
                data.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_MOST_FIELDS
            )
        except ValueError as error:
            raise CoordinatorError("upload.malformed", field="form") from error
        form = request.state.form = dict(pairs)
    return form


@cache
def content_security_policy() -> str:
    """Nothing from elsewhere, no inline script; the one inline style sheet by its digest."""
    digest = base64.b64encode(hashlib.sha256(_style().encode()).digest()).decode()
    parts = {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": f"'self' 'sha256-{digest}'",
        "img-src": "'self' data:",
        "font-src": "'self'",
        "connect-src": "'self'",
        "form-action": "'self'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in parts.items())


def _to_sign_in(request: Request) -> Response:
    """Back to the same page afterwards; what a form held is lost, which the sign-in page says."""
    lost = "/login?ended=1"
    if "hx-request" in request.headers:
        return Response(status_code=401, headers={"HX-Redirect": lost, "WWW-Authenticate": "Bearer"})
    if request.method not in SAFE:
        return RedirectResponse(lost, 303)
    asked = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return RedirectResponse("/login?" + urllib.parse.urlencode({"next": asked}), 303)


def _style() -> str:
    return (_TEMPLATES / "plain.css").read_text("utf-8").strip()


@cache
def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined, auto_reload=False
    )
    made.globals |= {"plain_style": _style(), "asset": assets.url}
    return made
