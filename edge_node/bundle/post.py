"""The node as postman: its own parcels out, other nodes' parcels to the coordinator, receipts back."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from edge_node.bundle import packing
from edge_node.bundle.mail import Mail, SentBatch
from edge_node.bundle.reader import Bundle
from edge_node.bundle.signing import NodeSigner, is_from_coordinator, is_from_node, sealed
from edge_node.errors import EdgeError, SourceError
from protocols import bundle
from protocols.errors import MedMeshError, ProtocolError
from protocols.heartbeat import Heartbeat
from protocols.parcels import (
    MAX_PARCEL_BYTES,
    MAX_RECEIPT_BYTES,
    Contents,
    PaperReceipt,
    Parcel,
    parcel_digest,
    read_parcel,
    read_receipt,
)
from protocols.results.batch import batch_id
from protocols.results.report import Report


class Queue(Protocol):
    """The node's outbox."""

    async def queued(self, most: int) -> list[Report]:
        """The oldest reports that wait for the coordinator; they stay queued."""
        ...

    async def settle(self, stored: Sequence[str], refused: Sequence[str]) -> int:
        """Note what the coordinator said of these records; returns how many were not acknowledged before."""
        ...


class Desk(Protocol):
    """One address of the coordinator."""

    async def parcel(self, data: bytes) -> bytes | None:
        """Hand a parcel over; the receipt, not checked. None: an older coordinator.

        Raises:
            SourceError: nobody answered; it may have arrived.
            EdgeError: it does not want this parcel.
        """
        ...


@dataclass
class TakenIn:
    """What a bundle brought: new parcels and receipts, records acknowledged now, and what was left as nobody's."""

    parcels: int = 0
    receipts: int = 0
    acknowledged: int = 0
    refused: int = 0
    is_any: bool = False  # whether there was mail of or for anybody but this node's own, new or not


@dataclass
class HandedOver:
    """What became of the parcels carried for others."""

    delivered: int = 0
    refused: int = 0
    kept: int = 0
    failure: MedMeshError | None = None


@dataclass(frozen=True)
class Address:
    """Who this node is, and the one CA that it believes."""

    node: str
    coordinator: str
    ca_pem: str


