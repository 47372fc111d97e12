"""An S3-compatible bucket, looked through: inbound mail services drop messages there, scripts drop reports.

Keys tell nothing of the order (those of Amazon SES are random), so with `after = leave` what is new is told by
when an object was made, with a wide overlap and by name within it. Everything else has its object moved or deleted
once it is kept. Objects below done_prefix and failed_prefix are never read.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, contextmanager
from datetime import timedelta
from functools import partial
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from msgspec import Struct

from tlsrpt.config import S3Source
from tlsrpt.core.errors import ConfigError, SourceError, TlsrptError
from tlsrpt.core.limits import Limits
from tlsrpt.core.text import printable
from tlsrpt.intake.polling import Look, PutOff, Seen, keep_looking
from tlsrpt.intake.room import Place
from tlsrpt.intake.secrets import read_secret
from tlsrpt.intake.source import Desk
from tlsrpt.intake.way import Way

if TYPE_CHECKING:
    from obstore import ObjectMeta
    from obstore.store import S3Config, S3Credential, S3Store

AT_ONCE = 32  # objects in work: each is a few requests, and most of the time is waiting
PAGE = 1_000  # objects that S3 tells of at once
# Objects turn up later than they are dated: an upload in parts is dated by its beginning, a replica by its original.
OVERLAP_S = 86_400.0
UNREADABLE_S = 600.0  # until an object that may not be read (its key, its storage class) is tried again
COUNTED = 10_000  # objects that `test` counts at most
WHERE_CHARACTERS = 300
REQUEST_S, RETRIES_S, RETRIES = 30, 60, 3  # short: whoever runs us tries again by itself, and says so


class Object(Struct, frozen=True):
    """An object in the bucket."""

    path: str
    tag: str  # changes with the content
    when: float
    size: int

    @property
    def key(self) -> str:
        """Its path, and which content it has: what is written over is another document."""
        return f"{self.path}\n{self.tag}"

    @property
    def where(self) -> str:
        """For people."""
        return printable(self.path, WHERE_CHARACTERS)


class Bucket:
    """Takes in what lies in a bucket.

    Args:
        clock: seconds, steady.
    Raises:
        ConfigError: the configuration can't be used.
        ImportError: the extra `s3` is not installed.
    """

    def __init__(
        self, config: S3Source, way: Way, limits: Limits, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        import obstore  # noqa: F401 - to know at once whether it is there

        self.way = way
        self._config = config
        self._most = limits.compressed_bytes
        self._endpoint = _endpoint(config.endpoint, way)
        self._done = _folder(config.done_prefix)
        self._failed = _folder(config.failed_prefix) or self._done
        self._aside = tuple(prefix for prefix in (self._done, self._failed) if prefix)
        if config.after == "move":
            if not self._done:
                raise ConfigError("done_prefix is empty", where=f"source {way.name}", fix='such as "done/"')
            if config.prefix.startswith(self._aside):
                raise ConfigError(
                    f'prefix "{printable(config.prefix, 100)}" is where objects are moved to',
                    where=f"source {way.name}",
                    fix="set another done_prefix and failed_prefix",
                )
        elif config.prefix.startswith(self._aside):  # named on purpose, and nothing is moved
            self._aside = ()
        if config.access_key_id and not (config.secret_key_file or config.secret_key_env or config.secret_key_command):
            raise ConfigError(
                "access_key_id without a secret key", where=f"source {way.name}", fix="set secret_key_file"
            )
        self._put_off = PutOff(clock)
        self._seen = Seen(OVERLAP_S if config.after == "leave" else None)
        self._began = False

    @property
    def _name(self) -> str:
        return printable(f"s3://{self._config.bucket}/{self._config.prefix}", WHERE_CHARACTERS)

    async def run(self, desk: Desk) -> None:
        """Look through the bucket again and again, until cancelled.

        Raises:
            SourceError: it can't be reached or used.
        """
        store = await self._begin(desk)
        await keep_looking(partial(self._look, desk, store), desk, self._config.every_s)

    async def drain(self, desk: Desk) -> None:
        """Take in all that waits, once.

        Raises:
            SourceError: it can't be reached or used, or something in it can't be read.
            StoreError, OverloadError: not everything could be taken.
        """
        trouble = await self._look(desk, await self._begin(desk))
        if trouble is not None:
            raise trouble

    async def test(self) -> list[str]:
        """Count what lies there, read one object, and change nothing.

        Raises:
            SourceError: it can't be reached or used.
        """
        store = await asyncio.to_thread(self._open)
        count, first = 0, None
        async with aclosing(self._pages(store)) as pages:
            async for page in pages:
                count += len(page)
                first = first or next((one for one in page if one.size <= self._most), None)
                if count >= COUNTED:
                    break
        more = " or more" if count >= COUNTED else ""
        lines = [f"{self._name}: {count:,}{more} objects that are not set aside"]
        if first is not None:
            with self._asking("read", first.path):
                await _get(store, first, self._most)
            lines.append("they may be read" + self._untried())
        return lines

    def _untried(self) -> str:
        return {"leave": "", "move": "; whether they may be moved was not tried"}.get(
            self._config.after, "; whether they may be deleted was not tried"
        )

    async def _begin(self, desk: Desk) -> S3Store:
        if self._config.after == "leave" and not self._began:
            self._seen.read(await desk.place(self._place) or "")
        self._began = True
        return await asyncio.to_thread(self._open)

    @property
    def _place(self) -> str:
        return f"s3 {self._config.endpoint} {self._config.bucket} {self._config.prefix}"

    def _open(self) -> S3Store:
        """The bucket; nothing is asked yet. The secret is read anew each time."""
        from obstore.exceptions import BaseError
        from obstore.store import S3Store

        config, keys = self._config, None
        # Not all services know the request that deletes many, and we delete one at a time.
        settings: S3Config = {"region": config.region, "disable_bulk_delete": True}
        if self._endpoint is not None:
            settings["endpoint"] = self._endpoint.geturl()
        if config.access_key_id:
            secret = read_secret(
                "secret_key",
                file=config.secret_key_file,
                env=config.secret_key_env,
                command=config.secret_key_command,
            )
            keys = partial(_credential, config.access_key_id, secret)
        try:
            return S3Store(
                config.bucket,
                config=settings,
                client_options={
                    "allow_http": self._endpoint is not None and self._endpoint.scheme == "http",
                    "timeout": timedelta(seconds=REQUEST_S),
                    "connect_timeout": timedelta(seconds=REQUEST_S / 3),
                },
                retry_config={"max_retries": RETRIES, "retry_timeout": timedelta(seconds=RETRIES_S)},
                credential_provider=keys,
            )
        except BaseError as error:
            raise SourceError(_said(error), where=self._name) from error

    async def _look(self, desk: Desk, store: S3Store) -> TlsrptError | None:
        """Look through all that lies there; gives what some of it could not be taken for."""
        desk.status.waiting = 0
        look = Look(desk.room, self._put_off, most=self._most, at_once=AT_ONCE)
        async with aclosing(self._waiting(desk, store)) as waiting:
            await look.through(waiting, partial(self._take, desk, store, look))
        self._seen.whole(look.left)
        if self._config.after == "leave" and self._seen.changed:
            await desk.keep_place(self._place, self._seen.write())
        return look.trouble

    async def _waiting(self, desk: Desk, store: S3Store) -> AsyncGenerator[Object]:
        async with aclosing(self._pages(store)) as pages:
            async for page in pages:
                found = [one for one in page if one.size and not self._seen.has(one)]
                desk.status.waiting = (desk.status.waiting or 0) + len(found)
                for one in found:
                    yield one

    async def _pages(self, store: S3Store) -> AsyncGenerator[list[Object]]:
        """The objects below the prefix that are not set aside, a page at a time."""
        import obstore

        prefix = self._config.prefix
        # A prefix is whole folders to the library, and any beginning of a key to S3 and to whoever sets it.
        folder = prefix.rpartition("/")[0]
        with self._asking("listed"):
            async for page in obstore.list(store, folder or None, chunk_size=PAGE):
                yield [
                    _object(meta)
                    for meta in page
                    if meta["path"].startswith(prefix) and not meta["path"].startswith(self._aside)
                ]

    async def _take(self, desk: Desk, store: S3Store, look: Look, found: Object, place: Place) -> bool:
        dealt_with = await self._deal_with(desk, store, look, found, place)
        if dealt_with and desk.status.waiting:
            desk.status.waiting -= 1
        return dealt_with

    async def _deal_with(self, desk: Desk, store: S3Store, look: Look, found: Object, place: Place) -> bool:
        if found.size > self._most:
            desk.status.counts("too-large")
            desk.log.warning("left alone for its size", source=self.way.name, where=found.where, size_bytes=found.size)
            self._seen.add(found)
            return True
        try:
            with self._asking("read", found.path):
                data = await _get(store, found, self._most)
        except _NotAllowedError as error:  # of this object alone: the others may be readable
            if not self._put_off.knows(found.key):
                desk.log.warning("object unreadable", source=self.way.name, where=found.where, reason=error.what)
            self._put_off.add(found.key, error, UNREADABLE_S)
            look.fails(found, error)
            return False
        if data is None:
            self._seen.add(found)
            return True
        taken = await desk.take(
            data, way=self.way, where=found.where, file_name=printable(found.path.rpartition("/")[2], WHERE_CHARACTERS)
        )
        kept = taken.outcome in ("new", "known", "conflict", "quarantined")
        if not kept or self._config.after == "leave":
            self._seen.add(found)
        else:
            await self._settle(store, found, failed=taken.outcome == "quarantined")
        return True

    async def _settle(self, store: S3Store, found: Object, *, failed: bool) -> None:
        """Move or delete an object that is kept, unless it is another by now."""
        import obstore

        what = "moved" if self._config.after == "move" else "deleted"
        with self._asking(what, found.path):
            if await _tag(store, found.path) != found.tag:
                return
            if self._config.after == "move":
                target = (self._failed if failed else self._done) + found.path.removeprefix(
                    _parent(self._config.prefix)
                )
                there = await _tag(store, target)
                if there not in (None, found.tag):  # another of this name was moved before
                    target += "." + re.sub("[^0-9A-Za-z]", "", found.tag)[:12]
                await obstore.copy_async(store, found.path, target)
            await obstore.delete_async(store, found.path)

    @contextmanager
    def _asking(self, what: str, path: str = "") -> Iterator[None]:
        """Turn the library's errors into ours."""
        from obstore.exceptions import BaseError

        where = printable(f"s3://{self._config.bucket}/{path}", WHERE_CHARACTERS) if path else self._name
        try:
            yield
        except FileNotFoundError as error:  # of an object: it was there a moment ago; callers that mind look first
            raise SourceError("is gone", where=where) from error
        except (BaseError, ValueError) as error:
            raise _told(error, what, where) from error


