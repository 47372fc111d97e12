"""Microsoft Graph for tests, as its documentation has it: one mailbox's folders and messages, tokens, refusals.

The real one can't be reached from a test. What is told here is from its reference: list messages (paging by position,
$filter beside $orderby), get MIME content, move, update and delete a message, mail folders, immutable ids, throttling.
"""

from __future__ import annotations

import contextlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

from tests.httpsserver import Authority

MAILBOX = "tls@example.com"
BEGAN = datetime(2026, 3, 1, tzinfo=UTC)
AT_ONCE = 4
PATIENCE_S = 20.0


@dataclass
class Mail:
    """A message; its plain id changes when it is moved, its immutable one does not."""

    number: int
    data: bytes
    folder: str
    received: datetime
    moved: int = 0
    is_read: bool = False
    flag: str = "notFlagged"

    def id(self, immutable: bool) -> str:
        return f"AAkALg+{self.number}/==" if immutable else f"AAMkAD{self.number}.{self.moved}="


@dataclass
class Refusal:
    """An answer in place of the next ones to requests that match."""

    method: str
    path: str  # a regular expression
    status: int
    code: str
    headers: dict[str, str] = field(default_factory=dict)
    times: int = 1
    then: Callable[[], None] = lambda: None  # what happens at that moment


