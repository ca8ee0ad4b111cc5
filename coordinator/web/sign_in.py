"""Signing in and out, choosing a password, one's own account."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from coordinator.access.forgery import csrf_token, own_path, right_token
from coordinator.access.passwords import LEAST_CHARACTERS
from coordinator.access.sessions import Sessions
from coordinator.access.users import Known, Users
from coordinator.errors import CoordinatorError
from coordinator.web.gate import Gate
from coordinator.web.html import Page, read_form, render
from coordinator.web.rows import COOKIE, language, refusal_headers
from protocols import access
from protocols.access import Principal
from protocols.errors import MedMeshError

FORM_COOKIE: Final = (
    "__Host-medmesh-form"  # of those who have not signed in: ties a form to the browser that it was shown in
)
START_PAGE: Final = "/"
_SECRET = re.compile(r"[A-Za-z0-9_-]{43}")


@dataclass(frozen=True)
class SignIn:
    """The pages' handlers."""

    users: Users
    sessions: Sessions
    gate: Gate
    clock: Callable[[], datetime]

    async def login_page(self, request: Request) -> Response:
        """The form."""
        ended = CoordinatorError("access.session") if "ended" in request.query_params else None
        return self._public_form(request, "login.html", ended, next=self._next(request.query_params.get("next", "")))

    async def login(self, request: Request) -> Response:
        """Right name and password: a new session, whatever cookie the browser brought."""
        form = await self._public_sent(request)
        target = self._next(form.get("next", ""))
        address = request.client.host if request.client else ""
        try:
            person = await self.users.recognise(form.get("name", ""), form.get("password", ""), address, self.clock())
        except CoordinatorError as error:
            return self._public_form(request, "login.html", error, next=target)
        return await self._signed_in(request, person, target)

    async def logout(self, request: Request, _: Principal) -> Response:
        """The session ends here and in the store."""
        await self.sessions.end(request.cookies.get(COOKIE, ""), self.clock())
        answer = RedirectResponse("/login", 303)
        _forget(answer, COOKIE)
        answer.headers["Clear-Site-Data"] = '"cache"'
        return answer

    async def password_page(self, request: Request) -> Response:
        """What a link shows; looking does not spend it."""
        name = await self.users.linked(self._secret(request), self.clock())
        return self._public_form(request, "password.html", name=name, least=LEAST_CHARACTERS)

    async def choose_password(self, request: Request) -> Response:
        """The link's holder has chosen."""
        form = await self._public_sent(request)
        secret = self._secret(request)
        name = await self.users.linked(secret, self.clock())
        try:
            await self.users.choose(secret, _twice(form), self.clock())
        except CoordinatorError as error:
            if error.code == "password.link":
                raise
            return self._public_form(request, "password.html", error, name=name, least=LEAST_CHARACTERS)
        return RedirectResponse("/login", 303)

    async def account_page(self, request: Request, principal: Principal) -> Response:
        """Who one is, and what one may."""
        return self._account(request, principal)

    async def change_password(self, request: Request, principal: Principal) -> Response:
        """A new password for who knows the old one; all sessions end, and this browser gets a new one."""
        if principal.kind != "user":
            raise CoordinatorError("access.denied", rights="user")
        form = await read_form(request)
        address = request.client.host if request.client else ""
        try:
            await self.users.recognise(principal.name, form.get("current", ""), address, self.clock())
            person = await self.users.set_password(principal.name, _twice(form))
        except CoordinatorError as error:
            return self._account(request, principal, error)
        return await self._signed_in(request, person, START_PAGE)

    async def _signed_in(self, request: Request, person: Known, target: str) -> Response:
        if (before := request.cookies.get(COOKIE)) is not None:
            await self.sessions.end(before, self.clock())
        secret = await self.sessions.open(person, self.clock())
        answer = RedirectResponse(target, 303)
        _set(answer, COOKIE, secret)
        _forget(answer, FORM_COOKIE)
        return answer

    def _account(self, request: Request, principal: Principal, error: MedMeshError | None = None) -> Response:
        values = {"rights": sorted(principal.rights), "least": LEAST_CHARACTERS, **_told(request, error)}
        answer = render(request, "account.html", error.http_status if error else 200, **values)
        answer.headers.update(refusal_headers(error) if error else {})
        return answer

    def _public_form(
        self, request: Request, template: str, error: MedMeshError | None = None, **values: object
    ) -> Response:
        """A form for somebody unknown, with a secret in a cookie and its token in the form."""
        secret = request.cookies.get(FORM_COOKIE, "")
        new = not _SECRET.fullmatch(secret)
        secret = secrets.token_urlsafe(32) if new else secret
        told = {**values, **_told(request, error), "csrf": csrf_token(secret)}
        answer = render(request, template, error.http_status if error else 200, **told)
        answer.headers.update(refusal_headers(error) if error else {})
        if new:
            _set(answer, FORM_COOKIE, secret)
        return answer

    async def _public_sent(self, request: Request) -> dict[str, str]:
        self.gate.check_origin(request)
        form = await read_form(request)
        secret = request.cookies.get(FORM_COOKIE, "")
        if not secret or not right_token(form.get("csrf", ""), csrf_token(secret)):
            raise CoordinatorError("access.csrf")
        return form

    @staticmethod
    def _next(path: str) -> str:
        return own_path(path, START_PAGE)

    @staticmethod
    def _secret(request: Request) -> str:
        secret = str(request.path_params["secret"])
        if not _SECRET.fullmatch(secret):
            raise CoordinatorError("password.link")
        return secret


def pages(users: Users, sessions: Sessions, gate: Gate, clock: Callable[[], datetime]) -> list[Page]:
    """The rows."""
    made = SignIn(users, sessions, gate, clock)
    before, link = "Who signs in is not known yet", "The link's secret is in the address"
    anybody = frozenset({access.VIEW})
    return [
        Page("GET", "/login", made.login_page, "Sign in", public=before),
        Page("POST", "/login", made.login, "Sign in", public=before),
        Page("POST", "/logout", made.logout, "Sign out", rights=anybody),
        Page("GET", "/password/{secret}", made.password_page, "Choose a password", public=link),
        Page("POST", "/password/{secret}", made.choose_password, "Choose a password", public=link),
        Page("GET", "/account", made.account_page, "One's own account", rights=anybody),
        Page("POST", "/account", made.change_password, "Change one's password", rights=anybody),
    ]


def _twice(form: dict[str, str]) -> str:
    chosen = form.get("password", "")
    if chosen != form.get("again", ""):
        raise CoordinatorError("password.differ")
    return chosen


def _told(request: Request, error: MedMeshError | None) -> dict[str, str]:
    lang = language(request)
    return {"message": error.message(lang) if error else "", "remedy": error.remedy(lang) if error else ""}


def _set(answer: Response, name: str, secret: str) -> None:
    answer.set_cookie(name, secret, path="/", secure=True, httponly=True, samesite="lax")


def _forget(answer: Response, name: str) -> None:
    answer.delete_cookie(name, path="/", secure=True, httponly=True, samesite="lax")
