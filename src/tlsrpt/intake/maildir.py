"""A Maildir that a mail server delivers to, watched: what is unread in it is taken in, then marked as read or moved.

Unread is what lies in `new`, and what a mail reader has taken from there to `cur` without showing it to anybody (no S
in its flags): with an IMAP client that waits on the mailbox, every message is in `cur` before we look. Whatever is no
report stays as it is. Only regular files are opened: a link could name any file that this service may read.
"""

from __future__ import annotations

import asyncio
import errno
import os
import pwd
import stat
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from msgspec import Struct

from tlsrpt.config import MaildirSource
from tlsrpt.core.errors import ConfigError, SourceError, TlsrptError
from tlsrpt.core.limits import Limits
from tlsrpt.core.text import printable
from tlsrpt.intake.polling import Look, PutOff, Seen, each, keep_looking
from tlsrpt.intake.room import Place
from tlsrpt.intake.source import Desk
from tlsrpt.intake.way import Way

P = ParamSpec("P")
T = TypeVar("T")

AT_ONCE = 128  # messages in work: enough for commits to be shared; more were no faster
MOST_A_LOOK = 20_000  # messages that one look takes up; the next begins at once where there are more
FULL_S = 60.0  # between looks into the folders whatever their times say, which are coarse, and on NFS late
# A message is known by its name. With after = leave, where names are kept over a restart, its time is the inode's
# change, which delivery sets whatever date the file bears; a day is for clocks that were wrong.
OVERLAP_S = 86_400.0
UNREADABLE_S = 60.0  # until a file that may not be read is tried again
WHERE_CHARACTERS = 300
PARTS = ("new", "cur", "tmp")


class Message(Struct, frozen=True):
    """An unread message in a Maildir."""

    part: str  # new or cur
    name: str  # of its file
    when: float
    size: int

    @property
    def key(self) -> str:
        """Its name without flags, which stays the same when a mail reader moves it to `cur`."""
        return _key(self.name)

    @property
    def where(self) -> str:
        """For people."""
        return printable(f"{self.part}/{self.name}", WHERE_CHARACTERS)


class Found(Struct, frozen=True):
    """What a look into the folders found."""

    messages: list[Message]  # not dealt with, the oldest first
    more: bool  # there are more than these
    waiting: int  # unread messages that were not dealt with, all of them