class Graph:
    """The service's state; tests fill it, and look what became of it."""

    def __init__(self) -> None:
        self.folders: dict[str, tuple[str, str]] = {  # id -> (display name, parent); a German mailbox
            "root": ("", ""),
            "F0": ("Posteingang", "root"),
            "F1": ("Gelöschte Elemente", "root"),
        }
        self.well_known = {"inbox": "F0", "deleteditems": "F1", "msgfolderroot": "root"}
        self.mails: list[Mail] = []
        self.tokens: set[str] = set()
        self.issued = 0
        self.may: set[str] = {"GET", "POST", "PATCH", "DELETE"}
        self.refusals: list[Refusal] = []
        self.requests: list[str] = []
        self.most_at_once = 0
        self.base = ""
        self.lock = threading.RLock()
        self.crowd: threading.Barrier | None = None  # so many messages have to be asked for before one is given

    def deliver(self, *data: bytes, folder: str = "F0", received: datetime | None = None) -> None:
        for one in data:
            n = len(self.mails)
            self.mails.append(Mail(n, one, folder, received or BEGAN + timedelta(seconds=n)))

    def where(self) -> dict[str, list[bytes]]:
        """What lies in which folder, by their display names."""
        found: dict[str, list[bytes]] = {}
        for mail in self.mails:
            found.setdefault(self.path(mail.folder), []).append(mail.data)
        return found

    def path(self, folder: str) -> str:
        name, parent = self.folders[folder]
        return name if parent == "root" else f"{self.path(parent)}/{name}"

    def refuse(self, method: str, path: str, status: int, code: str, times: int = 1, **headers: str) -> Refusal:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.refusals.append(Refusal(method, path, status, code, named, times))
        return self.refusals[-1]

    def asked(self, pattern: str) -> int:
        return sum(bool(re.search(pattern, request)) for request in self.requests)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    graph: Graph
    at_once = 0

    def _answer(self, status: int, body: Any = None, **headers: str) -> None:
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _refuse(self, status: int, code: str, message: str = "", **headers: str) -> None:
        said = message or f"{code} happened.\r\nand a second line"
        self._answer(status, {"error": {"code": code, "message": said, "innerError": {}}}, **headers)

    def _handle(self) -> None:
        graph = self.graph
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        with graph.lock:
            graph.requests.append(f"{self.command} {unquote(self.path)}")
            type(self).at_once += 1
            graph.most_at_once = max(graph.most_at_once, self.at_once)
            crowded = self.at_once > AT_ONCE
        try:
            if graph.crowd is not None and self.path.endswith("/$value"):
                graph.crowd.wait(PATIENCE_S)
                graph.crowd = None
            with graph.lock:
                self._route(body, crowded)
        finally:
            with graph.lock:
                type(self).at_once -= 1

    do_GET = do_POST = do_PATCH = do_DELETE = _handle  # noqa: N815 - the library's names

    def _route(self, body: bytes, crowded: bool) -> None:
        graph, parts = self.graph, urlsplit(self.path)
        if parts.path.endswith("/oauth2/v2.0/token"):
            graph.issued += 1
            graph.tokens = {f"token-{graph.issued}"}
            return self._answer(
                200, {"access_token": f"token-{graph.issued}", "expires_in": 3599, "token_type": "Bearer"}
            )
        if self.headers.get("Authorization", "").removeprefix("Bearer ") not in graph.tokens:
            return self._refuse(401, "InvalidAuthenticationToken")
        for refusal in graph.refusals:
            if refusal.method == self.command and re.search(refusal.path, unquote(self.path)) and refusal.times:
                refusal.times -= 1
                refusal.then()
                return self._refuse(refusal.status, refusal.code, **refusal.headers)
        if crowded:
            return self._refuse(429, "ApplicationThrottled", "Application is over its MailboxConcurrency limit.")
        if self.command not in graph.may:
            return self._refuse(403, "ErrorAccessDenied", "Access is denied. Check credentials and try again.")
        segments = [unquote(one) for one in parts.path.split("/")[2:]]
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        match segments:
            case ["users", user, *_] if user != MAILBOX:
                return self._refuse(404, "ErrorInvalidUser", f"The requested user '{user}' is invalid.")
            case ["users", _, "mailFolders"]:
                return self._children("root", query, body)
            case ["users", _, "mailFolders", folder, "childFolders"]:
                return self._children(graph.well_known.get(folder, folder), query, body)
            case ["users", _, "mailFolders", folder, "messages"] if self.command == "GET":
                return self._messages(graph.well_known.get(folder, folder), query)
            case ["users", _, "mailFolders", folder]:
                return self._folder(graph.well_known.get(folder, folder))
            case ["users", _, "messages", message, *rest]:
                return self._message(message, rest, body)
            case _:
                return self._refuse(400, "BadRequest", "Resource not found for the segment.")

    def _folder(self, folder: str) -> None:
        if folder not in self.graph.folders:
            return self._refuse(404, "ErrorItemNotFound", "The specified object was not found in the store.")
        there = [mail for mail in self.graph.mails if mail.folder == folder]
        return self._answer(
            200,
            self._shown(folder)
            | {"totalItemCount": len(there), "unreadItemCount": sum(not mail.is_read for mail in there)},
        )

    def _shown(self, folder: str) -> dict[str, Any]:
        name, parent = self.graph.folders[folder]
        return {"id": folder, "displayName": name, "parentFolderId": parent}

    def _children(self, parent: str, query: dict[str, str], body: bytes) -> None:
        graph = self.graph
        if parent not in graph.folders:
            return self._refuse(404, "ErrorItemNotFound")
        children = [folder for folder, (_, above) in graph.folders.items() if above == parent]
        if self.command == "POST":
            name = json.loads(body)["displayName"]
            if any(graph.folders[child][0].casefold() == name.casefold() for child in children):
                return self._refuse(409, "ErrorFolderExists", "A folder with the specified name already exists.")
            made = f"F{len(graph.folders)}"
            graph.folders[made] = (name, parent)
            return self._answer(201, self._shown(made))
        if "$filter" in query:
            wanted = re.fullmatch(r"displayName eq '(.*)'", query["$filter"])
            assert wanted is not None, query
            name = wanted[1].replace("''", "'").casefold()
            children = [child for child in children if graph.folders[child][0].casefold() == name]
        return self._answer(200, {"value": [self._shown(child) for child in children[: int(query.get("$top", "10"))]]})

    def _messages(self, folder: str, query: dict[str, str]) -> None:
        graph = self.graph
        if folder not in graph.folders:
            return self._refuse(404, "ErrorItemNotFound")
        top, skip = int(query.get("$top", "10")), int(query.get("$skip", "0"))
        if not 1 <= top <= 1000:
            return self._refuse(400, "ErrorInvalidProperty")
        found = [mail for mail in graph.mails if mail.folder == folder]
        if "$filter" in query:
            # Properties that are sorted by have to be filtered by, too.
            if not query["$filter"].startswith(query.get("$orderby", "")):
                return self._refuse(400, "InefficientFilter")
            wanted = re.fullmatch(r"receivedDateTime ge (\S+)", query["$filter"])
            assert wanted is not None, query
            found = [mail for mail in found if mail.received >= datetime.fromisoformat(wanted[1])]
        if query.get("$orderby") == "receivedDateTime":
            found.sort(key=lambda mail: mail.received)
        immutable = self.headers.get("Prefer") == 'IdType="ImmutableId"'
        every = {
            "id": lambda mail: mail.id(immutable),
            "receivedDateTime": lambda mail: mail.received.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "internetMessageId": lambda mail: f"<{mail.number}@sender.example>",
            "isRead": lambda mail: mail.is_read,
        }
        chosen = query["$select"].split(",")
        page = [
            {"@odata.etag": 'W/"x"'} | {name: every[name](mail) for name in chosen} for mail in found[skip : skip + top]
        ]
        answer: dict[str, Any] = {"@odata.context": f"{graph.base}/$metadata", "value": page}
        if len(found) > skip + top:
            again = "&".join(f"{name}={quote(value)}" for name, value in query.items() if name != "$skip")
            answer["@odata.nextLink"] = (
                f"{graph.base}{urlsplit(self.path).path.removeprefix('/v1.0')}?{again}&$skip={skip + top}"
            )
        return self._answer(200, answer)

    def _message(self, wanted: str, rest: list[str], body: bytes) -> None:
        graph = self.graph
        mail = next((one for one in graph.mails if wanted in (one.id(True), one.id(False))), None)
        if mail is None:
            return self._refuse(404, "ErrorItemNotFound", "The specified object was not found in the store.")
        match self.command, rest:
            case "GET", ["$value"]:
                return self._answer(200, mail.data, **{"Content-Type": "text/plain"})
            case "POST", ["move"]:
                folder = json.loads(body)["destinationId"]
                if folder not in graph.folders:
                    return self._refuse(404, "ErrorItemNotFound")
                mail.folder, mail.moved = folder, mail.moved + 1
                return self._answer(201, {"id": mail.id(True), "parentFolderId": folder})
            case "PATCH", []:
                changes = json.loads(body)
                mail.is_read = changes.get("isRead", mail.is_read)
                mail.flag = changes.get("flag", {}).get("flagStatus", mail.flag)
                return self._answer(200, {"id": mail.id(True), "isRead": mail.is_read})
            case "DELETE", []:
                graph.mails.remove(mail)
                return self._answer(204)
        return self._refuse(400, "BadRequest")

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
        """Nothing: the test says what matters."""


@contextlib.contextmanager
def graph_server(authority: Authority) -> Iterator[tuple[Graph, str]]:
    """The service, and its address; runs for the length of a `with` block."""
    graph = Graph()
    handler = type("Handler", (_Handler,), {"graph": graph})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    server.socket = authority.context("localhost").wrap_socket(server.socket, server_side=True)
    origin = f"https://localhost:{server.server_port}"
    graph.base = f"{origin}/v1.0"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield graph, origin
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
