"""A running `tlsrpt serve`, as an administrator runs it: the installed command, a file, signals."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import smtplib
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.cli.command import TLSRPT

PATIENCE_S = 30.0  # far more than anything takes here


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


class Serving:
    """The service over one configuration; started and stopped as often as a test likes.

    Args:
        folder: holds configuration, log and, unless `store` says otherwise, the store.
        config: TOML after the store's table; `{http}` and `{lmtp}` stand for ports.
    """

    def __init__(self, folder: Path, config: str, *, store: Path | None = None) -> None:
        self.folder = folder
        self.http, self.lmtp = free_port(), free_port()
        self.store = store or folder / "store.db"
        self.file = folder / "tlsrpt.toml"
        self.log = folder / "log"
        self.process: subprocess.Popen[bytes] | None = None
        self.configure(config)

    def configure(self, config: str) -> None:
        text = config.replace("{http}", str(self.http)).replace("{lmtp}", str(self.lmtp))
        self.file.write_text(f'[store]\nurl = "sqlite:///{self.store}"\n[dns]\nresolver = "127.0.0.1@9"\n{text}')

    def start(self, env: Mapping[str, str] | None = None) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [TLSRPT, "serve", "--config", str(self.file)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **(env or {})},
            )

    def __enter__(self) -> Serving:
        self.start()
        self.wait_for("started")
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        if self.process is None:
            return 0
        process, self.process = self.process, None
        process.send_signal(signal.SIGTERM)
        try:
            return process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"did not stop:\n{self.log.read_text()}") from None

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self.process = None

    def reload(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGHUP)

    def events(self) -> list[dict[str, Any]]:
        lines = self.log.read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]

    def wait_for(self, event: str, count: int = 1, **fields: object) -> dict[str, Any]:
        """The event, once it has been logged so many times; fails with the whole log when it is not."""
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            found = [
                line
                for line in self.events()
                if line["event"] == event and all(line.get(key) == value for key, value in fields.items())
            ]
            if len(found) >= count:
                return found[count - 1]
            assert self.process is None or self.process.poll() is None, self.log.read_text()
            time.sleep(0.02)
        raise AssertionError(f"never logged {event!r} {fields} {count} times:\n{self.log.read_text()}")

    def until_ready(self) -> None:
        """Both ports take connections."""
        until = time.monotonic() + PATIENCE_S
        for port in (self.http, self.lmtp):
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                except OSError:
                    assert time.monotonic() < until, self.log.read_text()
                    time.sleep(0.02)

    def post(self, body: bytes, **headers: str) -> tuple[int, str]:
        """Post a body: status and text of the answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.http, timeout=PATIENCE_S)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            connection.request("POST", "/v1/tlsrpt", body, {"Content-Type": "application/tlsrpt+gzip", **named})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def deliver(self, message: bytes, recipient: str = "tls@example.com") -> tuple[int, str]:
        """Deliver by LMTP: the reply to the data, or to what was refused before it."""
        message = re.sub(rb"\r?\n", b"\r\n", message)
        with smtplib.LMTP("127.0.0.1", self.lmtp, timeout=PATIENCE_S) as client:
            try:
                client.sendmail("noreply@sender.example", [recipient], message)
            except smtplib.SMTPRecipientsRefused as refused:
                code, text = refused.recipients[recipient]
            except smtplib.SMTPResponseException as error:
                code, text = error.smtp_code, error.smtp_error  # type: ignore[assignment]
            else:
                return 250, ""
            return code, text.decode()
