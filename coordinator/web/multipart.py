"""A form with a file, read as it arrives: small fields in memory, the file passed on block by block."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import PurePath

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from coordinator.errors import CoordinatorError

MOST_FIELDS = 40
MOST_FIELD_BYTES = 16 * 1024


class FileForm:
    """The form's fields, and its files as they come.

    Args:
        content_type: the request's header.
        stream: its body.
        small: names of files that are kept in memory, with the most bytes of each.

    Raises:
        CoordinatorError: ``web.form`` where this is no such form, or a field is too large.
    """

    def __init__(self, content_type: str, stream: AsyncIterator[bytes], small: dict[str, int]) -> None:
        kind, options = parse_options_header(content_type)
        boundary = options.get(b"boundary", b"")
        if kind != b"multipart/form-data" or not boundary:
            raise CoordinatorError("web.form")
        self.fields: dict[str, str] = {}
        self.files: dict[str, bytes] = {}
        self.streamed = ""  # name of the field whose file is passed on
        self.ending = ""  # of that file's own name, in lower case, without the point
        self._small = small
        self._stream = stream
        self._pending = bytearray()
        self._over = False
        self._name, self._value, self._header, self._headers = "", bytearray(), [bytearray(), bytearray()], b""
        self._is_file = False
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": lambda data, start, end: self._header[0].extend(data[start:end]),
                "on_header_value": lambda data, start, end: self._header[1].extend(data[start:end]),
                "on_header_end": self._header_end,
                "on_headers_finished": self._headers_finished,
                "on_part_data": self._data,
                "on_part_end": self._end,
                "on_end": self._finished,
            },
        )

    async def read_fields(self) -> None:
        """Read up to the first byte of the file that is passed on, or to the end."""
        while not self.streamed and not self._over and await self._feed():
            pass

    async def blocks(self) -> AsyncIterator[bytes]:
        """That file."""
        while True:
            if self._pending:
                block = bytes(self._pending)
                self._pending.clear()
                yield block
            elif not await self._feed():
                break
        if not self._over:
            raise CoordinatorError("api.cut")

    async def _feed(self) -> bool:
        try:
            block = await anext(self._stream)
        except StopAsyncIteration:
            return False
        try:
            self._parser.write(block)
        except FormParserError as error:
            raise CoordinatorError("web.form") from error
        return True

    def _begin(self) -> None:
        self._name, self._value, self._headers, self._is_file = "", bytearray(), b"", False

    def _header_end(self) -> None:
        if bytes(self._header[0]).lower() == b"content-disposition":
            self._headers = bytes(self._header[1])
        self._header = [bytearray(), bytearray()]

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._headers)
        self._name = options.get(b"name", b"").decode("utf-8", "replace")
        self._is_file = b"filename" in options
        if len(self.fields) + len(self.files) >= MOST_FIELDS or self.streamed:
            raise CoordinatorError("web.form")  # nothing may follow the file
        if self._is_file and self._name not in self._small:
            self.streamed = self._name
            name = PurePath(options[b"filename"].decode("utf-8", "replace"))
            self.ending = name.suffix.lower().removeprefix(".")

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self.streamed:
            self._pending += data[start:end]
            return
        self._value += data[start:end]
        if len(self._value) > (self._small.get(self._name, 0) if self._is_file else MOST_FIELD_BYTES):
            raise CoordinatorError("web.form")

    def _end(self) -> None:
        if self.streamed:
            return
        if self._is_file:
            self.files[self._name] = bytes(self._value)
        else:
            self.fields[self._name] = self._value.decode("utf-8", "replace").strip()

    def _finished(self) -> None:
        self._over = True
