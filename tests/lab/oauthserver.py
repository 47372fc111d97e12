"""An OAuth server for the lab: hands out tokens by HTTPS, and tells a mail server by HTTP which of them are good."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs


class OauthServer:
    """Tokens of the user `tls`: `token-1`, `token-2`, ... for whoever shows the client's secret."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self.issued: list[str] = []
        self.good: set[str] = set()
        self.expires_in = 3600
        self._tokens = _serve(self._token)
        self._tokens.socket = context.wrap_socket(self._tokens.socket, server_side=True)
        self._introspection = _serve(self._introspect)
        self.token_url = f"https://localhost:{self._tokens.server_port}/token"
        self.introspection_url = f"http://127.0.0.1:{self._introspection.server_port}/introspect"
        self._threads = [
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
            for server in (self._tokens, self._introspection)
        ]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        for server in (self._tokens, self._introspection):
            server.shutdown()
            server.server_close()
        for thread in self._threads:
            thread.join()

    def _token(self, form: dict[str, str]) -> tuple[int, dict[str, object]]:
        if form.get("client_secret") != "client-secret":
            return 401, {"error": "invalid_client", "error_description": "the secret is wrong"}
        token = f"token-{len(self.issued) + 1}"
        self.issued.append(token)
        self.good.add(token)
        return 200, {"access_token": token, "expires_in": self.expires_in, "token_type": "Bearer"}

    def _introspect(self, form: dict[str, str]) -> tuple[int, dict[str, object]]:
        return 200, {"active": True, "username": "tls"} if form.get("token") in self.good else {"active": False}


def _serve(answer: object) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            form = {name: values[0] for name, values in parse_qs(body).items()}
            status, told = answer(form)  # type: ignore[operator]
            data = json.dumps(told).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    return ThreadingHTTPServer(("127.0.0.1", 0), Handler)


@contextmanager
def oauth_server(context: ssl.SSLContext) -> Iterator[OauthServer]:
    """A running one; the context is of a certificate for localhost."""
    server = OauthServer(context)
    try:
        yield server
    finally:
        server.close()
