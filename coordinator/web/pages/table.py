"""What a page's row says; rights, forms and refusals are judged as for every row of the API."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from starlette.requests import Request
from starlette.responses import Response

from coordinator.web import html
from coordinator.web.following import last_word
from coordinator.web.forms import read_form
from coordinator.web.gate import EVENTS
from coordinator.web.observing import CODE
from coordinator.web.views import POLICY, View
from protocols.access import Principal
from protocols.errors import MedMeshError

Handler = Callable[[View], Awaitable[Response]]


@dataclass(frozen=True)
class Page:
    """One address with one method.

    Attributes:
        method: GET answers HEAD too; POST carries a form from one of our pages.
        path: with ``{name}``.
        handler: what answers.
        rights: any of them is enough; None: everybody may, for the reason that ``public`` states.
        public: why nobody needs to sign in.
        streams: the handler reads the body itself; the token against forgery comes as ``csrf`` in the address.
    """

    method: Literal["GET", "POST"]
    path: str
    handler: Handler
    rights: frozenset[str] | None = None
    public: str = ""
    streams: bool = False


@dataclass(frozen=True)
class Shown(html.Page):
    """A page as a row."""

    coordinator: str = field(kw_only=True)  # name, which every page shows
    streams: bool = field(default=False, kw_only=True)

    async def csrf_sent(self, request: Request) -> str:
        """A header from htmx, the hidden field of a form, or the address where the body is read later."""
        if header := request.headers.get("x-csrf-token", ""):
            return header
        if self.streams:
            return request.query_params.get("csrf", "")
        return (await read_form(request)).text("csrf")

    def refused(self, request: Request, error: MedMeshError) -> Response:
        """A page that says what to do; who is not signed in is led to where one does."""
        if error.code in ("access.missing", "access.session"):
            if EVENTS not in request.headers.get("accept", ""):
                return super().refused(request, error)
            request.scope[CODE] = error.code
            return last_word(View(request, self.coordinator).text("ended.html"))
        return View(request, self.coordinator).problem(error)

    def guarded(self, answer: Response) -> Response:
        """Nothing inline, nothing from elsewhere."""
        guarded = super().guarded(answer)
        guarded.headers["Content-Security-Policy"] = POLICY
        return guarded


def shown(pages: Sequence[Page], name: str) -> list[html.Page]:
    """The rows of pages; ``name`` is the coordinator's."""
    return [_row(page, name) for page in pages]


def _row(page: Page, name: str) -> Shown:
    async def answer(request: Request) -> Response:
        form = await read_form(request) if page.method == "POST" and not page.streams else None
        return await page.handler(View(request, name, form))

    async def allowed(request: Request, _: Principal) -> Response:
        return await answer(request)

    return Shown(
        page.method,
        page.path,
        answer if page.rights is None else allowed,
        "A page for people",
        rights=page.rights,
        public=page.public,
        coordinator=name,
        streams=page.streams,
    )
