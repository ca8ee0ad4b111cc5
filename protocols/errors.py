"""Errors with stable codes, and the one table that says what each code means to a person, a script and a peer.

The table is the set of TOML files in ``error_codes/``, one for each area. An entry gives a *kind*, from which the exit
code, HTTP status and websocket close code follow, and a message and remedy in Chinese and English with ``{placeholders}``.
Where HTTP has a status of its own for the matter, such as 413, the entry names it as ``http``.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Literal, Protocol, runtime_checkable

Language = Literal["zh", "en"]


@dataclass(frozen=True)
class Kind:
    """What a class of failures means outside the program."""

    exit_code: int
    http_status: int
    close_code: int  # RFC 6455 section 7.4


KINDS = {
    "usage": Kind(2, 400, 1007),
    "bad_input": Kind(3, 422, 1007),
    "not_found": Kind(4, 404, 1008),
    "refused": Kind(5, 403, 1008),
    "unreachable": Kind(6, 503, 1013),
    "defect": Kind(70, 500, 1011),
}


@dataclass(frozen=True)
class Meaning:
    """One row of the table: templates for ``str.format`` with the error's own parameters."""

    kind: Kind
    message: dict[Language, str]
    remedy: dict[Language, str]
    http_status: int


@cache
def table() -> dict[str, Meaning]:
    """Return every known code with its meaning."""
    rows: dict[str, Meaning] = {}
    for file in sorted(resources.files("protocols").joinpath("error_codes").iterdir(), key=lambda f: f.name):
        if not file.name.endswith(".toml"):
            continue
        for code, row in tomllib.loads(file.read_text("utf-8")).items():
            if code in rows:
                raise ValueError(f"error code {code} stands twice in the table")
            kind = KINDS[row["kind"]]
            rows[code] = Meaning(
                kind,
                {"zh": row["zh"][0], "en": row["en"][0]},
                {"zh": row["zh"][1], "en": row["en"][1]},
                row.get("http", kind.http_status),
            )
    return rows


@runtime_checkable
class InBoth(Protocol):
    """A text in both languages."""

    def of(self, language: Language, /) -> str:
        """The text of one language."""


class MedMeshError(Exception):
    """An expected failure. ``code`` is stable; ``details`` fill the table's sentence and must hold no secrets.

    A detail that is a sentence itself has ``of``, as ``coordinator.reports.document.Words``.
    """

    def __init__(self, code: str, **details: Any) -> None:
        super().__init__(code)
        self.code = code
        self.details = details

    @property
    def kind(self) -> Kind:
        """Exit code, HTTP status and close code of this failure."""
        return table()[self.code].kind

    @property
    def http_status(self) -> int:
        """Status of an HTTP answer that tells of this failure."""
        return table()[self.code].http_status

    def message(self, language: Language = "en") -> str:
        """One sentence: what went wrong, with which file or object."""
        return table()[self.code].message[language].format_map(self._filled(language))

    def remedy(self, language: Language = "en") -> str:
        """One sentence: what the reader can do about it."""
        return table()[self.code].remedy[language].format_map(self._filled(language))

    def _filled(self, language: Language) -> dict[str, Any]:
        return {k: v.of(language) if isinstance(v, InBoth) else v for k, v in self.details.items()}

    def document(self, language: Language = "en") -> dict[str, dict[str, str]]:
        """The failure as commands and HTTP answers print it."""
        return {
            "error": {"code": self.code, "message": self.message(language), "remedy": self.remedy(language)},
        }

    def __str__(self) -> str:
        return f"{self.message()} [{self.code}]"


class ProtocolError(MedMeshError):
    """Something that another party sent breaks an agreed format or rule."""
