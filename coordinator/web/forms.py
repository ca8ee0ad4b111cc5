"""What a browser sends: small forms, bounded, and only from our own pages."""

from __future__ import annotations

import urllib.parse

from starlette.requests import Request

from coordinator.errors import CoordinatorError
from coordinator.web.bodies import read_body

MAX_FORM_BYTES = 64 * 1024
_MOST_FIELDS = 200
_FORM = "application/x-www-form-urlencoded"


class Form:
    """The fields of a form. Text is as it was sent, without spaces at its ends."""

    def __init__(self, fields: dict[str, list[str]]) -> None:
        self._fields = fields

    def text(self, name: str, most: int = 500, needed: bool = False) -> str:
        """A text field; control characters other than line ends are refused.

        Raises:
            CoordinatorError: ``web.field``.
        """
        value = (self._fields.get(name) or [""])[-1].replace("\r\n", "\n").strip()
        plain = value.replace("\n", "").replace("\t", "").isprintable()
        if len(value) > most or (needed and not value) or not plain:
            raise CoordinatorError("web.field", field=name, limit=most)
        return value

    def number(self, name: str, low: int, high: int) -> int:
        """A whole number.

        Raises:
            CoordinatorError: ``web.number``.
        """
        value = self.text(name, 20)
        if not (value.isascii() and value.isdecimal() and low <= int(value) <= high):
            raise CoordinatorError("web.number", field=name, low=low, high=high)
        return int(value)

    def on(self, name: str) -> bool:
        """Whether a box is ticked."""
        return bool(self._fields.get(name))

    def words(self, name: str, most: int = 500) -> tuple[str, ...]:
        """A list that was written with commas."""
        parts = self.text(name, most).replace("，", ",").replace("、", ",").split(",")
        return tuple(p.strip() for p in parts if p.strip())

    def all(self, name: str) -> tuple[str, ...]:
        """Every value of a field that may stand several times."""
        return tuple(v for v in self._fields.get(name, ()) if len(v) <= MAX_FORM_BYTES)


async def read_form(request: Request) -> Form:
    """The form that a request carries; read once.

    Raises:
        CoordinatorError: ``api.…`` or ``web.form``.
    """
    known: Form | None = getattr(request.state, "fields", None)
    if known is None:
        known = request.state.fields = await _read(request)
    return known


async def _read(request: Request) -> Form:
    if request.headers.get("content-type", "").split(";")[0].strip().lower() != _FORM:
        raise CoordinatorError("api.media_type", wanted=_FORM)
    body = await read_body(request, MAX_FORM_BYTES)
    try:
        fields = urllib.parse.parse_qs(
            body.decode("ascii"), keep_blank_values=True, encoding="utf-8", errors="strict", max_num_fields=_MOST_FIELDS
        )
    except (UnicodeError, ValueError) as error:
        raise CoordinatorError("web.form") from error
    return Form(fields)