class _NotAllowedError(SourceError):
    """The service answers, and does not let us do this."""


async def _get(store: S3Store, found: Object, most: int) -> bytes | None:
    """The object's bytes; None where it is gone, or another by now."""
    import obstore

    try:
        result = await obstore.get_async(store, found.path)
        if _object(result.meta).tag != found.tag or result.meta["size"] > most:
            return None
        return bytes(await result.bytes_async())
    except FileNotFoundError:
        return None


async def _tag(store: S3Store, path: str) -> str | None:
    """What content is there; None for no object."""
    import obstore

    try:
        return _object(await obstore.head_async(store, path)).tag
    except FileNotFoundError:
        return None


def _object(meta: ObjectMeta) -> Object:
    when = meta["last_modified"].timestamp()
    return Object(meta["path"], meta["e_tag"] or f"{when} {meta['size']}", when, meta["size"])


def _credential(key_id: str, secret: str) -> S3Credential:
    """Instead of the library's own keys: those would be mixed with a session token out of the environment."""
    return {"access_key_id": key_id, "secret_access_key": secret, "token": None, "expires_at": None}


def _parent(prefix: str) -> str:
    return prefix[: prefix.rfind("/") + 1]


def _folder(prefix: str) -> str:
    return prefix if not prefix or prefix.endswith("/") else prefix + "/"


