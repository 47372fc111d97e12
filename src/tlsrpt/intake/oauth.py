"""Access tokens for mailboxes whose provider takes no password (D-90): asked for, kept while they last, renewed.

Three ways: a command that prints one; the client-credentials flow (RFC 6749 section 4.4), as Microsoft 365 has it;
and an assertion signed with a service account's key (RFC 7523), as Google has it. A person never takes part, so there
is nothing to renew by hand but the client's secret. Calls block, and may come from any thread.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from tlsrpt.config import OauthConfig
from tlsrpt.core.errors import ConfigError, SourceError
from tlsrpt.core.text import printable
from tlsrpt.intake.outgoing import https_address, trust
from tlsrpt.intake.secrets import read_secret

OUTLOOK_SCOPE = "https://outlook.office365.com/.default"  # IMAP, POP
GRAPH_SCOPE = "https://graph.microsoft.com/.default"
GMAIL_SCOPE = "https://mail.google.com/"
MICROSOFT_URL = "https://login.microsoftonline.com/{tenant}/oauth2/v2.0/token"

EARLY_S = 60.0  # a token is renewed so long before it ends
UNTOLD_S = 300.0  # how long one is taken to last whose server does not say (RFC 6749 section 5.1: it should)
LONGEST_S = 24 * 3600.0
ASSERTION_S = 3600  # Google takes no assertion that lasts longer
WITHIN_S = 30.0  # for the token server to answer
MOST_BYTES = 64 * 1024  # of its answer, and of a key file
SAID_CHARACTERS = 300  # of what it says when it refuses
_TOKEN = re.compile(r"[\x21-\x7e]+")  # nothing that could end the SASL message that it goes into (RFC 7628 section 3.1)
_TENANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*")


class Token(Struct, frozen=True):
    """An access token, and how many seconds it lasts from when it was asked for; 0: ask anew each time."""

    text: str
    lasts_s: float

    def __repr__(self) -> str:
        return f"Token(lasts_s={self.lasts_s!r})"


class TokenSource:
    """Hands out an access token, and asks for a new one when the old is about to end or was refused.

    Args:
        ask: asks for one; raises SourceError.
        clock: steady seconds.
    """

    def __init__(self, ask: Callable[[], Token], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._ask = ask
        self._clock = clock
        self._lock = threading.Lock()
        self._text = ""
        self._until = 0.0

    def token(self, *, refused: str = "") -> str:
        """An access token.

        Args:
            refused: a token that the mail server did not take: it is not handed out again. Several callers that were
                refused the same one cause one request.
        Raises:
            SourceError: there is none now; says who refused, and why.
        """
        with self._lock:
            began = self._clock()
            if not self._text or began >= self._until or self._text == refused:
                token = self._ask()
                if not _TOKEN.fullmatch(token.text):
                    raise SourceError("the access token has characters that no token has")
                self._text, self._until = token.text, began + token.lasts_s - EARLY_S
            return self._text


def token_source(
    config: OauthConfig,
    *,
    user: str = "",
    microsoft_scope: str = OUTLOOK_SCOPE,
    now: Callable[[], float] = time.time,
    clock: Callable[[], float] = time.monotonic,
) -> TokenSource:
    """Tokens as the configuration says.

    Args:
        user: whose mailbox it is for; Google wants it in the request, Microsoft does not.
        microsoft_scope: what for, where the configuration does not say.
        now: seconds since 1970, for the assertion.
    Raises:
        ConfigError: something is missing, or can't be used.
    """
    match config.provider:
        case "google":
            if not config.key_file:
                raise ConfigError("oauth: no key_file is given", fix="name the service account's JSON key file")
            flow: _Flow = _ServiceAccount(config, user, now)
        case "microsoft":
            if not (config.token_url or _TENANT.fullmatch(config.tenant)):
                raise ConfigError("oauth: tenant is no directory id and no domain", fix="see the app registration")
            url = config.token_url or MICROSOFT_URL.format(tenant=config.tenant)
            flow = _ClientCredentials(config, url, config.scope or microsoft_scope)
        case "other":
            flow = _ClientCredentials(config, config.token_url, config.scope)
    return TokenSource(lambda: _post(*flow.request(), ca_file=config.ca_file), clock=clock)


def command_token_source(command: str) -> TokenSource:
    """Tokens that a command prints. It is run for each connection: such commands keep their tokens themselves."""
    return TokenSource(lambda: Token(read_secret("token", command=command), 0.0))


class _Flow(Protocol):
    def request(self) -> tuple[str, dict[str, str], tuple[str, ...]]:
        """Where to post, the form, and what of it may never be shown."""
        ...


class _ClientCredentials:
    """RFC 6749 section 4.4, with the client's secret in the form (section 2.3.1): every provider takes that."""

    def __init__(self, config: OauthConfig, url: str, scope: str) -> None:
        self._config, self._url, self._scope = config, _token_url(url), scope
        if not (config.client_secret_file or config.client_secret_env or config.client_secret_command):
            self._secret()  # says so

    def _secret(self) -> str:
        config = self._config
        return read_secret(
            "client_secret",
            file=config.client_secret_file,
            env=config.client_secret_env,
            command=config.client_secret_command,
        )

    def request(self) -> tuple[str, dict[str, str], tuple[str, ...]]:
        secret = self._secret()
        form = {"grant_type": "client_credentials", "client_id": self._config.client_id, "client_secret": secret}
        return self._url, form | ({"scope": self._scope} if self._scope else {}), (secret,)


