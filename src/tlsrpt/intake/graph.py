"""A mailbox of Microsoft 365, by Graph: for tenants where IMAP is switched off.

Messages are listed from the oldest on, fetched as mails, and touched only once they are kept. A list is read to its end
before anything is moved: Graph counts its pages by position, and would skip as many messages as were taken away.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar
from urllib.parse import quote

import msgspec
from msgspec import Struct

from tlsrpt.config import GraphSource
from tlsrpt.core.errors import ConfigError, SourceError, TlsrptError
from tlsrpt.core.limits import Limits
from tlsrpt.core.text import printable
from tlsrpt.intake.graph_client import AT_ONCE, NO_MAIL, GraphClient, Method, Reply, check_endpoint
from tlsrpt.intake.oauth import GRAPH_SCOPE, token_source
from tlsrpt.intake.outgoing import trust
from tlsrpt.intake.polling import Look, PutOff, Seen, each, keep_looking
from tlsrpt.intake.room import Place
from tlsrpt.intake.source import Desk
from tlsrpt.intake.way import Way

T = TypeVar("T")

PAGE = 500  # messages that are listed at once; Graph gives 1,000 at most
MOST_A_LOOK = 5_000  # messages that are taken up before the folder is listed again
# Messages turn up with an older date when somebody moves them in. With after = move or delete the whole folder is
# listed at times; else they are found when they are at most so much older than the newest.
OVERLAP_S = 86_400.0
FULL_S = 3_600.0
FAILED_IN_A_ROW = 5  # messages that Graph can't give, one after another: it is Graph, then, and not they
TEST_PATIENCE_S = 10.0
WHERE_CHARACTERS = 300
# Folders that Graph knows by these names in every language; others by what the mailbox calls them.
WELL_KNOWN = {
    "inbox": "inbox",
    "archive": "archive",
    "junk email": "junkemail",
    "deleted items": "deleteditems",
    "sent items": "sentitems",
}


class _Item(Struct, frozen=True):
    id: str
    received: datetime | None = msgspec.field(default=None, name="receivedDateTime")
    message_id: str | None = msgspec.field(default=None, name="internetMessageId")


class _Page(Struct, frozen=True):
    value: tuple[_Item, ...]
    next: str = msgspec.field(default="", name="@odata.nextLink")


class _Folder(Struct, frozen=True):
    id: str
    name: str = msgspec.field(default="", name="displayName")
    total: int = msgspec.field(default=0, name="totalItemCount")
    unread: int = msgspec.field(default=0, name="unreadItemCount")


class _Folders(Struct, frozen=True):
    value: tuple[_Folder, ...]


class Message(Struct, frozen=True):
    """A message in the mailbox."""

    key: str  # Graph's immutable id
    when: float
    where: str
    size: int = 0  # Graph does not tell


class GraphMailbox:
    """Takes in what arrives in one folder of a mailbox.

    Args:
        sleep, clock: seconds.
    Raises:
        ConfigError: the configuration can't work.
    """

    def __init__(
        self,
        config: GraphSource,
        way: Way,
        limits: Limits,
        *,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.way = way
        self._config = config
        self._most = limits.compressed_bytes
        self._sleep = sleep
        self._clock = clock
        try:
            self._endpoint = check_endpoint(config.endpoint)
            if config.oauth.provider == "google":
                raise ConfigError("Graph takes tokens of Microsoft's", fix='set oauth.provider = "microsoft"')
            self._tokens = token_source(config.oauth, microsoft_scope=GRAPH_SCOPE)
            self._folder = _path(config.folder, "folder")
            self._done = _path(config.done_folder, "done_folder") if config.after == "move" else ()
            self._failed = _path(config.failed_folder, "failed_folder") if config.failed_folder else self._done
        except ConfigError as error:
            raise ConfigError(error.what, where=f"source {way.name}", fix=error.fix) from error
        if config.after == "move" and _same(self._folder) in (_same(self._done), _same(self._failed)):
            raise ConfigError(
                "done_folder or failed_folder is the folder that reports arrive in", where=f"source {way.name}"
            )
        self._user = f"/users/{quote(config.mailbox, safe='@')}"
        self._put_off = PutOff(clock)
        # What is moved or deleted is gone from the folder; the rest has to be remembered, over a restart too.
        self._remembers = config.after in ("flag", "leave")
        self._seen = Seen(OVERLAP_S if self._remembers else None)
        self._newest = 0.0
        self._full_at: float | None = None
        self._in_a_row = 0

    def _client(self, **more: float) -> GraphClient:
        return GraphClient(
            self._endpoint, trust(self._config.ca_file), self._tokens, sleep=self._sleep, clock=self._clock, **more
        )

    async def run(self, desk: Desk) -> None:
        """Look through the folder again and again, until cancelled.

        Raises:
            SourceError: it can't be reached or used.
        """
        async with self._client() as client:
            await self._begin(desk)
            await keep_looking(partial(self._look, desk, client), desk, self._config.every_s)

    async def drain(self, desk: Desk) -> None:
        """Take in all that waits, once.

        Raises:
            SourceError: it can't be reached or used, or something in it can't be had.
            StoreError, OverloadError: not everything could be taken.
        """
        async with self._client() as client:
            await self._begin(desk)
            trouble = await self._look(desk, client)
        if trouble is not None:
            raise trouble

    async def test(self) -> list[str]:
        """Get a token, count what is in the folder, and change nothing.

        Raises:
            SourceError: it can't be reached or used.
        """
        async with self._client(patience_s=TEST_PATIENCE_S) as client:
            mailbox = _Mailbox(client, self._user, self._config)
            folder = await mailbox.read(_at_folder(await mailbox.source(self._folder)), _Folder)
            lines = [
                f"{printable(self._config.mailbox, 200)}: {folder.total:,} messages in "
                f"{printable(folder.name or self._config.folder, 200)}, {folder.unread:,} unread"
            ]
            if self._config.after == "move":
                for path in dict.fromkeys((self._done, self._failed)):
                    there = await mailbox.find(path) is not None
                    lines.append(f"{printable('/'.join(path), 200)}: {'is there' if there else 'will be made'}")
        return lines

    async def _begin(self, desk: Desk) -> None:
        if self._remembers and self._full_at is None:
            self._seen.read(await desk.place(self._place) or "")

    @property
    def _place(self) -> str:
        return f"graph {self._config.endpoint} {self._config.mailbox} {self._config.folder}"

    async def _look(self, desk: Desk, client: GraphClient) -> TlsrptError | None:
        """Look through the folder; gives what some of it could not be taken for."""
        mailbox = _Mailbox(client, self._user, self._config)
        folder = await mailbox.source(self._folder)
        began = self._clock()
        full = self._full_at is None or began - self._full_at >= FULL_S or len(self._put_off) > 0
        since = self._seen.until if full else max(self._seen.until, self._newest - OVERLAP_S)
        while True:
            found, more = await self._listed(mailbox, folder, since)
            desk.status.waiting = len(found)
            look = Look(desk.room, self._put_off, most=self._most, at_once=2 * AT_ONCE)
            await look.through(each(found), partial(self._take, desk, mailbox, look))
            if not more or not look.handled:
                break
        if full and not more:
            self._full_at = began
            self._seen.whole(look.left)
        if self._remembers and self._seen.changed:
            await desk.keep_place(self._place, self._seen.write())
        return look.trouble

    async def _listed(self, mailbox: _Mailbox, folder: str, since: float) -> tuple[list[Message], bool]:
        """The messages since a time that were not dealt with, the oldest first; and whether there are more."""
        found: list[Message] = []
        put_off = 0
        url = f"{_at_folder(folder)}/messages?$select=id,receivedDateTime,internetMessageId&$top={PAGE}"
        if since > 0:
            stamp = datetime.fromtimestamp(since, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            url += f"&$filter={quote(f'receivedDateTime ge {stamp}')}"
        url += "&$orderby=receivedDateTime"
        while url:
            page = await mailbox.read(url, _Page)
            for message in map(self._message, page.value):
                self._newest = max(self._newest, message.when)
                if not self._seen.has(message):
                    found.append(message)
                    put_off += self._put_off.knows(message.key)
            if len(found) - put_off >= MOST_A_LOOK:
                return found, bool(page.next)
            url = page.next
        return found, False

    def _message(self, item: _Item) -> Message:
        when = item.received.timestamp() if item.received is not None else self._newest
        name = f"{self._config.folder} {item.message_id or item.id[-24:]}"
        return Message(item.id, when, printable(name, WHERE_CHARACTERS))

    async def _take(self, desk: Desk, mailbox: _Mailbox, look: Look, message: Message, place: Place) -> bool:
        reply = await mailbox.content(message, self._most, place.grow)
        if reply.status == 404:  # moved or deleted since it was listed
            return self._dealt_with(desk)
        if not reply.good:
            return self._not_had(desk, look, message, reply)
        self._in_a_row = 0
        if reply.cut:
            desk.status.counts("too-large")
            desk.log.warning(
                "left alone for its size", source=self.way.name, where=message.where, more_than_bytes=self._most
            )
            self._seen.add(message)
            return self._dealt_with(desk)
        taken = await desk.take(reply.body, way=self.way, where=message.where)
        kept = taken.outcome in ("new", "known", "conflict", "quarantined")
        if kept:
            await self._settle(mailbox, message, failed=taken.outcome == "quarantined")
        if not kept or self._remembers:
            self._seen.add(message)
        return self._dealt_with(desk)

    def _dealt_with(self, desk: Desk) -> bool:
        if desk.status.waiting:
            desk.status.waiting -= 1
        return True

    def _not_had(self, desk: Desk, look: Look, message: Message, reply: Reply) -> bool:
        """Graph lists a message and can't give it: for good, where it can't make a mail of it, or for now."""
        if reply.code in NO_MAIL:
            desk.status.counts("other")
            desk.log.warning("no mail", source=self.way.name, where=message.where, reason=reply.said())
            self._seen.add(message)
            return self._dealt_with(desk)
        error = SourceError(f"a message can't be had: {reply.said()}", where=message.where)
        self._in_a_row += 1
        if self._in_a_row >= FAILED_IN_A_ROW:
            self._in_a_row = 0
            raise error
        if not self._put_off.knows(message.key):
            desk.log.warning("message can't be fetched", source=self.way.name, where=message.where, reason=reply.said())
        self._put_off.longer(message.key, error)
        look.fails(message, error)
        return False

    async def _settle(self, mailbox: _Mailbox, message: Message, *, failed: bool) -> None:
        match self._config.after:
            case "move":
                await mailbox.move(message, self._failed if failed else self._done)
            case "flag":
                await mailbox.flag(message, failed=failed)
            case "delete":
                await mailbox.delete(message)


class _Mailbox:
    """What is asked of one mailbox during a look."""

    def __init__(self, client: GraphClient, user: str, config: GraphSource) -> None:
        self._client = client
        self._user = user
        self._config = config
        self._made: dict[tuple[str, ...], str] = {}
        self._making = asyncio.Lock()

    async def read(self, path: str, kind: type[T]) -> T:
        """What Graph has there.

        Args:
            path: below the mailbox, or a whole URL that Graph gave.
        Raises:
            SourceError: it can't be had.
        """
        reply = await self._client.ask("GET", self._user + path if path.startswith("/") else path)
        if not reply.good:
            raise self._refused(reply)
        return self._client.understood(reply, kind)

    async def content(self, message: Message, most: int, more: Callable[[int], None]) -> Reply:
        """The message as a mail, up to so many bytes, or what Graph says instead.

        Raises:
            SourceError: the mailbox can't be used.
        """
        reply = await self._client.ask("GET", self._at(message) + "/$value", most=most, more=more)
        if reply.status in (401, 403):
            raise self._refused(reply)
        return reply

    async def move(self, message: Message, path: tuple[str, ...]) -> None:
        """Move a message to a folder, which is made when it is missing."""
        body = {"destinationId": await self._target(path)}
        await self._change("POST", self._at(message) + "/move", body)

    async def flag(self, message: Message, *, failed: bool) -> None:
        """Mark a message as read; one that a person should look at has a flag, too."""
        flag = {"flag": {"flagStatus": "flagged"}} if failed else {}
        await self._change("PATCH", self._at(message), {"isRead": True, **flag})

    async def delete(self, message: Message) -> None:
        """Delete a message, as its owner would."""
        await self._change("DELETE", self._at(message), None)

    async def source(self, path: tuple[str, ...]) -> str:
        """The folder that reports arrive in.

        Raises:
            SourceError: there is none of that name.
        """
        found = await self.find(path)
        if found is None:
            raise SourceError(
                f'there is no folder "{printable("/".join(path), 200)}"',
                where=printable(self._config.mailbox, 200),
                fix="see folder; its name is as the mailbox shows it, with / between levels",
            )
        return found

    async def find(self, path: tuple[str, ...]) -> str | None:
        """A folder's id; None where it is not."""
        parent = ""
        for name in path:
            found = await self._child(parent, name)
            if found is None:
                return None
            parent = found
        return parent

    async def _target(self, path: tuple[str, ...]) -> str:
        async with self._making:
            if path not in self._made:
                parent = ""
                for name in path:
                    parent = await self._child(parent, name) or await self._make(parent, name)
                self._made[path] = parent
            return self._made[path]

    async def _child(self, parent: str, name: str) -> str | None:
        """The folder of this name in another, or at the top."""
        known = WELL_KNOWN.get(name.casefold()) if not parent else None
        if known == "inbox":
            return known
        text = name.replace("'", "''")
        wanted = quote(f"displayName eq '{text}'")
        url = f"{self._children(parent)}?$filter={wanted}&$select=id,displayName&$top=100"
        folders = (await self.read(url, _Folders)).value
        for same in (str, str.casefold):
            for folder in folders:
                if same(folder.name) == same(name):
                    return folder.id
        if known is not None:
            reply = await self._client.ask("GET", f"{self._user}/mailFolders/{known}")
            return known if reply.good else None
        return None

    async def _make(self, parent: str, name: str) -> str:
        reply = await self._client.ask("POST", self._user + self._children(parent), body={"displayName": name})
        if reply.status == 409:  # somebody else was quicker
            found = await self._child(parent, name)
            if found is not None:
                return found
        if not reply.good:
            raise self._refused(reply)
        return self._client.understood(reply, _Folder).id

    @staticmethod
    def _children(parent: str) -> str:
        return f"{_at_folder(parent)}/childFolders" if parent else "/mailFolders"

    def _at(self, message: Message) -> str:
        return f"{self._user}/messages/{quote(message.key, safe='')}"

    async def _change(self, method: Method, path: str, body: object) -> None:
        reply = await self._client.ask(method, path, body=body)
        # 404: moved or deleted meanwhile; or the folder it should go to was, and the next look makes it anew.
        if not (reply.good or reply.status == 404):
            raise self._refused(reply)

    def _refused(self, reply: Reply) -> SourceError:
        where = printable(self._config.mailbox, 200)
        if reply.status == 403:
            needs = "Mail.Read" if self._config.after == "leave" else "Mail.ReadWrite"
            return SourceError(
                f"access is refused ({reply.said()})",
                where=where,
                fix=f"give the app registration the application permission {needs}, with an administrator's consent, "
                "and let its access policy or role scope include this mailbox",
            )
        if reply.code in ("ErrorInvalidUser", "ResourceNotFound", "Request_ResourceNotFound"):
            return SourceError(f"there is no such mailbox ({reply.said()})", where=where, fix="see mailbox")
        if reply.code == "MailboxNotEnabledForRESTAPI":
            return SourceError(
                f"is no mailbox that Graph can use ({reply.said()})",
                where=where,
                fix="it may be on a server of your own, or have no licence",
            )
        return SourceError(reply.said(), where=where)


def _path(text: str, what: str) -> tuple[str, ...]:
    """A folder's name, level by level."""
    path = tuple(part.strip() for part in text.split("/"))
    if not all(path) or not text.isprintable():
        raise ConfigError(f'{what} "{printable(text, 100)}" is no folder', fix="write A/B for B in A")
    return path


def _at_folder(folder: str) -> str:
    return f"/mailFolders/{quote(folder, safe='')}"


def _same(path: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name.casefold() for name in path)
