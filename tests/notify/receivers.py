"""Real receivers on loopback: an SMTP server and an HTTP server that keep what they are sent."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from tlsrpt.config import MailServer


class MailBox:
    """Takes mail, or answers as `answer` says."""

    def __init__(self) -> None:
        self.envelopes: list[Envelope] = []
        self.answer = "250 taken"
        self.logins: list[bytes] = []

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        if self.answer.startswith("250"):
            self.envelopes.append(envelope)
        return self.answer

    def login(self, _server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, data: object) -> AuthResult:
        assert isinstance(data, LoginPassword)
        self.logins.append(data.password)
        return AuthResult(success=data.password == b"right")

    @property
    def mails(self) -> list[EmailMessage]:
        read = [message_from_bytes(bytes(each.content or b""), policy=policy.default) for each in self.envelopes]
        return [mail for mail in read if isinstance(mail, EmailMessage)]


def a_free_port() -> int:
    """aiosmtpd has to know its port beforehand."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


@contextmanager
def a_mail_server(**options: Any) -> Iterator[tuple[MailBox, MailServer]]:
    box = MailBox()
    port = a_free_port()
    controller = Controller(box, hostname="127.0.0.1", port=port, authenticator=box.login, **options)
    controller.start()
    try:
        yield box, MailServer(host="127.0.0.1", port=port, sender="tlsrpt@meadow.example", tls="none", within_s=5)
    finally:
        controller.stop()


class Web:
    """Takes posts, and answers with `status`."""

    def __init__(self) -> None:
        self.posts: list[tuple[str, dict[str, str], bytes]] = []
        self.status = 200
        self.url = ""


@contextmanager
def a_web_server() -> Iterator[Web]:
    web = Web()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if web.status == 200:
                web.posts.append((self.path, dict(self.headers), body))
            self.send_response(web.status)
            self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    web.url = f"http://127.0.0.1:{server.server_port}/hook"
    try:
        yield web
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
