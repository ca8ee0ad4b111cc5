"""The pages' one table: each row is an address, whom it serves and what answers. Deny by default."""

from __future__ import annotations

import errno
import logging
import traceback
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from coordinator.errors import CoordinatorError
from coordinator.web.forms import check_csrf, check_origin, read_form
from coordinator.web.views import HEADERS, View
from protocols.errors import MedMeshError

_log = logging.getLogger("medmesh.web")
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
        streams: the handler reads the body itself; the session's token comes as ``csrf`` in the address.
    """

    method: Literal["GET", "POST"]
    path: str
    handler: Handler
    rights: frozenset[str] | None = None
    public: str = ""
    streams: bool = False

    def __post_init__(self) -> None:
        """A row must say whom it serves."""
        if (self.rights is None) == (not self.public) or self.rights == frozenset():
            raise ValueError(f"{self.method} {self.path} needs rights, or a reason to be public")


def routes(pages: Sequence[Page], name: str) -> list[Route]:
    """Starlette's routes; ``name`` is the coordinator's, which every page shows."""
    by_path: dict[str, dict[str, Page]] = {}
    for page in pages:
        if by_path.setdefault(page.path, {}).setdefault(page.method, page) is not page:
            raise ValueError(f"{page.method} {page.path} stands twice")
    return [Route(path, _endpoint(rows, name), methods=list(rows)) for path, rows in by_path.items()]


def _endpoint(rows: dict[str, Page], name: str) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        page = rows["GET" if request.method == "HEAD" else request.method]
        try:
            answer = await _call(page, request, name)
        except MedMeshError as error:
            answer = View(request, name).problem(error)
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            answer = _full(request, name) if full else _defect(request, page, name, error)
        except HTTPException:
            raise
        except Exception as error:
            answer = _defect(request, page, name, error)
        for header, value in HEADERS.items():
            answer.headers.setdefault(header, value)
        return answer

    return endpoint


async def _call(page: Page, request: Request, name: str) -> Response:
    view = View(request, name)
    if page.rights is not None:
        if view.principal is None:
            raise CoordinatorError("web.sign_in")
        if not page.rights & view.principal.rights:
            raise CoordinatorError("web.forbidden", rights=" / ".join(sorted(page.rights)))
    if page.streams:
        check_origin(request)
        check_csrf(request, request.query_params.get("csrf", ""))
    elif page.method == "POST":
        view = View(request, name, await read_form(request))
    return await page.handler(view)


def _full(request: Request, name: str) -> Response:
    return View(request, name).problem(CoordinatorError("storage.full", path="the coordinator's data"))


def _defect(request: Request, page: Page, name: str, error: Exception) -> Response:
    """A fault of ours. The log names the route and the place, never what the sender wrote."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    _log.error("%s %s: %s at %s:%s", page.method, page.path, type(error).__name__, frame.filename, frame.lineno)
    return View(request, name).problem(CoordinatorError("defect", fault=type(error).__name__))