class Post:
    """One node's post office."""

    def __init__(
        self,
        mail: Path,
        queue: Queue,
        address: Address,
        signer: Callable[[], NodeSigner],
    ) -> None:
        """Args: mail: its file, made when first needed."""
        self._mail = mail
        self._queue = queue
        self._address = address
        self._signer = signer

    async def carried(self) -> dict[str, bytes]:
        """What is carried for others, by its name in the bundle."""
        if not self._mail.exists():
            return {}
        async with Mail.open(self._mail) as mail:
            found = _named(bundle.PARCELS, await mail.parcels())
            return found | _named(bundle.RECEIPTS, await mail.receipts())

    async def own(self, heartbeat: Heartbeat) -> dict[str, bytes]:
        """The node's own parcels, by their names in the bundle. Nothing counts as sent before its receipt is here.

        Raises:
            EdgeError: the history or the mail cannot be opened.
        """
        signer, address = self._signer(), self._address
        async with Mail.open(self._mail) as mail:
            number, alone = await mail.next_number(), await mail.suspects()
            packed = packing.batches(await self._queue.queued(packing.MOST_RECORDS), alone)
            parts: list[bytes] = []
            for part, batches in enumerate(packing.parcels(packed)):
                await mail.note_sent([SentBatch(batch_id(frame), records) for frame, records in batches])
                frames = tuple(frame for frame, _ in batches)
                contents = sealed(Contents(address.node, number, heartbeat, frames), address.ca_pem)
                parcel = Parcel(address.coordinator, address.node, number, part, signer.certificate, contents)
                parts.append(signer.signed(parcel))
        return _named(bundle.PARCELS, parts)

    async def take_in(self, opened: Bundle, revoked: Collection[str]) -> TakenIn:
        """Take in what nodes of this network signed; the rest of the mail is left where it is.

        Args:
            opened: the bundle.
            revoked: ids of nodes that the coordinator has put out.
        """
        taken = TakenIn()
        receipts, parcels = opened.below(bundle.RECEIPTS), opened.below(bundle.PARCELS)
        if not receipts and not parcels:
            return taken
        async with Mail.open(self._mail) as mail:
            for entry in receipts:
                if entry.size_bytes > MAX_RECEIPT_BYTES:
                    taken.refused += 1
                    continue
                await self._take_receipt(await opened.whole(entry), mail, taken)
            for entry in parcels:
                if entry.size_bytes > MAX_PARCEL_BYTES:
                    taken.refused += 1
                    continue
                await self._take_parcel(await opened.whole(entry), mail, revoked, taken)
        return taken

    async def _take_receipt(self, data: bytes, mail: Mail, taken: TakenIn) -> None:
        try:
            receipt, signed = read_receipt(data)
        except ProtocolError:
            taken.refused += 1
            return
        if not is_from_coordinator(signed, self._address.ca_pem):
            taken.refused += 1
            return
        taken.is_any = True
        if receipt.node != self._address.node:
            taken.receipts += await mail.keep_receipt(receipt, data)
        else:
            taken.receipts += 1
            taken.acknowledged += await self._settle(receipt, mail)

    async def _settle(self, receipt: PaperReceipt, mail: Mail) -> int:
        """Mark exactly the records that the receipt is about; the outbox first, so that dying between loses nothing."""
        stored, refused = await mail.sent(receipt.batches), await mail.sent(receipt.refused)
        single = [batch for batch in refused if len(batch.records) == 1]
        acknowledged = await self._queue.settle(
            [record for batch in stored for record in batch.records], [batch.records[0] for batch in single]
        )
        for batch in refused:
            await mail.mark_refused(batch.id)
        await mail.forget_sent([batch.id for batch in (*stored, *single)])
        return acknowledged

    async def _take_parcel(self, data: bytes, mail: Mail, revoked: Collection[str], taken: TakenIn) -> None:
        try:
            parcel, signed = read_parcel(data)
        except ProtocolError:
            taken.refused += 1
            return
        if parcel.node == self._address.node:
            return
        taken.is_any = True
        ours = parcel.coordinator == self._address.coordinator and parcel.node not in revoked
        if ours and is_from_node(parcel, signed, self._address.ca_pem):
            taken.parcels += await mail.keep_parcel(parcel, data)
        else:
            taken.refused += 1

    async def hand_over(self, desks: Callable[[], AbstractAsyncContextManager[Sequence[Desk]]]) -> HandedOver:
        """Bring what is carried for others to the coordinator; where nothing is, nobody is asked anything.

        Raises:
            EdgeError: the mail cannot be opened.
        """
        done = HandedOver()
        if not self._mail.exists():
            return done
        async with Mail.open(self._mail) as mail:
            waiting = await mail.parcels()
            done.kept = len(waiting)
            if not waiting:
                return done
            async with desks() as open_desks:
                for data in waiting:
                    try:
                        answer = await _first_answer(open_desks, data)
                        if answer is None:
                            return done
                        await mail.keep_receipt(self._checked(answer, data), answer)
                        done.delivered += 1
                    except SourceError as error:
                        done.failure = error
                        return done
                    except EdgeError:  # it will never be wanted; its node still has everything
                        await mail.drop_parcel(parcel_digest(data))
                        done.refused += 1
                    done.kept -= 1
        return done

    def _checked(self, answer: bytes, parcel: bytes) -> PaperReceipt:
        malformed = SourceError("edge.coordinator_malformed", url="/v1/parcels")
        try:
            receipt, signed = read_receipt(answer)
        except ProtocolError as error:
            raise malformed from error
        if not is_from_coordinator(signed, self._address.ca_pem) or receipt.parcel != parcel_digest(parcel):
            raise malformed
        return receipt


def _named(folder: str, files: Sequence[bytes]) -> dict[str, bytes]:
    return {folder + parcel_digest(data): data for data in files}


async def _first_answer(desks: Sequence[Desk], data: bytes) -> bytes | None:
    failure: SourceError = SourceError("edge.coordinator_unreachable", url="-")
    for desk in desks:
        try:
            return await desk.parcel(data)
        except SourceError as error:
            failure = error
    raise failure
