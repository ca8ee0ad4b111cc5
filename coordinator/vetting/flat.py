"""Reading a flatbuffer that nobody vouches for: every offset and length is checked before it is followed.

Format: https://flatbuffers.dev/internals. Python would not crash on a wild offset, but would read rubbish, and would loop
over a vector that claims four thousand million entries.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coordinator.errors import CoordinatorError

_U16, _I32, _U32 = struct.Struct("<H"), struct.Struct("<i"), struct.Struct("<I")
_LEAST_VTABLE, _FIELD = 4, 2


def damaged(what: str) -> CoordinatorError:
    """The error for a buffer that does not hold together."""
    return CoordinatorError("vetting.damaged", what=what)


class Table:
    """One table at a checked position. A *slot* is a field's number in the schema, counted from 0."""

    def __init__(self, data: memoryview, position: int, what: str) -> None:
        """Check the table's bounds and its vtable's.

        Raises:
            CoordinatorError: ``vetting.damaged``; so do all methods.
        """
        self.data, self.position, self.what = data, position, what
        back = self._unpack(_I32, position)
        self._vtable = position - back
        if self._vtable < 0:
            raise damaged(what)
        size, inline = self._unpack(_U16, self._vtable), self._unpack(_U16, self._vtable + 2)
        if size < _LEAST_VTABLE or size % _FIELD or inline < 4:
            raise damaged(what)
        if self._vtable + size > len(data) or position + inline > len(data):
            raise damaged(what)
        self._fields = (size - _LEAST_VTABLE) // _FIELD
        self._inline = inline

    @classmethod
    def root(cls, data: bytes, identifier: bytes, what: str) -> Table:
        """The table that the file begins with."""
        view = memoryview(data)
        if len(data) < 8 or data[4:8] != identifier:
            raise damaged(what)
        return cls(view, _U32.unpack_from(view, 0)[0], what)

    def _unpack(self, form: struct.Struct, at: int) -> int:
        if at < 0 or at + form.size > len(self.data):
            raise damaged(self.what)
        return int(form.unpack_from(self.data, at)[0])

    def _at(self, slot: int, size: int) -> int | None:
        """Where a field's ``size`` bytes are; None where it is not written."""
        if slot >= self._fields:
            return None
        offset = self._unpack(_U16, self._vtable + _LEAST_VTABLE + _FIELD * slot)
        if not offset:
            return None
        if offset < 4 or offset + size > self._inline:
            raise damaged(self.what)
        return self.position + offset

    def has(self, slot: int) -> bool:
        """Whether the field is written."""
        return self._at(slot, 1) is not None

    def scalar(self, slot: int, form: str, default: int = 0) -> Any:
        """A number in ``struct`` format ``form``."""
        number = struct.Struct("<" + form)
        at = self._at(slot, number.size)
        return default if at is None else number.unpack_from(self.data, at)[0]

    def _target(self, slot: int) -> int | None:
        at = self._at(slot, 4)
        return None if at is None else at + self._unpack(_U32, at)

    def table(self, slot: int, what: str) -> Table | None:
        """A table that the field points to."""
        target = self._target(slot)
        return None if target is None else Table(self.data, target, what)

    def vector(self, slot: int, dtype: str, most: int) -> NDArray[Any]:
        """A vector of numbers, not to be written to; empty where it is not in the file.

        Raises:
            CoordinatorError: also ``vetting.over_limit`` where it has more than ``most`` entries.
        """
        target = self._target(slot)
        size = np.dtype(dtype).itemsize
        if target is None:
            return np.zeros(0, dtype)
        count = self._count(target, size, most)
        return np.frombuffer(self.data, dtype, count, target + 4)

    def tables(self, slot: int, what: str, most: int) -> list[Table]:
        """The tables of a vector."""
        target = self._target(slot)
        if target is None:
            return []
        entries = (target + 4 + 4 * i for i in range(self._count(target, 4, most)))
        return [Table(self.data, at + self._unpack(_U32, at), what) for at in entries]

    def _count(self, target: int, size: int, most: int) -> int:
        count = self._unpack(_U32, target)
        if target + 4 + count * size > len(self.data):
            raise damaged(self.what)
        if count > most:
            raise CoordinatorError("vetting.over_limit", what=f"{self.what}: entries", found=count, limit=most)
        return count
