"""Which connections a certificate has, so that one node's crowd costs the others nothing. Decides only."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

A_NODE = 4  # `serve`, the app and a command at the same time, and a line that is dead without knowing it
_CLOSING = 4  # more that are just being closed
MOST = 4096


@dataclass(frozen=True)
class Verdict:
    """What an arrival means for itself and others."""

    is_welcome: bool
    close: Hashable | None = None  # politely: another took its place
    drop: Hashable | None = None  # at once: it does not answer the closing


class Crowd:
    """All connections whose TLS is done, the oldest of each certificate first."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._of: dict[str, list[Hashable]] = {}
        self._certificates: dict[Hashable, str] = {}

    def __len__(self) -> int:
        return len(self._certificates)

    def arrive(self, connection: Hashable, certificate: str) -> Verdict:
        """Count a connection in, until ``leave``; the newest of a certificate wins, since an older one may be dead."""
        own = self._of.setdefault(certificate, [])
        own.append(connection)
        self._certificates[connection] = certificate
        return Verdict(
            is_welcome=len(self._certificates) <= self._most,
            close=own[-A_NODE - 1] if len(own) > A_NODE else None,
            drop=own[0] if len(own) > A_NODE + _CLOSING else None,
        )

    def leave(self, connection: Hashable) -> None:
        """It is gone."""
        certificate = self._certificates.pop(connection, None)
        if certificate is not None:
            own = self._of[certificate]
            own.remove(connection)
            if not own:
                del self._of[certificate]
