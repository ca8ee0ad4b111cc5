"""Collect the sentences of the app and of the dashboard, merge them into the catalogues and compile those.

    .venv/bin/python tools/ui_messages.py

Needs babel (the ``dev`` extra). English is its own translation; what zh lacks is listed and has to be written by hand.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

from babel.messages import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

ROOT = Path(__file__).resolve().parent.parent
APP = ROOT / "edge_node" / "ui"
DASHBOARD = ROOT / "coordinator" / "web"
DOMAINS = {APP: "medmesh", DASHBOARD: "dashboard"}
# The sign-in pages say everything in both languages themselves.
OWN = [(f"templates/{name}.html", "ignore") for name in ("account", "login", "password", "plain", "refused")]
METHODS = [*OWN, ("**.py", "python"), ("**/templates/**.html", "jinja2"), ("templates/**.html", "jinja2")]
KEYWORDS = {"t": None, "mark": None, "n": (1, 2)}
LANGUAGES = ("en", "zh")


def sentences(source: Path = APP) -> Catalog:
    """Every sentence in the source."""
    catalogue = Catalog(project="MedMesh")
    found = extract_from_dir(
        str(source),
        method_map=METHODS,
        keywords=KEYWORDS,
        directory_filter=None,
        options_map={name: {"trimmed": "true", "silent": "false"} for name, kind in METHODS if kind == "jinja2"},
    )
    for _, _, message, _, _ in sorted(found, key=lambda item: str(item[2])):
        catalogue.add(message)
    return catalogue


def po_path(language: str, source: Path = APP) -> Path:
    """Where a language's catalogue is."""
    return source / "locale" / language / "LC_MESSAGES" / f"{DOMAINS[source]}.po"


def merged(language: str, template: Catalog, source: Path = APP) -> Catalog:
    """The language's catalogue with exactly the present sentences."""
    path = po_path(language, source)
    known = read_po(BytesIO(path.read_bytes()), locale=language) if path.exists() else Catalog(locale=language)
    fresh = Catalog(locale=language, project="MedMesh", fuzzy=False)
    for message in template:
        if message.id:
            if language == "en":
                fresh.add(message.id, message.id)
            else:
                had = known.get(message.id)
                fresh.add(message.id, had.string if had else "")
    fresh.creation_date = fresh.revision_date = datetime(2026, 1, 1, tzinfo=UTC)  # the same bytes whenever it is run
    return fresh


def compiled(catalogue: Catalog) -> bytes:
    """The form that gettext reads."""
    buffer = BytesIO()
    write_mo(buffer, catalogue)
    return buffer.getvalue()


def missing(catalogue: Catalog) -> list[str]:
    """Sentences without a translation."""
    empty = [m for m in catalogue if m.id and (not m.string or not all(m.string if m.pluralizable else [m.string]))]
    return [str(m.id) for m in empty]


def main() -> None:
    """Update and compile all catalogues."""
    for source in DOMAINS:
        template = sentences(source)
        for language in LANGUAGES:
            catalogue = merged(language, template, source)
            path = po_path(language, source)
            path.parent.mkdir(parents=True, exist_ok=True)
            buffer = BytesIO()
            write_po(buffer, catalogue, width=120, omit_header=False)
            path.write_bytes(buffer.getvalue())
            path.with_suffix(".mo").write_bytes(compiled(catalogue))
            lacking = missing(catalogue)
            told = f"{source.parent.name}, {language}: {len(catalogue)} sentences, {len(lacking)} without translation\n"
            sys.stdout.write(told + "".join(f"  {message}\n" for message in lacking))


if __name__ == "__main__":
    main()
