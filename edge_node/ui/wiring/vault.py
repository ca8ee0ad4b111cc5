"""The vault beside the screen's thread."""

from __future__ import annotations

from edge_node.ui.vault import Vault
from edge_node.ui.worker import Worker


class WorkerVault:
    """The vault, on the worker's threads: scrypt takes a tenth of a second."""

    def __init__(self, worker: Worker, vault: Vault) -> None:
        self._worker = worker
        self._vault = vault

    async def is_locked(self) -> bool:
        """Whether the PIN is needed now."""
        return await self._worker.call(self._vault.is_locked)

    async def has_pin(self) -> bool:
        """Whether a PIN is set."""
        return await self._worker.call(self._vault.has_pin)

    async def unlock(self, pin: str) -> None:
        """Open with the PIN."""
        await self._worker.call(self._vault.unlock, pin)

    async def lock(self) -> None:
        """Forget the key."""
        await self._worker.call(self._vault.lock)

    async def set_pin(self, pin: str | None) -> None:
        """Set, change or remove the PIN."""
        await self._worker.call(self._vault.set_pin, pin)

    async def set_aside(self) -> None:
        """Begin with an empty vault."""
        await self._worker.call(self._vault.set_aside)

    async def references(self) -> dict[str, str]:
        """Case references by result id."""
        return await self._worker.call(self._vault.references)

    async def set_reference(self, result: str, text: str) -> None:
        """Note a reference."""
        await self._worker.call(self._vault.set_reference, result, text)
