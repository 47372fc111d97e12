"""One IMAP session, in the words of what is done with it: log in, look what is new, fetch, put away, wait.

Everything here blocks and belongs to one thread, but `cut`. What a server says when it says no is in the errors,
printable and bounded; what it sends is bounded by the sizes asked for.
"""

from __future__ import annotations

import contextlib
import imaplib
import logging
import ssl
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from imapclient import IMAPClient
from msgspec import Struct

from tlsrpt.config import ImapSource
from tlsrpt.core.errors import SourceError
from tlsrpt.core.limits import Limits
from tlsrpt.core.text import printable
from tlsrpt.intake.imap_login import Login, LoginRefusedError, advice, said
from tlsrpt.intake.imap_wire import Lifeline, Wire
from tlsrpt.intake.outgoing import trust

# Of a folder that holds more, parts are searched: the answer to a search is one line, of up to eleven bytes a message.
SEARCHED = 20_000
FOLDERS_NAMED = 12  # in an error
SLACK_BYTES = 64 * 1024  # of literals beside the largest message: folder names, what else a server may send so

# IMAPClient logs what is sent and received, and warns of letters that no name has; none of that is for our log.
logging.getLogger("imapclient").setLevel(logging.ERROR)


class LostError(SourceError):
    """The connection has ended."""


class RefusedError(SourceError):
    """The server said no to one command; the session goes on."""


class Folder(Struct, frozen=True, kw_only=True):
    """A folder as it was when it was opened."""

    uidvalidity: int  # 0 where the server has none: UIDs mean nothing to the next session then
    exists: int
    uidnext: int | None


class Found(Struct, frozen=True, kw_only=True):
    """Messages above a UID."""

    uids: list[int]  # ascending
    beyond: int = 0  # more of them, that were not searched for yet


