"""The device: what it holds, who is around, bringing it up to date, settings."""

from __future__ import annotations

from edge_node.ui.presenter.core import Part


class DevicePart(Part):
    """Status, sync, neighbours and settings."""

    def open(self) -> None:
        """Show the status; nobody is asked."""
        self.board.switch("device")
        self.board.alter("device", synced=False)
        self.errands.start("report", self._report())

    async def _report(self) -> None:
        self.board.alter("device", report=await self.services.device.report())

    def sync(self) -> None:
        """Bring list, models and knowledge base up to date."""
        self.board.change(failure=None)
        self.board.alter("device", syncing=True, synced=False)
        self.errands.start("sync", self._sync(), lambda: self.board.alter("device", syncing=False))

    async def _sync(self) -> None:
        try:
            await self.services.device.sync()
            self.board.alter("device", synced=True)
        finally:
            self.board.change(shelf=await self.services.library.shelf(ask=False))
            await self._report()

    def set_quota(self, quota_mb: int) -> None:
        """Choose how much models may take up; 0: no quota."""
        self.board.change(failure=None)
        self.errands.start("set", self._set_quota(quota_mb))

    async def _set_quota(self, quota_mb: int) -> None:
        await self._set("cache_quota_mb", str(quota_mb))
        await self._report()

    def pin(self, disease: str, model: str, *, pinned: bool) -> None:
        """Keep a model even when space runs short, or no longer."""
        self.board.change(failure=None)
        self.errands.start("pin", self._pin(disease, model, pinned))

    async def _pin(self, disease: str, model: str, pinned: bool) -> None:
        await self.services.device.pin(disease, model, pinned=pinned)
        await self._report()

    def readmit(self, release: str) -> None:
        """Let a release that was set aside run again."""
        self.board.change(failure=None)
        self.errands.start("readmit", self._readmit(release))

    async def _readmit(self, release: str) -> None:
        await self.services.device.readmit(release)
        await self._report()

    def listen(self) -> None:
        """Find out who is on the local network."""
        self.board.alter("device", listening=True, neighbours=None)
        self.errands.start("listen", self._listen(), lambda: self.board.alter("device", listening=False))

    async def _listen(self) -> None:
        self.board.alter("device", neighbours=tuple(await self.services.device.neighbours()))

    def open_settings(self) -> None:
        """Show the settings."""
        self.board.switch("settings")
        self.errands.start("settings", self._settings())

    async def _settings(self) -> None:
        values = await self.services.device.settings()
        self.board.alter("device", settings=tuple(values.items()))

    def set(self, key: str, text: str) -> None:
        """Change a setting."""
        self.board.change(failure=None)
        self.errands.start("set", self._set(key, text))

    async def _set(self, key: str, text: str) -> None:
        await self.services.device.set(key, text)
        await self._settings()
