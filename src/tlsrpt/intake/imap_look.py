"""One look through a mailbox: what is new there is fetched, taken in, and put away; the place moves on behind it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal, TypeVar

import msgspec
from msgspec import Struct

from tlsrpt.config import ImapSource
from tlsrpt.core.errors import OverloadError, RateError, SourceError, StoreError, TlsrptError
from tlsrpt.core.limits import Limits
from tlsrpt.core.text import printable
from tlsrpt.intake.blocking import OneThread
from tlsrpt.intake.imap_batches import Batch, UidSet, batches, parts, singly, uid_sets
from tlsrpt.intake.imap_session import Folder, RefusedError, Session
from tlsrpt.intake.source import Desk
from tlsrpt.intake.way import Outcome, Taken, Way

T = TypeVar("T")

# Messages are put away so many at a time: for each such command a Maildir server looks through the whole folder. What
# is lost when we are killed before that costs a second fetching, and no more.
PUT_AWAY = 1_000
LEFT = 5_000  # messages that could not be dealt with and are passed over, at most
REFUSALS = 3  # moves refused in a row until messages are flagged in their place

_DONE: frozenset[Outcome] = frozenset(("new", "known", "conflict"))


class Place(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How far a folder has been worked through: everything up to a UID, but what is left."""

    uidvalidity: int
    uid: int = 0
    left: tuple[int, ...] = ()


class Memory:
    """What a mailbox remembers from one session to the next."""

    def __init__(self) -> None:
        self.place: Place | None = None
        self.moves_refused = 0  # in a row
        self.told_no_move = False


class _Owed:
    """What has been done with messages and not been told to the server, nor kept as the place."""

    def __init__(self) -> None:
        self.done: list[int] = []
        self.failed: list[int] = []
        self.left: list[int] = []
        self.covered: list[int] = []