def _endpoint(text: str, way: Way) -> SplitResult | None:
    """The address of the service; plain HTTP would show the mails and, to who changes answers, give them away."""
    if not text:
        return None
    try:
        url = urlsplit(text)
        host = url.hostname or ""
        _ = url.port
    except ValueError:
        url, host = urlsplit(""), ""
    if url.scheme not in ("http", "https") or not host or url.query or url.fragment or url.username is not None:
        raise ConfigError(
            f'endpoint "{printable(text, 200)}" is no address', where=f"source {way.name}", fix="write https://HOST"
        )
    if url.scheme == "http" and not _is_loopback(host):
        raise ConfigError(
            "endpoint is plain HTTP, and not on this machine", where=f"source {way.name}", fix=f"write https://{host}"
        )
    return url


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


# What S3 calls it -> what it means, and what to do.
_CODES = {
    "InvalidAccessKeyId": ("the service does not know this access key id", "see access_key_id"),
    "SignatureDoesNotMatch": ("the secret key is not the one of this access key id", "see secret_key_file"),
    "InvalidToken": ("the session token is refused", "see the AWS_ variables"),
    "ExpiredToken": ("the session token has expired", "see the AWS_ variables"),
    "NoSuchBucket": ("there is no such bucket", "see bucket and endpoint"),
    "PermanentRedirect": ("the bucket is in another region", "see region"),
    "AuthorizationHeaderMalformed": ("the bucket is in another region", "see region"),
    "RequestTimeTooSkewed": ("this machine's clock is wrong", "set it by NTP"),
    "InvalidObjectState": ("the object is in an archive class, which has to be restored first", ""),
}
_NEEDS = {"listed": "s3:ListBucket", "read": "s3:GetObject", "moved": "s3:PutObject and s3:DeleteObject"}
_CODE = re.compile(r"<Code>([A-Za-z0-9.]{1,60})</Code>")
_STATUS = re.compile(r"status code: (\d{3})")
_CAUSE = re.compile(r'(?:message|error): "([^"]{1,200})"')
_INVALID = re.compile(r'Path "(.{0,300}?)"(?: contained|:)', re.DOTALL)


