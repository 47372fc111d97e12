"""What was dealt with, what was put off, and one look through what waits."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from tests.intake.recording import Recorder
from tlsrpt.config import ReceiveConfig
from tlsrpt.core.errors import OverloadError, RateError, SourceError, StoreBusyError, StoreError, TlsrptError
from tlsrpt.intake.polling import (
    IN_A_ROW,
    MOST_PUT_OFF,
    STORE_AGAIN_S,
    STORE_LONGEST_S,
    Look,
    PutOff,
    Seen,
    each,
    keep_looking,
)
from tlsrpt.intake.room import Place, Room
from tlsrpt.intake.way import Way

WAY = Way(name="s3", kind="s3")


class Document(Struct, frozen=True):
    key: str
    when: float = 0.0
    size: int = 0


documents = st.lists(
    st.builds(Document, key=st.text(max_size=3), when=st.floats(0, 2e9)), unique_by=lambda one: one.key, max_size=40
)


@given(documents, st.sets(st.integers(0, 39)), st.floats(0, 1e9), st.integers(1, 20))
def test_what_was_not_dealt_with_is_never_passed_over(
    there: list[Document], dealt_with: set[int], overlap_s: float, most: int
) -> None:
    """However little is remembered, before and after a restart: rather read twice than not at all."""
    seen = Seen(overlap_s, most=most)
    done = [document for n, document in enumerate(there) if n in dealt_with]
    left = [document for n, document in enumerate(there) if n not in dealt_with]
    for document in done:
        seen.add(document)
    seen.whole(min((document.when for document in left), default=None))
    again = Seen(overlap_s, most=most)
    again.read(seen.write())
    for document in left:
        assert not seen.has(document)
        assert not again.has(document)
    if len(done) <= most:
        assert all(seen.has(document) and again.has(document) for document in done)


@given(documents, st.integers(1, 10))
def test_no_more_names_are_kept_than_allowed(there: list[Document], most: int) -> None:
    seen = Seen(most=most)
    for document in there:
        seen.add(document)
    seen.whole(None)
    newest = sorted((document.when for document in there), reverse=True)[:most]
    assert sum(seen.has_name(document.key) for document in there) <= max(most, sum(w == min(newest) for w in newest))
    assert all(seen.has(document) for document in there if document.when not in newest[most:])


def test_what_comes_late_is_found_within_the_overlap() -> None:
    """S3 dates an upload in parts by its beginning, and a replica by its original."""
    seen = Seen(3600)
    seen.add(Document("a", when=100_000))
    seen.whole(None)
    assert not seen.has(Document("late", when=96_401))
    assert seen.has(Document("too late", when=96_399))


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"until":1e9,"seen":"AAAA"}', '{"until":1,"seen":"?"}', '{"until":"x"}']
)
def test_a_place_that_cannot_be_read_means_from_the_beginning(text: str) -> None:
    seen = Seen(1)
    seen.read(text)
    assert not seen.has(Document("a"))


def test_documents_put_off_are_bounded() -> None:
    put_off = PutOff(lambda: 0.0)
    for n in range(MOST_PUT_OFF + 5):
        put_off.add(str(n), SourceError("x"), 10)
    assert len(put_off) == MOST_PUT_OFF
    assert put_off.why("0") is None
    assert put_off.why(str(MOST_PUT_OFF)) is not None


def test_what_the_store_cannot_take_is_tried_later_each_time() -> None:
    now = [0.0]
    put_off = PutOff(lambda: now[0])
    waits = []
    for _ in range(7):
        put_off.longer("a", StoreError("full"))
        began = now[0]
        while put_off.why("a") is not None:
            now[0] += 1
        waits.append(now[0] - began)
    assert waits[0] == STORE_AGAIN_S
    assert waits[1] == 2 * STORE_AGAIN_S
    assert waits[-1] == STORE_LONGEST_S
    put_off.forget("a")
    put_off.longer("a", StoreError("full"))
    now[0] += STORE_AGAIN_S
    assert put_off.why("a") is None


Handle = Callable[[Document, Place], Awaitable[bool]]


def look_through(count: int, handle: Handle, *, room: Room | None = None, at_once: int = 8) -> Look:
    return look_through_these([Document(str(n), when=n, size=1) for n in range(count)], handle, room, at_once)


def look_through_these(
    documents: list[Document], handle: Handle, room: Room | None = None, at_once: int = 8, most: int = 100
) -> Look:
    look = Look(room or Room(ReceiveConfig()), PutOff(lambda: 0.0), most=most, at_once=at_once)
    asyncio.run(look.through(each(documents), handle))
    return look


def failing(*numbers: int, error: TlsrptError) -> Handle:
    async def handle(document: Document, place: Place) -> bool:
        await asyncio.sleep(0)
        if int(document.key) in numbers:
            raise error
        return True

    return handle


def test_single_documents_that_cannot_be_taken_hold_nothing_up() -> None:
    look = look_through(100, failing(3, 40, error=StoreBusyError("the quarantine is full")))
    assert look.handled == 98
    assert (look.left, str(look.trouble)) == (3, "the quarantine is full")


def test_many_in_a_row_end_the_look() -> None:
    with pytest.raises(StoreBusyError):
        look_through(1000, failing(*range(1000), error=StoreBusyError("the disk is full")))
    with pytest.raises(OverloadError):
        look_through(1000, failing(*range(500, 1000), error=OverloadError("flood", retry_after_s=1)))
    every_other = failing(*range(0, 1000, 2), error=StoreBusyError("the quarantine is full"))
    assert look_through(1000, every_other).handled == 500 > IN_A_ROW


def test_what_is_in_work_is_finished_when_the_source_breaks() -> None:
    finished = []

    async def handle(document: Document, place: Place) -> bool:
        if document.key == "5":
            raise SourceError("the connection broke")
        for _ in range(5):
            await asyncio.sleep(0)
        finished.append(document.key)
        return True

    room = Room(ReceiveConfig())
    with pytest.raises(SourceError):
        look_through(100, handle, room=room)
    assert {"0", "1", "2", "3", "4"} <= set(finished)
    assert len(finished) < 15
    assert room.documents == 0


def test_a_room_that_others_fill_is_waited_for_only_while_work_of_ours_ends() -> None:
    room = Room(ReceiveConfig(waiting_documents=3))
    assert look_through(20, failing(error=StoreError("")), room=room).handled == 20
    with room.place(), room.place(), room.place():
        look = look_through(20, failing(error=StoreError("")), room=room)
        assert (look.handled, type(look.trouble), look.left) == (0, OverloadError, 0)
        with pytest.raises(OverloadError):
            look_through(IN_A_ROW, failing(error=StoreError("")), room=room)


def test_a_large_document_that_finds_no_room_does_not_hold_up_small_ones() -> None:
    """It ended the look, time and again, while other sources were at work; and what is too large needs no room at all."""
    sizes = [10, 1_000_000, 10, 2_000_000_000, 10]
    documents = [Document(str(n), when=n, size=size) for n, size in enumerate(sizes)]
    room = Room(ReceiveConfig(waiting_bytes=1024 * 1024))
    with room.place(1024 * 1024 - 500):
        look = look_through_these(documents, failing(error=StoreError("")), room, most=16_000_000)
    assert (look.handled, look.left, type(look.trouble)) == (4, 1, OverloadError)


def test_one_sender_over_its_rate_does_not_end_the_look() -> None:
    """A thousand of its reports in a row say nothing of the next, which may be another's."""
    look = look_through(1000, failing(*range(500), error=RateError("too many", retry_after_s=1)))
    assert (look.handled, look.left, type(look.trouble)) == (500, 0, RateError)


def test_trouble_is_said_once_and_over_when_it_is() -> None:
    """Overloads and a store that is down are waited out; a person hears of the store only."""
    recorder = Recorder(WAY)
    full = StoreBusyError("the quarantine is full")
    said: list[TlsrptError | None] = [None, full, full, OverloadError("flood", retry_after_s=0), None]

    async def look() -> TlsrptError | None:
        if not said:
            raise SourceError("gone")
        return said.pop(0)

    with pytest.raises(SourceError):
        asyncio.run(keep_looking(look, recorder.desk, 0.0))
    assert recorder.states == ["working", "trouble the quarantine is full", "working"]