class Folder:
    """The files of a Maildir. Everything here blocks; it is called in a thread."""

    def __init__(self, path: str, after: str, done_folder: str, failed_folder: str) -> None:
        self.path = Path(path)
        self._after = after
        self._done = done_folder if after == "move" else ""
        self._failed = (failed_folder if after != "leave" else "") or self._done
        self._stamps: list[object] = []  # of the folders, at the last two looks into them

    def check(self) -> None:
        """Whether it is a Maildir and we may do with it what we are to do.

        Raises:
            SourceError: no; says why and what to do.
        """
        for part in PARTS:
            folder = self.path / part
            try:
                found = folder.stat()
            except OSError as error:
                if isinstance(error, FileNotFoundError | NotADirectoryError):
                    inner = self.path / "Maildir"
                    fix = f"is it {inner}?" if inner.is_dir() else "the mail server makes it with the first message"
                    raise SourceError(
                        f"is no Maildir: there is no {part} in it", where=str(self.path), fix=fix
                    ) from error
                raise _refused(folder, "looked into", error) from error
            if not stat.S_ISDIR(found.st_mode):
                raise SourceError(f"is no Maildir: {part} is no folder", where=str(self.path))
            needs = os.R_OK | os.X_OK
            if self._after != "leave":
                needs |= os.W_OK
            if part != "tmp" and not _may(folder, needs):
                what = "read and changed" if needs & os.W_OK else "read"
                raise SourceError(
                    f"may not be {what} by this user ({_user(os.geteuid())}); it belongs to {_user(found.st_uid)}",
                    where=str(folder),
                    fix='run the service as that user, give both a group, or set after = "leave"',
                )

    def prepare(self) -> None:
        """Make the folders that messages are moved to.

        Raises:
            SourceError: they can't be made, or it is no Maildir of ours: as `check`.
        """
        self.check()
        for name in (self._done, self._failed):
            if name:
                self._subfolder(name)

    def changed(self) -> bool:
        """Whether there may be something new since the last looks, as far as the folders' times tell."""
        return len(self._stamps) < 2 or self._stamps[0] != self._stamps[1] or self._stamp() != self._stamps[1]

    def _stamp(self) -> object:
        # Two looks at one time are needed: a delivery within the grain of the clock, after the first, would not show.
        with self._reading():
            found = [(self.path / part).stat() for part in ("new", "cur")]
        return [(one.st_ino, one.st_mtime_ns) for one in found]

    def unread(self, seen: Seen, put_off: PutOff) -> Found:
        """What is unread and was not dealt with.

        Raises:
            SourceError: the folders can't be read.
        """
        self._stamps = [*self._stamps[-1:], self._stamp()]
        messages: list[Message] = []
        keys = set[str]()
        waiting, most = 0, MOST_A_LOOK + len(put_off)
        for part, entry in self._listed():
            key = _key(entry.name)
            if key in keys or seen.has_name(key):  # in both folders while it is being moved
                continue
            try:
                found = entry.stat(follow_symlinks=False)
            except OSError:  # gone since
                continue
            message = Message(part, entry.name, found.st_ctime, found.st_size)
            if not stat.S_ISREG(found.st_mode) or seen.has(message):
                continue
            waiting += 1
            if len(messages) < most:
                messages.append(message)
                keys.add(key)
        more = waiting > len(messages)
        if not more:
            put_off.keep(keys)
        messages.sort(key=_when)
        return Found(messages, more, waiting)

    def _listed(self) -> Iterator[tuple[str, os.DirEntry[str]]]:
        with self._reading():
            for part in ("new", "cur"):
                with os.scandir(self.path / part) as entries:
                    for entry in entries:
                        if not entry.name.startswith(".") and (part == "new" or not _is_read(entry.name)):
                            yield part, entry

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.check()  # which may know better what is wrong
            raise SourceError(f"can't be read: {error.strerror or error}", where=str(self.path)) from error

    def count(self) -> dict[str, int]:
        """How many unread messages are in `new` and in `cur`.

        Raises:
            SourceError: they can't be read.
        """
        counts = {"new": 0, "cur": 0}
        for part, _ in self._listed():
            counts[part] += 1
        return counts

    def read(self, message: Message, most: int) -> bytes | None:
        """The message's bytes, one more than `most` at most; None where it is gone, or no regular file.

        Raises:
            OSError: it can't be read.
        """
        path = self.path / message.part / message.name
        try:
            # Not to block on a pipe, and not to follow a link, that was put there since it was listed.
            file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ELOOP, errno.ENXIO):
                return None
            raise
        with os.fdopen(file, "rb", buffering=0) as opened:
            found = os.fstat(file)
            if not stat.S_ISREG(found.st_mode):
                return None
            pieces, wanted = [], min(found.st_size, most) + 1
            while wanted > 0 and (piece := opened.read(wanted)):
                pieces.append(piece)
                wanted -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def settle(self, message: Message, *, failed: bool) -> bool:
        """Acknowledge a message that is kept; whether it is changed by that. One that is gone is no error.

        Args:
            failed: it went to quarantine.

        Raises:
            SourceError: it can't be.
        """
        if self._after == "leave":
            return False
        path, aside = self.path / message.part / message.name, self._failed if failed else self._done
        try:
            if self._after == "delete" and not aside:
                path.unlink()
            else:
                folder = self._subfolder(aside) if aside else self.path
                flags = set(message.name.partition(":2,")[2])
                if not (failed and aside != self._done):  # in a folder of their own they are for a person to look at
                    flags.add("S")
                path.rename(_free(folder / "cur", message.key, "".join(sorted(flags))))
        except FileNotFoundError:
            moved = self._in_cur(message) if message.part == "new" else None
            if moved is not None:
                self.settle(moved, failed=failed)
        except OSError as error:
            raise _refused(path, "deleted" if self._after == "delete" else "moved", error) from error
        return True

    def _in_cur(self, message: Message) -> Message | None:
        """A message that a mail reader has moved from `new` since it was listed."""
        with self._reading(), os.scandir(self.path / "cur") as entries:
            for entry in entries:
                if _key(entry.name) == message.key:
                    return Message("cur", entry.name, message.when, message.size)
        return None

    def _subfolder(self, name: str) -> Path:
        """A Maildir++ folder, made when it is missing, with the rights of the Maildir itself."""
        folder = self.path / f".{name}"
        try:
            if not (folder / "cur").is_dir():
                like = (self.path / "cur").stat()
                for one in (folder, *(folder / part for part in PARTS)):
                    one.mkdir(exist_ok=True)
                    _like(one, like, like.st_mode)
                mark = folder / "maildirfolder"
                mark.touch()
                _like(mark, like, like.st_mode & 0o666)
        except OSError as error:
            raise _refused(folder, "made", error) from error
        return folder


