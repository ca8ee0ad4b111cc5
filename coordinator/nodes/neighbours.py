"""Who is near whom: which nodes are told of which others, so that they may share what one of them fetched.

Decides only; nothing here waits, reads the clock or sends. Nodes are near each other if they belong to the same site or come
from the same address, as behind one router. What they are told is where the others *say* that they listen.
"""

from __future__ import annotations

import ipaddress
import random
from collections.abc import Hashable, Iterable
from dataclasses import dataclass

from protocols.messages import MAX_PEERS, Listening, Neighbours, encode

Address = tuple[str, int]

_ENOUGH = MAX_PEERS // 2  # whoever still has as many need not hear of more
_BETWEEN_S = 10.0
_MOST_BYTES = 16_000.0  # at once, and again within a day: a node's idle line may cost 100 kB a day with everything
_BYTES_PER_S = _MOST_BYTES / 86_400
_LOCAL = [
    ipaddress.ip_network(n) for n in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "fc00::/7")
]


def reachable(listening: Listening | None, source: str) -> tuple[Address, ...]:
    """The addresses of a node worth telling: private ones, and that from which it is connected.

    A public address that is not its own would aim others at a stranger. Loopback is worth something only to nodes that reach
    us over loopback too; a link-local IPv6 address is worth nothing without a zone.
    """
    if listening is None:
        return ()
    own = _plain(source)
    kept = [
        address
        for text in listening.addresses
        if (address := _plain(text)) == own
        or any(address in net for net in _LOCAL)
        or (address.is_loopback and own.is_loopback)
    ]
    return tuple((str(address), listening.port) for address in dict.fromkeys(kept))


def _plain(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    address = ipaddress.ip_address(text.partition("%")[0])
    return getattr(address, "ipv4_mapped", None) or address


def places(source: str, site: str) -> tuple[str, ...]:
    """Where a node is: its network (for IPv6 the /64, which a LAN shares) and its site, if it has one."""
    address = _plain(source)
    network = ipaddress.ip_network((address, 64 if address.version == 6 else 32), strict=False)
    return (f"network {network}", *([f"site {site}"] if site else ()))


@dataclass
class _Member:
    node: str
    places: tuple[str, ...]
    addresses: tuple[Address, ...]
    told: frozenset[Address] = frozenset()
    told_s: float = float("-inf")
    left_bytes: float = _MOST_BYTES
    filled_s: float | None = None


class Places:
    """The connected nodes that serve peers, and what each of them has been told."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._members: dict[Hashable, _Member] = {}
        self._changed = False

    def arrive(self, key: Hashable, node: str, where: tuple[str, ...], addresses: tuple[Address, ...]) -> None:
        """A connection of a node that serves peers."""
        self._members[key] = _Member(node, where, addresses)
        self._changed = True

    def leave(self, key: Hashable) -> None:
        """The connection is gone. Nobody is told: an address that does not answer says so itself."""
        self._members.pop(key, None)

    def news(self, now_s: float, only: Iterable[Hashable] | None = None) -> list[tuple[Hashable, Neighbours]]:
        """Whom to tell what now; each at most every 10 s and within the bytes of a day.

        Args:
            now_s: a clock that never goes back.
            only: these connections; None: all, if anything has changed.
        """
        if only is None and not self._changed:
            return []
        there: dict[str, dict[Address, str]] = {}
        for member in self._members.values():
            for place in member.places:
                there.setdefault(place, {}).update(dict.fromkeys(member.addresses, member.node))
        keys = self._members if only is None else [key for key in only if key in self._members]
        waiting, told = False, []
        for key in keys:
            member = self._members[key]
            if now_s - member.told_s < _BETWEEN_S:
                waiting = True
                continue
            near = {a for place in member.places for a, node in there[place].items() if node != member.node}
            near.difference_update(member.addresses)
            member.told &= near
            if len(member.told) >= _ENOUGH or near <= member.told:
                continue
            message = Neighbours(tuple(self._chance.sample(list(near), min(len(near), MAX_PEERS))))
            if _afford(member, len(encode(message)), now_s):
                member.told = frozenset(message.addresses)
                member.told_s = now_s
                told.append((key, message))
            else:
                waiting = True
        if only is None:
            self._changed = waiting
        return told


def _afford(member: _Member, size_bytes: int, now_s: float) -> bool:
    """Whether a message of this size is within the day's bytes, which it then takes."""
    if member.filled_s is not None:
        member.left_bytes = min(_MOST_BYTES, member.left_bytes + (now_s - member.filled_s) * _BYTES_PER_S)
    member.filled_s = now_s
    if member.left_bytes < size_bytes:
        return False
    member.left_bytes -= size_bytes
    return True
