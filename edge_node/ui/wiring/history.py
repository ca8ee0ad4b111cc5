"""The history of results."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from edge_node.errors import EdgeError
from edge_node.recognition.picture import Picture
from edge_node.ui import photo as photos
from edge_node.ui.findings import finding as read_finding
from edge_node.ui.values import Finding, Kept, PastCase, Photo, Words
from edge_node.ui.wiring.node import Adapter
from protocols.imaging import Box

if TYPE_CHECKING:
    from edge_node.outbox.history import History, Remembered


class EdgeHistory(Adapter):
    """The history of results, encrypted by its own key."""

    async def record(self, photo: Photo, crop: Box | None, finding: Finding) -> Kept:
        """Keep a result, and a copy of its picture."""
        return await self._run(lambda: self._record(photo, crop, finding))

    async def _record(self, photo: Photo, crop: Box | None, finding: Finding) -> Kept:
        from edge_node.outbox.unlock import KEY_FILE

        outbox, is_first = self._node.edge.outbox(), not self._node.edge.paths.outbox.exists()
        async with outbox.history(create=True) as history:
            (saved,) = await history.save([dict(finding.document)])
            result = str(saved["id"])
            await self._keep_picture(history, result, Picture(photo.path, crop, photo.frame), finding)
        return Kept(result, is_first and (await outbox.counts()).key_place == KEY_FILE)

    async def _keep_picture(self, history: History, result: str, picture: Picture, finding: Finding) -> None:
        """Keep a copy where that is wanted and can be; the result stands without it."""
        from edge_node.capture.keeping import kept_copies

        if not self._node.edge.config.pictures_mb:
            return
        with suppress(EdgeError):
            manifest = (await self._node.manifests(finding.disease, finding.release))[0]
            for copy in await kept_copies([picture], manifest.input):
                if copy is not None:
                    await history.pictures.keep(copy, [result])

    async def find(self, limit: int) -> list[PastCase]:
        """The latest results."""
        return await self._run(lambda: self._find(limit))

    async def _find(self, limit: int) -> list[PastCase]:
        if not self._node.edge.paths.outbox.exists():
            return []
        async with self._node.edge.outbox().history() as history:
            return [past_case(item) for item in (await history.search(None, None, limit)).results]

    async def get(self, result: str) -> PastCase | None:
        """One result, whole."""
        return await self._run(lambda: self._get(result))

    async def _get(self, result: str) -> PastCase | None:
        async with self._node.edge.outbox().history() as history:
            item = await history.show(result)
            copy = await history.pictures.of(item.id)
        shown = None if copy is None else await self._worker.call(photos.shown, copy.data)
        return replace(past_case(item), finding=read_finding(item.result), picture=shown)

    async def confirm(self, result: str, label: str) -> None:
        """Keep the clinician's word and queue it."""
        await self._run(lambda: self._confirm(result, label))

    async def _confirm(self, result: str, label: str) -> None:
        async with self._node.edge.outbox().history() as history:
            await history.confirm(result, label)


def past_case(item: Remembered) -> PastCase:
    """A result of the history in the app's own values."""
    names: dict[str, Words] = {label["label"]: label["name"] for label in item.result["labels"]}
    confirmed = None if item.word is None else item.word.label
    return PastCase(
        id=item.id,
        when=item.made,
        disease=item.result["disease"],
        outcome=item.result["outcome"],
        name=next(iter(names.values())),
        confirmed=confirmed,
        confirmed_name=names.get(confirmed or "", {}),
        sent=item.state == "sent",
    )
