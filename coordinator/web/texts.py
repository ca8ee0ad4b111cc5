"""The pages' sentences in the reader's language, by gettext. English stands in the source; ``locale/`` holds the rest."""

from __future__ import annotations

import gettext
from functools import cache
from pathlib import Path
from typing import Any

from protocols.errors import Language

LOCALE = Path(__file__).parent / "locale"
DOMAIN = "dashboard"


class Texts:
    """Translations into one language."""

    def __init__(self, language: Language) -> None:
        self.language: Language = language
        self._catalogue = gettext.translation(DOMAIN, LOCALE, [language])

    def t(self, message: str, **values: Any) -> str:
        """The sentence, with ``{placeholders}`` filled in."""
        found = self._catalogue.gettext(message)
        return found.format_map(values) if values else found


@cache
def texts(language: Language) -> Texts:
    """The one catalogue of a language."""
    return Texts(language)


def mark(message: str) -> str:
    """Mark a sentence for translation where it is not translated yet."""
    return message
