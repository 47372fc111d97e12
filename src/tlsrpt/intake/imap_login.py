"""How a mailbox is logged in to: a password by PLAIN or LOGIN, an access token by XOAUTH2 or OAUTHBEARER."""

from __future__ import annotations

import imaplib
import re
from typing import Any

from tlsrpt.config import ImapSource
from tlsrpt.core.errors import ConfigError, SourceError
from tlsrpt.core.text import printable
from tlsrpt.intake.oauth import TokenSource, command_token_source, token_source
from tlsrpt.intake.secrets import read_secret

SAID_CHARACTERS = 300
_BYTES = re.compile(r"""\bb(['"])(.*?)\1""")  # imaplib writes some of what a server said as Python would


class LoginRefusedError(SourceError):
    """The server knows better than to let us in. Not worth trying again at once: servers lock out who does."""


class Login:
    """How this mailbox is logged in to.

    Raises:
        ConfigError: no way is given, or more than one.
    """

    def __init__(self, config: ImapSource) -> None:
        self._config = config
        ways = [
            way
            for way in ("password_file", "password_env", "password_command", "token_command", "oauth")
            if getattr(config, way)
        ]
        if len(ways) != 1:
            raise ConfigError(
                f"{' and '.join(ways)} are given, and only one can be meant" if ways else "there is no way to log in",
                fix="leave one of them"
                if ways
                else "set one of password_file, password_env, password_command, token_command, oauth",
            )
        if config.mailbox and ways[0].startswith("password"):
            raise ConfigError(
                "a mailbox apart from the user is opened with an access token only",
                fix="set oauth or token_command, or write into user what your server wants there",
            )
        # Whose mailbox it is. Exchange Online wants the shared mailbox here, and the token is the application's (D-90).
        self.mailbox = config.mailbox or config.user
        self._tokens: TokenSource | None = None
        if config.oauth is not None:
            self._tokens = token_source(config.oauth, user=self.mailbox)
        elif config.token_command:
            self._tokens = command_token_source(config.token_command)
        self._refused = ""  # the token that was refused last

    def log_in(self, client: Any) -> str:
        """Log in. Returns the mechanism's name.

        Args:
            client: an IMAPClient that is connected, with TLS.
        Raises:
            LoginRefusedError: the server says no.
            SourceError: the secret can't be had.
            OSError, imaplib.IMAP4.abort: the connection is lost.
        """
        if self._tokens is None:
            config = self._config
            return self._by_password(
                client,
                read_secret(
                    "password", file=config.password_file, env=config.password_env, command=config.password_command
                ),
            )
        return self._by_token(client, self._tokens.token(refused=self._refused))

    def has_another(self) -> bool:
        """Whether another token can be had in place of the one that was refused; to be tried on a new connection."""
        if self._tokens is None or not self._refused:
            return False
        return self._tokens.token(refused=self._refused) != self._refused

    def _by_password(self, client: Any, password: str) -> str:
        config = self._config
        if client.has_capability("AUTH=PLAIN"):
            message = f"\0{config.user}\0{password}".encode()  # RFC 4616
            self._try(lambda: client.sasl_login("PLAIN", _Answers(message, b"")), password)
            return "PLAIN"
        if client.has_capability("LOGINDISABLED"):
            raise SourceError(f"the server takes no password; it offers {_offers(client)}")
        if not (config.user + password).isascii():
            raise SourceError("the server offers no AUTH=PLAIN, which a name or password beyond ASCII needs")
        user = config.user.replace("\\", "\\\\").replace('"', '\\"')
        self._try(lambda: client.login(f'"{user}"', password), password)  # the library quotes the password alone
        return "LOGIN"

    def _by_token(self, client: Any, token: str) -> str:
        if client.has_capability("AUTH=XOAUTH2"):
            mechanism = "XOAUTH2"
            answers = _Answers(f"user={self.mailbox}\x01auth=Bearer {token}\x01\x01".encode(), b"")
        elif client.has_capability("AUTH=OAUTHBEARER"):
            mechanism = "OAUTHBEARER"  # RFC 7628 section 3.1; the last answer is of section 3.2.3
            mailbox = self.mailbox.replace("=", "=3D").replace(",", "=2C")
            answers = _Answers(f"n,a={mailbox},\x01auth=Bearer {token}\x01\x01".encode(), b"\x01")
        else:
            raise SourceError(f"the server takes no access token; it offers {_offers(client)}")
        try:
            self._try(lambda: client.sasl_login(mechanism, answers), token, answers)
        except LoginRefusedError:
            self._refused = token
            raise
        self._refused = ""
        return mechanism

    def _try(self, attempt: Any, secret: str, answers: _Answers | None = None) -> None:
        try:
            attempt()
        except imaplib.IMAP4.error as error:
            if isinstance(error.__context__, imaplib.IMAP4.abort):  # IMAPClient makes a LoginError of a lost connection
                raise error.__context__ from None
            told = f"{error} {answers.told}" if answers is not None and answers.told else str(error)
            raise LoginRefusedError(
                f"{self.mailbox} can't log in: {said(told, secret)}", fix=self._advice(str(error))
            ) from None  # its context holds what was sent

    def _advice(self, told: str) -> str:
        host = self._config.host.lower()
        if self._tokens is None and host.endswith((".office365.com", ".outlook.com")):
            return "Exchange Online takes no password for IMAP; use oauth"
        return advice(told)


class _Answers:
    """What is answered to a SASL server: the message first, and what ends the matter when it objects."""

    def __init__(self, message: bytes, end: bytes) -> None:
        self._answers = [message]
        self._end = end
        self.told = ""  # why it objects: JSON, in base64, of XOAUTH2 and RFC 7628 section 3.2.2

    def __call__(self, challenge: bytes) -> bytes:
        if self._answers:
            return self._answers.pop()
        self.told = challenge.decode("utf-8", "replace")
        return self._end


def said(text: str, *secrets: str) -> str:
    """What a server said, for a log: printable, bounded, and without what it may have repeated."""
    for secret in filter(None, secrets):
        text = text.replace(secret, "(secret)")
    text = _BYTES.sub(r"\2", text)
    return printable(text.strip(), SAID_CHARACTERS)


def advice(told: str) -> str:
    """What to do about what a server said; "" where only the server's administrator knows."""
    if "authenticated but not connected" in told:  # of Exchange, which took the token and has no such mailbox for it
        return "the mailbox is another, or the service principal has no rights on it (Add-MailboxPermission)"
    return ""


def _offers(client: Any) -> str:
    offers = (name.decode("ascii", "replace") for name in client.capabilities())
    return printable(" ".join(name for name in offers if name.startswith("AUTH=")) or "nothing", SAID_CHARACTERS)