class _Hands:
    """One thread for the files. It does all that waits, then all are answered: a hop between threads is shared.

    A hop costs as much as a small file's reading, and more when the machine is busy.
    """

    def __init__(self, name: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._waiting: list[tuple[asyncio.Future[Any], Callable[[], Any]]] = []
        self._busy = False

    async def do(self, job: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Do it in the thread; gives what it gives, raises what it raises."""
        future: asyncio.Future[T] = self._loop.create_future()
        self._waiting.append((future, partial(job, *args, **kwargs)))
        if not self._busy:
            self._busy = True
            self._loop.call_soon(self._begin)
        return await future

    def close(self) -> None:
        """End the thread, once it is done with what it is at."""
        self._thread.shutdown(wait=False)

    def _begin(self) -> None:
        jobs, self._waiting = self._waiting, []
        self._thread.submit(self._work, jobs)

    def _work(self, jobs: list[tuple[asyncio.Future[Any], Callable[[], Any]]]) -> None:
        answers = [(future, _result(job)) for future, job in jobs]
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._tell, answers)

    def _tell(self, answers: list[tuple[asyncio.Future[Any], tuple[Any, BaseException | None]]]) -> None:
        for future, (result, error) in answers:
            if future.done():  # whoever waited was cancelled
                continue
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(result)
        if self._waiting:
            self._begin()
        else:
            self._busy = False


def _result(job: Callable[[], Any]) -> tuple[Any, BaseException | None]:
    try:
        return job(), None
    except Exception as error:  # noqa: BLE001 - it is the caller's, who waits in another thread
        return None, error


class WatchedMaildir:
    """Takes in what is delivered to a Maildir.

    Args:
        clock: seconds, steady.
    Raises:
        ConfigError: the path or a folder's name can't be used.
    """

    def __init__(
        self, config: MaildirSource, way: Way, limits: Limits, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        if not Path(config.path).is_absolute():
            raise ConfigError(f'"{printable(config.path, 200)}" is no absolute path', where=f"source {way.name}")
        self.way = way
        self._config = config
        self._most = limits.compressed_bytes
        self._clock = clock
        done, failed = (_folder_name(name, way) for name in (config.done_folder, config.failed_folder))
        if config.after == "move" and not done:
            raise ConfigError("done_folder is empty", where=f"source {way.name}", fix="name a folder to move to")
        self._folder = Folder(config.path, config.after, done, failed)
        self._put_off = PutOff(clock)
        self._seen = Seen(OVERLAP_S if config.after == "leave" else None)
        self._looked_at: float | None = None

    async def run(self, desk: Desk) -> None:
        """Look into the Maildir again and again, until cancelled.

        Raises:
            SourceError: it is none, or may not be read or changed.
        """
        with closing(_Hands(f"tlsrpt-{self.way.name}")) as hands:
            await self._begin(desk, hands)
            await keep_looking(partial(self._look, desk, hands), desk, self._config.every_s)

    async def drain(self, desk: Desk) -> None:
        """Take in everything that is unread, once.

        Raises:
            SourceError: it is no Maildir, or something in it may not be read or changed.
            StoreError, OverloadError: not everything could be taken.
        """
        with closing(_Hands(f"tlsrpt-{self.way.name}")) as hands:
            await self._begin(desk, hands)
            trouble = await self._look(desk, hands)
        if trouble is not None:
            raise trouble

    async def test(self) -> list[str]:
        """Count what is unread, and change nothing.

        Raises:
            SourceError: it is no Maildir, or may not be read or changed.
        """
        return await asyncio.to_thread(self._test)

    def _test(self) -> list[str]:
        self._folder.check()
        counts = self._folder.count()
        lines = [f"{self._folder.path}: {counts['new']:,} messages in new, {counts['cur']:,} unread in cur"]
        for message in self._folder.unread(Seen(), PutOff(self._clock)).messages[:1]:
            try:
                self._folder.read(message, self._most)
            except OSError as error:
                raise self._unreadable(message, error) from error
            lines.append("they may be read" + ("" if self._config.after == "leave" else " and changed"))
        return lines

    async def _begin(self, desk: Desk, hands: _Hands) -> None:
        await hands.do(self._folder.check if self._config.after == "leave" else self._folder.prepare)
        if self._config.after == "leave" and self._looked_at is None:
            self._seen.read(await desk.place(self._place) or "")

    @property
    def _place(self) -> str:
        return f"maildir {self._folder.path}"

    async def _look(self, desk: Desk, hands: _Hands) -> TlsrptError | None:
        """Look through all that is unread; gives what some of it could not be taken for."""
        lately = self._looked_at is not None and self._clock() - self._looked_at < FULL_S
        if lately and not self._put_off and not await hands.do(self._folder.changed):
            return None
        while True:
            found = await hands.do(self._folder.unread, self._seen, self._put_off)
            desk.status.waiting = found.waiting
            look = Look(desk.room, self._put_off, most=self._most, at_once=AT_ONCE)
            await look.through(each(found.messages), partial(self._take, desk, hands, look))
            if not found.more or not look.handled:
                break
        if not found.more:
            self._looked_at = self._clock()
            self._seen.whole(look.left)
        if self._config.after == "leave" and self._seen.changed:
            await desk.keep_place(self._place, self._seen.write())
        return look.trouble

    async def _take(self, desk: Desk, hands: _Hands, look: Look, message: Message, place: Place) -> bool:
        if message.size > self._most:
            desk.status.counts("too-large")
            desk.log.warning(
                "left alone for its size", source=self.way.name, where=message.where, size_bytes=message.size
            )
            self._seen.add(message)
            return self._gone(desk)
        try:
            data = await hands.do(self._folder.read, message, self._most)
        except OSError as error:
            trouble = self._unreadable(message, error)
            if not self._put_off.knows(message.key):
                desk.log.warning("message unreadable", source=self.way.name, where=message.where, reason=trouble.what)
            self._put_off.add(message.key, trouble, UNREADABLE_S)
            look.fails(message, trouble)
            return False
        if data is None:  # a mail reader moved or deleted it: if it is still unread, the next look finds it
            return self._gone(desk)
        place.grow(max(0, len(data) - place.bytes))
        taken = await desk.take(data, way=self.way, where=message.where)
        kept = taken.outcome in ("new", "known", "conflict", "quarantined")
        if not kept or not await hands.do(self._folder.settle, message, failed=taken.outcome == "quarantined"):
            self._seen.add(message)
        return self._gone(desk)

    def _gone(self, desk: Desk) -> bool:
        if desk.status.waiting:
            desk.status.waiting -= 1
        return True

    def _unreadable(self, message: Message, error: OSError) -> SourceError:
        return _refused(self._folder.path / message.part / message.name, "read", error)


def _folder_name(name: str, way: Way) -> str:
    """The name of a Maildir++ folder, without its first dot."""
    bare = name.removeprefix(".")
    if "/" in bare or "\0" in bare or ".." in bare or bare.endswith(".") or bare.startswith("."):
        raise ConfigError(
            f'"{printable(name, 200)}" is no Maildir++ folder', where=f"source {way.name}", fix="write A.B for B in A"
        )
    return bare


def _key(name: str) -> str:
    return name.partition(":2,")[0]


def _is_read(name: str) -> bool:
    """Whether a mail reader has shown or deleted the message, or it is a draft."""
    return bool(set(name.partition(":2,")[2]) & set("STD"))


def _when(message: Message) -> tuple[float, str]:
    return message.when, message.name


def _free(folder: Path, key: str, flags: str) -> Path:
    """A path in `cur` where nothing is: a rename would replace what is there without a word."""
    path = folder / f"{key}:2,{flags}"
    n = 0
    while os.path.lexists(path):
        n += 1
        path = folder / f"{key}.{n}:2,{flags}"
    return path


def _may(folder: Path, needs: int) -> bool:
    return os.access(folder, needs, effective_ids=os.access in os.supports_effective_ids)


def _like(path: Path, like: os.stat_result, mode: int) -> None:
    """Give what we made the rights of what is there; the owner too, where we are root."""
    if os.geteuid() == 0:
        os.chown(path, like.st_uid, like.st_gid)
    else:
        with suppress(PermissionError):  # not a member of that group
            os.chown(path, -1, like.st_gid)
    path.chmod(stat.S_IMODE(mode))


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def _refused(path: Path, what: str, error: OSError) -> SourceError:
    where = printable(str(path), 300)
    if error.errno not in (errno.EACCES, errno.EPERM):
        return SourceError(f"can't be {what}: {error.strerror or error}", where=where)
    owner = ""
    with suppress(OSError):
        owner = f"; it belongs to {_user(path.lstat().st_uid)}"
    return SourceError(
        f"may not be {what} by this user ({_user(os.geteuid())}){owner}",
        where=where,
        fix="run the service as the user that the mail server delivers as, or give both a group",
    )
