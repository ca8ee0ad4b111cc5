"""Whether a site takes part now. Decides only."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from edge_node.errors import EdgeError
from edge_node.federation.store import Consent
from edge_node.transfer.window import Window


def require(disease: str, consents: Sequence[Consent], local: datetime, used_bytes: int) -> None:
    """Let a question through, or say why not.

    Args:
        disease: that it is about.
        consents: what the site takes part in.
        local: time where this machine stands.
        used_bytes: what runs cost the line in this month.

    Raises:
        EdgeError: ``federation.not_consented`` or ``federation.not_now``.
    """
    consent = next((c for c in consents if c.disease == disease), None)
    if consent is None:
        raise EdgeError("federation.not_consented", disease=disease)
    is_closed = bool(consent.window) and Window.parse(consent.window).opens_in_s(local) > 0
    is_spent = consent.monthly_mb > 0 and used_bytes >= consent.monthly_mb * 1_000_000
    if is_closed or is_spent:
        raise EdgeError("federation.not_now", disease=disease)
