"""Messages, by their UIDs, in parts that fit: into a command, into memory, into a transaction."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct

MESSAGES = 100  # in work at once: they share a commit, and a command
BYTES = 4 * 1024 * 1024  # of them, but for a message that is larger alone
SET_BYTES = 4_000  # of the UIDs in a command: half of what a server has to take in one line (RFC 7162 section 4)


class Batch(Struct, frozen=True, kw_only=True):
    """Messages that are in work together, and which UIDs are dealt with once they are."""

    fetched: tuple[int, ...]
    covered: tuple[int, ...]  # with those that are gone or too large


class UidSet(Struct, frozen=True, kw_only=True):
    """UIDs, and how a command names them: `1:5,7`."""

    text: str
    uids: tuple[int, ...]


def parts(uids: Sequence[int]) -> Iterator[Sequence[int]]:
    """The UIDs, so many at a time."""
    for start in range(0, len(uids), MESSAGES):
        yield uids[start : start + MESSAGES]


def batches(uids: Sequence[int], sizes: Mapping[int, int]) -> Iterator[Batch]:
    """Parts of these messages that are fetched together.

    Args:
        uids: ascending.
        sizes: of those that are to be fetched.
    """
    fetched, covered, size = list[int](), list[int](), 0
    for uid in uids:
        if uid in sizes:
            if fetched and size + sizes[uid] > BYTES:
                yield Batch(fetched=tuple(fetched), covered=tuple(covered))
                fetched, covered, size = [], [], 0
            fetched.append(uid)
            size += sizes[uid]
        covered.append(uid)
    if covered:
        yield Batch(fetched=tuple(fetched), covered=tuple(covered))


def singly(batch: Batch) -> Iterator[Batch]:
    """The batch as batches of one message."""
    start = 0
    for uid in batch.fetched:
        last = uid == batch.fetched[-1]
        end = len(batch.covered) if last else batch.covered.index(uid) + 1
        yield Batch(fetched=(uid,), covered=batch.covered[start:end])
        start = end


def uid_sets(uids: Sequence[int]) -> Iterator[UidSet]:
    """The UIDs in as many sets as keep each short.

    Args:
        uids: ascending.
    """
    ranges, within, length = list[str](), list[int](), 0
    for first, last in _runs(uids):
        text = str(first) if first == last else f"{first}:{last}"
        if ranges and length + len(text) + 1 > SET_BYTES:
            yield UidSet(text=",".join(ranges), uids=tuple(within))
            ranges, within, length = [], [], 0
        ranges.append(text)
        within += range(first, last + 1)
        length += len(text) + 1
    if ranges:
        yield UidSet(text=",".join(ranges), uids=tuple(within))


def _runs(uids: Sequence[int]) -> Iterator[tuple[int, int]]:
    first = last = 0
    for uid in uids:
        if last and uid == last + 1:
            last = uid
            continue
        if last:
            yield first, last
        first = last = uid
    if last:
        yield first, last
