"""Opening the history with its key; the first time, making one."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager

from edge_node.errors import EdgeError
from edge_node.outbox.keys import KeyPlace, KeyPlaceError, is_key
from edge_node.outbox.seal import KEY_BYTES, Seal, UnsealError
from edge_node.outbox.store import OutboxStore

KEYSTORE, KEY_FILE = "keystore", "file"
_NAME, _PLACE, _CHECK = "key_name", "key_place", "key_check"
_KNOWN = "medmesh"


async def unlock(
    store: OutboxStore,
    places: Mapping[str, KeyPlace],
    new_key_in: Sequence[str],
    lock: Callable[[], AbstractAsyncContextManager[None]],
) -> Seal:
    """The seal that opens ``store``.

    Args:
        store: the open history.
        places: where a key may be, by ``KEYSTORE`` and ``KEY_FILE``.
        new_key_in: which of these may be given a new key; the first that takes it gets it.
        lock: held while a key is made, so that two programs that start together make one.

    Raises:
        EdgeError: ``outbox.key_unavailable``, ``outbox.key_missing`` or ``outbox.key_wrong``.
    """
    place = await store.note(_PLACE)
    if place is None:
        async with lock():
            place = await store.note(_PLACE)
            if place is None:
                return await _first(store, {name: places[name] for name in new_key_in})
    return await _checked(store, places[place], place)


async def _checked(store: OutboxStore, place: KeyPlace, name: str) -> Seal:
    try:
        key = await place.read(await store.note(_NAME) or "")
    except KeyPlaceError as error:
        raise EdgeError("outbox.key_unavailable") from error
    if key is None:
        raise EdgeError("outbox.key_missing", place=name, path=store.path)
    wrong = EdgeError("outbox.key_wrong", path=store.path)
    if not is_key(key):
        raise wrong
    seal = Seal(key)
    try:
        seal.open(bytes.fromhex(await store.note(_CHECK) or ""), _CHECK)
    except (UnsealError, ValueError) as error:
        raise wrong from error
    return seal


async def _first(store: OutboxStore, places: Mapping[str, KeyPlace]) -> Seal:
    """Make the key, or take the one that a program that was killed here, or a history before, left behind."""
    name = await store.note(_NAME) or secrets.token_hex(8)
    await store.set_notes({_NAME: name})
    for place_name, place in places.items():
        try:
            key = await _present_or_new(place, name)
        except KeyPlaceError:
            continue
        seal = Seal(key)
        await store.set_notes({_PLACE: place_name, _CHECK: seal.close(_KNOWN, _CHECK).hex()})
        return seal
    raise EdgeError("outbox.key_unavailable")


async def _present_or_new(place: KeyPlace, name: str) -> bytes:
    key = await place.read(name)
    if key is None:
        await place.write(name, secrets.token_bytes(KEY_BYTES))
        key = await place.read(name)  # some keystores take everything and keep nothing
    if key is None or not is_key(key):
        raise KeyPlaceError(name)
    return key
