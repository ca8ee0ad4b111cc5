"""Write the next migration from what the tables say and the newest migration does not yet.

Run ``.venv/bin/python tools/new_migration.py "federated runs keep their seed"`` after changing ``coordinator/store/tables.py``,
read what it wrote, and correct it: renames and moved data are not seen by a comparison.
"""

from __future__ import annotations

import re
import sys

from alembic import command
from sqlalchemy import create_engine

from coordinator.store import schema


def main() -> None:
    """Compare an empty database at the newest revision with the metadata."""
    text = " ".join(sys.argv[1:]).strip()
    if not text:
        sys.exit('usage: tools/new_migration.py "what changes"')
    number = f"{int(schema.head()) + 1:04d}" if schema.revisions() else "0001"
    slug = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")[:40]
    with create_engine("sqlite://").begin() as connection:
        config = schema.configuration(connection)
        config.set_main_option("file_template", f"%%(rev)s_{slug}")
        if schema.revisions():
            command.upgrade(config, "head")
        command.revision(config, message=text[0].upper() + text[1:], rev_id=number, autogenerate=True)


if __name__ == "__main__":
    main()
