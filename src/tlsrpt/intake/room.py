"""Room for what is in work at once: so many documents, so many bytes. Past that, senders are asked to come again.

Memory under a flood is bounded here and nowhere else: a listener takes a place before it reads a document's bytes.
"""

from __future__ import annotations

from types import TracebackType

from tlsrpt.config import ReceiveConfig
from tlsrpt.core.errors import OverloadError

RETRY_AFTER_S = 30


class Room:
    """Counts what is in work. For one event loop; not thread-safe."""

    def __init__(self, config: ReceiveConfig) -> None:
        self.most_documents = config.waiting_documents
        self.most_bytes = config.waiting_bytes
        self.documents = 0
        self.bytes = 0

    def place(self, size_bytes: int = 0) -> Place:
        """A place for one document of this size, held for the length of a `with` block.

        Raises:
            OverloadError: there is none.
        """
        if self.documents >= self.most_documents:
            raise OverloadError(f"{self.documents:,} documents are in work already", retry_after_s=RETRY_AFTER_S)
        place = Place(self)
        place.grow(size_bytes)
        self.documents += 1
        return place


class Place:
    """One document's share of the room; given back when the `with` block ends."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self.bytes = 0

    def grow(self, more_bytes: int) -> None:
        """Take room for more bytes of the same document.

        Raises:
            OverloadError: there is none; what was taken stays taken. A document alone always has room.
        """
        room = self._room
        if room.bytes and room.bytes - self.bytes and room.bytes + more_bytes > room.most_bytes:
            raise OverloadError(f"{room.bytes:,} bytes are in work already", retry_after_s=RETRY_AFTER_S)
        self.bytes += more_bytes
        room.bytes += more_bytes

    def leave(self) -> None:
        """Give the room back."""
        self._room.bytes -= self.bytes
        self._room.documents -= 1
        self.bytes = 0

    def __enter__(self) -> Place:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()
