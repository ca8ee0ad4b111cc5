"""What the app itself refuses or lacks; sentences stand in ``protocols/error_codes/ui.toml``."""

from __future__ import annotations

from edge_node.errors import EdgeError


class UiError(EdgeError):
    """The app cannot do this here; the code says why and what to do."""