def _told(error: Exception, what: str, where: str) -> SourceError:
    """The library's error in one line. Its own goes over a page, with whatever the service said."""
    text = str(error)
    code = _CODE.search(text)
    status = _STATUS.search(text)
    if code is not None and code[1] in _CODES:
        reason, fix = _CODES[code[1]]
        kind = _NotAllowedError if code[1] == "InvalidObjectState" else SourceError
        return kind(reason, where=where, fix=fix)
    if "/latest/" in text or "169.254.169.254" in text:
        return SourceError(
            "there are no credentials: no access_key_id, no AWS_ variables, no role of this machine", where=where
        )
    if (code is not None and code[1] == "AccessDenied") or (status is not None and status[1] in ("401", "403")):
        needs = _NEEDS.get(what, "s3:DeleteObject")
        return _NotAllowedError(f"may not be {what} with these credentials", where=where, fix=f"allow {needs}")
    invalid = _INVALID.search(text)
    if type(error).__name__ == "InvalidPathError" and invalid is not None:
        return SourceError(
            f'holds a key that can\'t be listed: "{printable(invalid[1], 200)}" (an empty part, one of dots, or a '
            "control character)",
            where=where,
            fix="rename or delete it, or set a prefix that leaves it out",
        )
    return SourceError(f"can't be {what}: {_said(error)}", where=where)


def _said(error: Exception) -> str:
    text = str(error)
    first, _, rest = text.partition("\n\nDebug source:")
    line = first.strip().partition("\n")[0].rpartition(" - ")[2]
    cause = _CAUSE.findall(rest)
    code = _CODE.search(text)
    return printable(": ".join(filter(None, (line, code[1] if code else "", cause[-1] if cause else ""))), 300)
