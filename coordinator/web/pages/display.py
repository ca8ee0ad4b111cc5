"""Language, colours, licences and the files that pages load."""

from __future__ import annotations

from starlette.responses import Response

from coordinator.access.forgery import own_path
from coordinator.errors import CoordinatorError
from coordinator.web import assets
from coordinator.web.pages.table import Page
from coordinator.web.views import LANGUAGE_COOKIE, THEME_COOKIE, THEMES, View

_YEAR_S = 365 * 24 * 3600


def rows() -> list[Page]:
    """The rows."""
    reason = "How a page looks is nobody's secret"
    return [
        Page("GET", "/static/{digest}/{name}", _static, public="Published files of others and their like"),
        Page("GET", "/licences", _licences, public="Licences are to be read by everybody"),
        Page("GET", "/display/language/{language}", _language, public=reason),
        Page("GET", "/display/theme/{theme}", _theme, public=reason),
    ]


async def _static(view: View) -> Response:
    return assets.serve(view.request)


async def _licences(view: View) -> Response:
    return view.render("licences.html", licences=assets.licences())


async def _language(view: View) -> Response:
    return _remember(view, LANGUAGE_COOKIE, view.request.path_params["language"], ("en", "zh"))


async def _theme(view: View) -> Response:
    return _remember(view, THEME_COOKIE, view.request.path_params["theme"], THEMES)


def _remember(view: View, cookie: str, value: str, known: tuple[str, ...]) -> Response:
    if value not in known:
        raise CoordinatorError("api.not_found")
    answer = view.to(own_path(view.query("to", "/", 2000), "/"))
    secure = view.request.url.scheme == "https"
    answer.set_cookie(cookie, value, _YEAR_S, path="/", secure=secure, httponly=True, samesite="lax")
    return answer