class Session:
    """A session with one mailbox; begins with `open`."""

    def __init__(self, config: ImapSource, login: Login, limits: Limits) -> None:
        self._config, self._login, self._limits = config, login, limits
        self._lifeline = Lifeline()
        self._client: Any = None
        self._wire: Wire | None = None
        self._exists: int | None = None  # messages, as last told
        self.where = f"{printable(config.host)}:{config.port}"
        self.mechanism = ""
        self.folder = self.done_folder = self.failed_folder = ""  # as they are called on the server

    # Begin and end

    def open(self) -> None:
        """Connect, log in, and learn how folders are called there.

        Raises:
            LoginRefusedError, LostError, SourceError: it can't be done now.
        """
        try:
            self._connect()
        except LoginRefusedError:
            # A token may have been withdrawn before its time: a new one gets one try.
            if not self._login.has_another():
                raise
            self.drop()
            self._connect()
        with self._telling("tell its folders"):
            if self._client.has_capability("ID"):  # RFC 2971; some providers let nobody in who does not say this
                self._client.id_({"name": "tlsrpt"})
            self._name_folders()

    def _connect(self) -> None:
        config = self._config
        context = trust(config.ca_file)
        with self._telling("let us in"):
            self._client = _Client(
                lambda: Wire(
                    config.host,
                    config.port,
                    context,
                    self._lifeline,
                    starttls=config.tls == "starttls",
                    within_s=config.within_s,
                    literal_bytes=self._limits.compressed_bytes + SLACK_BYTES,
                ),
                config.host,
            )
            self._wire = self._client.wire
        try:
            with self._telling("let us in"):
                self.mechanism = self._login.log_in(self._client)
        except SourceError as error:
            error.where = error.where or self.where
            raise

    def cut(self) -> None:
        """End it now, from any thread: a call that is under way raises LostError."""
        self._lifeline.cut()

    def close(self) -> None:
        """Log out. A server that does not answer that is not waited for any longer than for anything else."""
        with contextlib.suppress(SourceError), self._telling("let us go"):
            self._client.logout()
        self.drop()

    def drop(self) -> None:
        """Close without a word."""
        if self._wire is not None:
            self._wire.shutdown()

    # Look

    def look(self, *, readonly: bool) -> Folder:
        """Open the folder anew, and see what is in it. Read-only (EXAMINE), nothing in it is changed by anybody here.

        Raises:
            SourceError: it isn't there, or may not be written to.
        """
        name = self._config.folder
        try:
            with self._telling("open the folder"):
                told = self._client.select_folder(self.folder, readonly=readonly)
        except LostError as error:
            if isinstance(error.__cause__, imaplib.IMAP4.readonly):
                raise self._error(
                    f"the folder {printable(name)} may only be read",
                    fix='give the user the right to change it, or set after = "leave"',
                ) from error
            raise
        except RefusedError as error:
            raise self._error(
                f"the folder {printable(name)} can't be opened: {error.what}", fix=error.fix or self._folders_there()
            ) from error
        self._exists = int(told.get(b"EXISTS", 0))
        uidnext = told.get(b"UIDNEXT")
        return Folder(
            # RFC 4315 section 3: UIDs that don't last are as good as none.
            uidvalidity=0 if b"UIDNOTSTICKY" in told else int(told.get(b"UIDVALIDITY", 0)),
            exists=self._exists,
            uidnext=None if uidnext is None else int(uidnext),
        )

    def above(self, uid: int, folder: Folder) -> Found:
        """The messages above a UID that nobody has marked as deleted: all of them, or the first part of many."""
        if not folder.exists or (folder.uidnext is not None and uid + 1 >= folder.uidnext):
            return Found(uids=[])
        for low in range(1, folder.exists + 1, SEARCHED):
            high = min(low + SEARCHED - 1, folder.exists)
            found = self._search(uid, "*", f"{low}:{high} " if folder.exists > SEARCHED else "")
            if found:
                if low > 1:
                    # Numbers shift when others remove messages: what slipped into a part that was searched already.
                    found = self._search(uid, str(found[0] - 1)) + found
                return Found(uids=found, beyond=folder.exists - high)
        return Found(uids=[])

    def _search(self, above: int, upto: str, part: str = "") -> list[int]:
        if upto == str(above):
            return []
        with self._telling("search the folder"):
            found = self._client.search(f"{part}UNDELETED UID {above + 1}:{upto}")
        # A range is one in either direction: with nothing above, n:* means the last message (RFC 3501 section 9).
        return sorted(uid for uid in found if uid > above)

    def sizes(self, uids: Sequence[int]) -> dict[int, int]:
        """What the server says of the messages' sizes; those that are gone are left out."""
        with self._telling("tell sizes"):
            told = self._client.fetch(uids, ["RFC822.SIZE"])
            return {uid: int(told[uid].get(b"RFC822.SIZE", 0)) for uid in uids if uid in told}

    def messages(self, uids: Sequence[int]) -> dict[int, bytes]:
        """The messages, unchanged by being fetched; those that are gone are left out.

        No more than a byte past the limit is asked for: Exchange is known to tell sizes that are too small.
        """
        most = self._limits.compressed_bytes + 1
        with self._telling("give the messages"):
            told = self._client.fetch(uids, [f"BODY.PEEK[]<0.{most}>"])
            return {uid: _body(told[uid]) for uid in uids if uid in told}

    # Put away

    def move(self, uids: str, folder: str) -> None:
        """Move messages, by MOVE (RFC 6851) or by what UIDPLUS has for it (RFC 4315).

        Args:
            uids: as IMAP writes a set of them.
        Raises:
            RefusedError: the server would not.
        """
        try:
            self._move(uids, folder)
        except RefusedError:
            if self.is_there(folder):
                raise
            self._make(folder)
            self._move(uids, folder)

    def can_move(self) -> bool:
        """Whether messages can be moved without touching others that somebody marked as deleted."""
        return self.offers("MOVE") or self.can_delete()

    def can_delete(self) -> bool:
        """Whether messages can be deleted so."""
        return self.offers("UIDPLUS")

    def _move(self, uids: str, folder: str) -> None:
        with self._telling(f"move to {printable(folder)}"):
            if self._client.has_capability("MOVE"):
                self._client.move(uids, folder)
                return
            self._client.copy(uids, folder)
        self.delete(uids)

    def flag(self, uids: str, *flags: str) -> None:
        """Add flags.

        Raises:
            RefusedError: the server would not.
        """
        with self._telling("flag messages"):
            self._client.add_flags(uids, [flag.encode() for flag in flags], silent=True)

    def delete(self, uids: str) -> None:
        r"""Delete these messages and no others: a plain EXPUNGE would take all that anybody marked as \Deleted.

        Raises:
            RefusedError: the server would not.
        """
        self.flag(uids, r"\Deleted")
        if self.can_delete():
            with self._telling("delete messages"):
                self._client.uid_expunge(uids)

    # Wait

    def wait(self, seconds: float) -> None:
        """Wait with IDLE until there may be something new, or for so long."""
        assert self._wire is not None  # noqa: S101 - it is open
        told = self._wire.untagged_responses
        exists = self._exists
        if "EXPUNGE" in told:
            exists = None
        elif told.get("EXISTS") and told["EXISTS"][-1] != b"%d" % (exists or 0):
            return  # told while we looked
        with self._telling("let us wait"):
            self._wire.idle(seconds, exists)

    def offers(self, capability: str) -> bool:
        """Whether the server has an extension."""
        with self._telling("tell what it can do"):
            has: bool = self._client.has_capability(capability)
        return has

    @property
    def tls(self) -> str:
        """The version of TLS."""
        connection = self._wire.sock if self._wire is not None else None
        return (connection.version() or "") if isinstance(connection, ssl.SSLSocket) else ""

    # Folders

    def is_there(self, folder: str) -> bool:
        """Whether a folder, as it is called on the server, exists and can hold messages."""
        with self._telling("list folders"):
            return any(
                _same(name, folder) and not {b"\\noselect", b"\\nonexistent"} & {flag.lower() for flag in flags}
                for flags, _, name in self._client.list_folders("", folder)
            )

    def _make(self, folder: str) -> None:
        with self._telling(f"make the folder {printable(folder)}"):
            self._client.create_folder(folder)
        with contextlib.suppress(RefusedError), self._telling("subscribe"):  # only for mail programs to show it
            self._client.subscribe_folder(folder)

    def _name_folders(self) -> None:
        """RFC 2342, RFC 3501 section 6.3.8: where folders of one's own are, and what is between their levels."""
        config = self._config
        prefix, others = "", list[str]()
        delimiter = None
        if self._client.has_capability("NAMESPACE"):
            personal, *rest = self._client.namespace()
            if personal:
                prefix, delimiter = personal[0]
            others = [entry[0] for space in rest if space for entry in space if entry[0]]
        if not delimiter:
            listed = self._client.list_folders("", "")
            delimiter = listed[0][1].decode() if listed and listed[0][1] else ""

        def named(folder: str) -> str:
            if self.is_there(folder):
                return folder
            return name_on_server(folder, delimiter=delimiter, prefix=prefix, others=others)

        self.folder = named(config.folder)
        if config.after != "move":
            return
        self.done_folder = named(config.done_folder)
        self.failed_folder = named(config.failed_folder) if config.failed_folder else self.done_folder
        if _same(self.folder, self.done_folder) or _same(self.folder, self.failed_folder):
            raise self._error("done_folder or failed_folder is the folder that reports arrive in")

    def _folders_there(self) -> str:
        names = list[str]()
        with contextlib.suppress(RefusedError), self._telling("list folders"):
            names = [name for _, _, name in self._client.list_folders("", "*")]
        if not names:
            return ""
        shown = ", ".join(printable(name, 60) for name in sorted(names)[:FOLDERS_NAMED])
        more = len(names) - FOLDERS_NAMED
        return f"there are: {shown}" + (f" and {more:,} more" if more > 0 else "")

    # Errors

    def _error(self, what: str, *, fix: str = "") -> SourceError:
        return SourceError(what, where=self.where, fix=fix)

    def _goodbye(self) -> str:
        """What the server gave as its reason to end the connection."""
        told = self._wire.untagged_responses.get("BYE") if self._wire is not None else None
        return (
            said(b" ".join(part for part in told if isinstance(part, bytes)).decode("utf-8", "replace")) if told else ""
        )

    @contextlib.contextmanager
    def _telling(self, doing: str) -> Iterator[None]:
        """What a library raises, as one of ours; `doing`: what could not be done."""
        try:
            yield
        except imaplib.IMAP4.abort as error:
            raise LostError(
                f"the connection is lost: {self._goodbye() or said(str(error))}", where=self.where
            ) from error
        except imaplib.IMAP4.error as error:
            told = said(str(error))
            raise RefusedError(f"the server would not {doing}: {told}", where=self.where, fix=advice(told)) from error
        except ssl.SSLCertVerificationError as error:
            raise self._error(
                f"the server's certificate is not trusted: {said(error.verify_message)}",
                fix="ca_file names the authority's certificate" if not self._config.ca_file else "",
            ) from error
        except ssl.SSLError as error:
            hint = "" if error.reason != "WRONG_VERSION_NUMBER" else 'set tls = "starttls", or the port for TLS'
            raise LostError(f"TLS failed: {said(str(error.reason or error))}", where=self.where, fix=hint) from error
        except TimeoutError as error:
            raise LostError(f"no answer within {self._config.within_s:g} s", where=self.where) from error
        except OSError as error:
            raise LostError(f"no connection: {said(error.strerror or str(error))}", where=self.where) from error
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            # Of IMAPClient's parsers, for what is no IMAP.
            raise LostError(f"the server's answer can't be read: {said(str(error))}", where=self.where) from error


