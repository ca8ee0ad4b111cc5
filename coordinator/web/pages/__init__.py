"""The pages that ``serve`` shows to people: one module and one template each."""

from __future__ import annotations

from coordinator.web import html
from coordinator.web.pages import (
    audit,
    datasets,
    display,
    federation,
    jobs,
    knowledge,
    models,
    networks,
    overview,
    releases,
    sites,
    tokens,
    upload,
    users,
    waiting,
)
from coordinator.web.pages.desk import Desk
from coordinator.web.pages.drifting import Drifting
from coordinator.web.pages.table import Page, shown

__all__ = ["Desk", "Drifting", "Page", "pages"]

_MODULES = (
    overview,
    sites,
    datasets,
    waiting,
    upload,
    jobs,
    models,
    releases,
    federation,
    networks,
    knowledge,
    users,
    tokens,
    audit,
)


def pages(desk: Desk) -> list[html.Page]:
    """Every row of the table."""
    rows = [*display.rows(), *(row for module in _MODULES for row in module.rows(desk))]
    return shown(rows, desk.config.name)