class Look:
    """One look. A new one is made for each."""

    def __init__(
        self,
        config: ImapSource,
        way: Way,
        limits: Limits,
        *,
        key: str,
        session: Session,
        thread: OneThread,
        desk: Desk,
        memory: Memory,
    ) -> None:
        self._config, self._way, self._limits = config, way, limits
        self._key = key
        self._session, self._thread, self._desk, self._memory = session, thread, desk, memory
        self._place = Place(uidvalidity=0)
        self._above = 0  # messages that wait above the place
        self._owed = _Owed()
        self._trouble: TlsrptError | None = None  # that did not end the look

    async def through(self, *, again: bool) -> None:
        """Work through all that is above the place.

        Args:
            again: what was left before, too.
        Raises:
            SourceError, StoreError, OverloadError: not all went well; what could be done was done.
        """
        folder = await self._open()
        self._place = await self._placed(folder, again=again)
        try:
            if again:
                await self._left_before()
            while (found := await self._call(self._session.above, self._place.uid, folder)).uids:
                self._above = len(found.uids) + found.beyond
                for uids in parts(found.uids):
                    await self._part(uids)
                await self._settle()
                folder = await self._open()  # what came meanwhile, and how many there are now
        except (StoreError, OverloadError):
            await self._settle()
            raise
        self._above = 0
        self._tell_waiting()
        if self._trouble is not None:
            raise self._trouble

    # Where we are

    async def _open(self) -> Folder:
        return await self._call(partial(self._session.look, readonly=self._config.after == "leave"))

    async def _placed(self, folder: Folder, *, again: bool) -> Place:
        """The place that belongs to this folder's UIDs; its beginning where they are new."""
        if again and not folder.uidvalidity:  # those of the last session mean nothing in this one
            self._memory.place = Place(uidvalidity=0)
        place = self._memory.place
        if place is None:
            place = read_place(await self._desk.place(self._key))
        if place is None or place.uidvalidity != folder.uidvalidity:
            if place is not None:
                self._desk.log.warning(
                    "messages were numbered anew: all are looked at again",
                    source=self._way.name,
                    folder=printable(self._session.folder),
                    uidvalidity=folder.uidvalidity,
                )
            place = Place(uidvalidity=folder.uidvalidity)
        self._memory.place = place
        return place

    async def _settle(self) -> None:
        """Put away what is kept, and move the place on. Returns once that is on the disk."""
        owed, self._owed = self._owed, _Owed()
        if not owed.covered:
            return
        left = owed.left
        left += await self._put_away(sorted(owed.done), "done")
        left += await self._put_away(sorted(owed.failed), "failed")
        old = self._place
        remain = tuple(sorted((set(old.left) - set(owed.covered)) | set(left)))
        if len(remain) > LEFT:
            raise self._trouble or SourceError(f"more than {LEFT:,} messages can't be dealt with")
        self._place = Place(uidvalidity=old.uidvalidity, uid=max(old.uid, *owed.covered), left=remain)
        self._memory.place = self._place
        self._tell_waiting()
        if self._place != old and old.uidvalidity:  # UIDs that end with the session are no place to come back to
            await self._desk.keep_place(self._key, msgspec.json.encode(self._place).decode())

    def _note(self, trouble: TlsrptError) -> None:
        """To be raised when the look is through. That too much came at once is the least of troubles."""
        if self._trouble is None or isinstance(self._trouble, OverloadError):
            self._trouble = trouble

    def _tell_waiting(self) -> None:
        self._desk.status.waiting = max(self._above, 0) + len(self._place.left) + len(self._owed.left)

    # Taking in

    async def _left_before(self) -> None:
        """Try again what could not be dealt with. Where that fails again, others may still fare better."""
        for uids in parts(self._place.left):
            try:
                await self._part(uids)
            except (StoreError, OverloadError) as error:
                self._note(error)
                break
        await self._settle()

    async def _part(self, uids: Sequence[int]) -> None:
        sizes = await self._call(self._session.sizes, uids)
        most = self._limits.compressed_bytes
        for uid, size in sizes.items():
            if size > most:
                self._desk.log.warning(
                    "left alone for its size", source=self._way.name, where=self._where(uid), size_bytes=size
                )
                self._desk.status.counts("too-large")
        # A server that tells no size, or 0, may send anything up to the limit.
        fetched = {uid: size or most for uid, size in sizes.items() if size <= most}
        for batch in batches(uids, fetched):
            try:
                reserved = self._reserve(batch, fetched)
            except OverloadError:
                await self._take_in_singly(batch, fetched)
            else:
                with reserved:
                    await self._take_in(batch)

    async def _take_in_singly(self, batch: Batch, sizes: Mapping[int, int]) -> None:
        """What there is room for; the others are left, for a large one may else hold up small ones for ever.

        Raises:
            OverloadError: there is none for any.
        """
        refused = list[tuple[Batch, OverloadError]]()
        for one in singly(batch):
            try:
                reserved = self._reserve(one, sizes)
            except OverloadError as error:
                refused.append((one, error))
            else:
                with reserved:
                    await self._take_in(one)
        if len(refused) == len(batch.fetched):
            raise refused[0][1]
        for one, why in refused:
            self._leaves(one.fetched, one.covered, why)

    def _reserve(self, batch: Batch, sizes: Mapping[int, int]) -> contextlib.ExitStack:
        """Room for the messages, before their bytes are here."""
        with contextlib.ExitStack() as stack:
            for uid in batch.fetched:
                stack.enter_context(self._desk.room.place(sizes[uid]))
            return stack.pop_all()

    async def _take_in(self, batch: Batch) -> None:
        messages, left = await self._fetch(batch.fetched)
        async with asyncio.TaskGroup() as group:
            tasks = {uid: group.create_task(self._take(uid, data)) for uid, data in messages.items()}
        outcomes = {uid: task.result() for uid, task in tasks.items()}
        taken = {uid: one.outcome for uid, one in outcomes.items() if isinstance(one, Taken)}
        errors = {uid: one for uid, one in outcomes.items() if not isinstance(one, Taken)}
        done = [uid for uid, outcome in taken.items() if outcome in _DONE]
        failed = [uid for uid, outcome in taken.items() if outcome == "quarantined"]
        owed = self._owed
        owed.done += done
        owed.failed += failed
        self._leaves([*left, *errors], batch.covered, *errors.values())
        if not (done or failed):
            # Nothing can be kept now. Where something could, it is the matter of these messages: a full quarantine
            # takes no unreadable report, a submitter sent more than its share, and others must not wait for that.
            for why in errors.values():
                if not isinstance(why, RateError):
                    raise why
        if len(owed.done) + len(owed.failed) >= PUT_AWAY:
            await self._settle()

    def _leaves(self, left: Sequence[int], covered: Sequence[int], *errors: TlsrptError) -> None:
        """These are dealt with, but for those that are left; and why."""
        self._owed.left += left
        self._owed.covered += covered
        self._above -= sum(uid > self._place.uid for uid in covered)
        self._tell_waiting()
        for error in errors:
            self._note(error)

    async def _take(self, uid: int, data: bytes) -> Taken | OverloadError | StoreError:
        try:
            return await self._desk.take(data, way=self._way, where=self._where(uid))
        except (OverloadError, StoreError) as error:
            return error

    async def _fetch(self, uids: Sequence[int]) -> tuple[dict[int, bytes], list[int]]:
        """The messages, and the UIDs of those that the server can't give."""
        if not uids:
            return {}, []
        try:
            return await self._call(self._session.messages, uids), []
        except RefusedError:
            messages, left = dict[int, bytes](), list[int]()
        for uid in uids:  # one that the server can't read itself must not hold up the others
            try:
                messages |= await self._call(self._session.messages, (uid,))
            except RefusedError as error:
                left.append(uid)
                self._desk.log.warning(
                    "message can't be fetched", source=self._way.name, where=self._where(uid), reason=error.what
                )
        return messages, left

    def _where(self, uid: int) -> str:
        return f"{printable(self._session.folder)} UID {uid}"

    # Putting away

    async def _put_away(self, uids: Sequence[int], how: Literal["done", "failed"]) -> Sequence[int]:
        """Acknowledge messages that are kept. Returns those that could not be put away: they are tried again."""
        after = self._config.after
        if not uids or after == "leave":
            return ()
        left = list[int]()
        for some in uid_sets(uids):
            try:
                match after:
                    case "move":
                        await self._move(some, how)
                    case "flag":
                        await self._flag(some, how)
                    case "delete":
                        self._tell_no_move(await self._call(self._session.can_delete))
                        await self._call(self._session.delete, some.text)
            except RefusedError as error:
                self._note(error)
                left += some.uids
        return left

    async def _move(self, some: UidSet, how: Literal["done", "failed"]) -> None:
        session, memory = self._session, self._memory
        folder = session.done_folder if how == "done" else session.failed_folder
        able = await self._call(session.can_move)
        self._tell_no_move(able)
        if able:
            try:
                await self._call(session.move, some.text, folder)
                memory.moves_refused = 0
                return
            except RefusedError as error:
                # A folder that is full must not end the receiving of reports, nor have them fetched again for ever.
                memory.moves_refused += 1
                if memory.moves_refused < REFUSALS:
                    raise
                self._note(error)
                self._desk.log.error(
                    "messages can't be moved: flagged in their place",
                    source=self._way.name,
                    messages=len(some.uids),
                    reason=error.what,
                )
        await self._flag(some, how)

    async def _flag(self, some: UidSet, how: Literal["done", "failed"]) -> None:
        await self._call(self._session.flag, some.text, "\\Seen", *(["\\Flagged"] if how == "failed" else []))

    def _tell_no_move(self, able: bool) -> None:
        if not able and not self._memory.told_no_move:
            self._memory.told_no_move = True
            self._desk.log.warning(no_move(self._config), source=self._way.name)

    async def _call(self, function: Callable[..., T], *args: Any) -> T:
        return await self._thread.call(function, *args)


def no_move(config: ImapSource) -> str:
    """What happens where the server has no means to remove some messages and no others."""
    if config.after == "move":
        return "the server can't move messages (no MOVE, no UIDPLUS): they are flagged as seen instead"
    return r"the server can't delete single messages (no UIDPLUS): they are marked \Deleted, and stay"


def read_place(text: str | None) -> Place | None:
    """A place as it was kept; None for none, or for one that can't be read: all is looked at again then."""
    if text is None:
        return None
    try:
        return msgspec.json.decode(text, type=Place)
    except msgspec.DecodeError:
        return None