class _Client(IMAPClient):  # type: ignore[misc]  # it has no types
    """IMAPClient on a connection of ours."""

    def __init__(self, connect: Any, host: str) -> None:
        self._connect_wire = connect
        super().__init__(host)
        self.wire.debug = 0  # IMAPClient has every line written out for its log

    def _create_IMAP4(self) -> Wire:  # noqa: N802 - IMAPClient's name
        wire: Wire = self._connect_wire()
        self.wire = wire
        return wire

    def _set_read_timeout(self) -> None:
        """The connection has its own."""


def name_on_server(name: str, *, delimiter: str, prefix: str, others: Iterable[str]) -> str:
    """A folder's name on the server, of its name in the configuration, where levels are parted by `/`.

    Args:
        delimiter: what parts levels there; empty: there are none.
        prefix: of the folders that are the user's own, `INBOX.` on some servers.
        others: prefixes of other users' and shared folders.
    """
    if name.upper() == "INBOX":  # RFC 3501 section 5.1: in any case
        return "INBOX"
    if delimiter:
        name = name.replace("/", delimiter)
        if name[:6].upper() == f"INBOX{delimiter}":
            name = "INBOX" + name[5:]
    if name.startswith((prefix, *others)):
        return name
    return prefix + name


def _same(one: str, other: str) -> bool:
    return one == other or (one.upper() == "INBOX" == other.upper())


def _body(told: dict[bytes, Any]) -> bytes:
    for item, value in told.items():
        if item.startswith(b"BODY[]") and isinstance(value, bytes):
            return value
    raise imaplib.IMAP4.error("it gives no text of a message")