class _Key(Struct):
    """What matters in a service account's JSON key file."""

    client_email: str
    private_key: str
    token_uri: str
    client_id: str = ""
    private_key_id: str = ""

    def __repr__(self) -> str:
        return f"_Key({self.client_email!r})"


class _ServiceAccount:
    """RFC 7523 section 2.1: a service account that speaks for a user, which its domain's administrator allowed."""

    def __init__(self, config: OauthConfig, user: str, now: Callable[[], float]) -> None:
        self._config, self._user, self._now = config, user, now
        if config.token_url:
            _token_url(config.token_url)

    def request(self) -> tuple[str, dict[str, str], tuple[str, ...]]:
        config = self._config
        key = _read_key(config.key_file)
        if config.client_id not in (key.client_email, key.client_id):
            raise SourceError(
                f"oauth: client_id is {printable(config.client_id)}, but {printable(config.key_file)} is the key of "
                f"{printable(key.client_email)}"
            )
        try:
            url = _token_url(config.token_url or key.token_uri)
        except ConfigError as error:  # of the file, which may be put right while we run
            raise SourceError(error.what) from error
        now = int(self._now())
        claims = {
            "iss": key.client_email,
            "scope": config.scope or GMAIL_SCOPE,
            "aud": url,
            "iat": now,
            "exp": now + ASSERTION_S,
        } | ({"sub": self._user} if self._user else {})
        assertion = _signed(claims, key, config.key_file)
        form = {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": assertion}
        return url, form, (assertion,)


def _read_key(file: str) -> _Key:
    try:
        with Path(file).open("rb") as stream:
            data = stream.read(MOST_BYTES + 1)
    except OSError as error:
        raise SourceError(f"oauth: {printable(file)} can't be read: {error.strerror}") from error
    try:
        return msgspec.json.decode(data, type=_Key)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise SourceError(f"oauth: {printable(file)} is no service account's key in JSON") from None


def _signed(claims: dict[str, object], key: _Key, file: str) -> str:
    """A JSON Web Token, signed with RS256 (RFC 7515)."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        private = load_pem_private_key(key.private_key.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):  # TypeError: it is encrypted
        private = None
    if not isinstance(private, RSAPrivateKey):
        raise SourceError(f"oauth: {printable(file)} holds no RSA key that can be read")
    header = {"alg": "RS256", "typ": "JWT"} | ({"kid": key.private_key_id} if key.private_key_id else {})
    text = f"{_base64url(msgspec.json.encode(header))}.{_base64url(msgspec.json.encode(claims))}"
    return f"{text}.{_base64url(private.sign(text.encode(), PKCS1v15(), hashes.SHA256()))}"


def _base64url(data: bytes) -> str:
    from base64 import urlsafe_b64encode

    return urlsafe_b64encode(data).rstrip(b"=").decode()


def _token_url(url: str) -> str:
    """Raises ConfigError for one that no secret may be sent to."""
    if not url:
        raise ConfigError("oauth: no token_url is given")
    return https_address(url, "oauth: token_url")


class _Answer(Struct):
    """RFC 6749 sections 5.1 and 5.2; what else is in it is not looked at."""

    access_token: str = ""
    expires_in: float | None = None  # some servers write the number as a string
    error: str = ""
    error_description: str = ""


def _post(url: str, form: dict[str, str], secrets: tuple[str, ...], *, ca_file: str) -> Token:
    """Ask the token server.

    Redirects are not followed: a secret goes where the administrator said, and nowhere else.
    """
    import httpx2

    where = urlsplit(url).netloc
    deadline = time.monotonic() + WITHIN_S
    body = b""
    try:
        with (
            httpx2.Client(verify=trust(ca_file, "oauth: ca_file"), timeout=WITHIN_S, follow_redirects=False) as client,
            client.stream("POST", url, data=form, headers={"Accept-Encoding": "identity"}) as response,
        ):
            for part in response.iter_raw():
                body += part
                if len(body) > MOST_BYTES or time.monotonic() > deadline:
                    raise SourceError("the token server's answer is too long, or too slow", where=where)
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        said = printable(str(error) or type(error).__name__, SAID_CHARACTERS)
        raise SourceError(f"the token server can't be asked: {said}", where=where) from error
    try:
        answer = msgspec.json.decode(body, type=_Answer, strict=False)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise SourceError(
            f"the token server answered HTTP {response.status_code}, without a reason", where=where
        ) from None
    if response.status_code != 200 or not answer.access_token:
        # Microsoft's description goes on with lines of trace ids.
        said = ": ".join(filter(None, (answer.error, answer.error_description.partition("\n")[0].strip())))
        for secret in secrets:
            said = said.replace(secret, "(secret)")
        raise SourceError(
            f"no access token: HTTP {response.status_code}: {printable(said or 'no reason', SAID_CHARACTERS)}",
            where=where,
        )
    lasts_s = UNTOLD_S if answer.expires_in is None else answer.expires_in
    return Token(answer.access_token, min(max(lasts_s, 0.0), LONGEST_S))
