"""Access tokens: from a command, by the client-credentials flow, and for a service account; over real HTTPS."""

# ruff: noqa: S105, S106 - these secrets open nothing

from __future__ import annotations

import json
import threading
import traceback
from base64 import urlsafe_b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from tests.httpsserver import HttpsServer, https_server, make_authority
from tlsrpt.config import OauthConfig
from tlsrpt.core.errors import ConfigError, SourceError
from tlsrpt.intake.oauth import (
    GMAIL_SCOPE,
    GRAPH_SCOPE,
    OUTLOOK_SCOPE,
    Token,
    TokenSource,
    command_token_source,
    token_source,
)

SECRET = "sec~ret/8+value"


def answer(status: str = "200 OK", **fields: object) -> bytes:
    return b"HTTP/1.1 " + status.encode() + b"\r\nContent-Type: application/json\r\n\r\n" + json.dumps(fields).encode()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[HttpsServer]:
    context = make_authority(tmp_path).context("localhost")
    with https_server(context, answer(access_token="tok-1", expires_in=3600)) as running:
        yield running


@pytest.fixture
def secret(tmp_path: Path) -> str:
    (tmp_path / "secret").write_text(SECRET + "\n")
    return str(tmp_path / "secret")


def a_config(server: HttpsServer, tmp_path: Path, **changes: Any) -> OauthConfig:
    fields: dict[str, Any] = {
        "provider": "microsoft",
        "client_id": "11111111-aaaa",
        "client_secret_file": str(tmp_path / "secret"),
        "token_url": f"https://localhost:{server.port}/t/oauth2/v2.0/token",
        "ca_file": str(tmp_path / "ca.pem"),
    }
    return OauthConfig(**(fields | changes))


def asked(server: HttpsServer) -> dict[str, str]:
    """The form of the last request."""
    head, _, body = server.requests[-1].partition(b"\r\n\r\n")
    assert b"content-type: application/x-www-form-urlencoded" in head.lower()
    return {name: values[0] for name, values in parse_qs(body.decode()).items()}


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


# What is handed out, and when


def test_a_token_is_kept_until_a_minute_before_its_end() -> None:
    clock, tokens = Clock(), iter(["one", "two"])
    source = TokenSource(lambda: Token(next(tokens), 3600), clock=clock)
    assert source.token() == source.token() == "one"
    clock.now += 3539
    assert source.token() == "one"
    clock.now += 1
    assert source.token() == "two"


def test_a_token_that_was_refused_is_not_handed_out_again() -> None:
    """One request for all who were refused the same one."""
    tokens = iter(["one", "two"])
    source = TokenSource(lambda: Token(next(tokens), 3600))
    assert source.token() == "one"
    assert source.token(refused="one") == source.token(refused="one") == source.token() == "two"


def test_threads_share_one_request() -> None:
    gate, count = threading.Barrier(8), []
    source = TokenSource(lambda: (count.append(1), Token("one", 3600))[1])
    seen: list[str] = []

    def ask() -> None:
        gate.wait()
        seen.append(source.token())

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (seen, count) == (["one"] * 8, [1])


def test_a_failure_is_not_kept() -> None:
    outcomes: list[Token | SourceError] = [SourceError("down"), Token("one", 3600)]

    def ask() -> Token:
        outcome = outcomes.pop(0)
        if isinstance(outcome, SourceError):
            raise outcome
        return outcome

    source = TokenSource(ask)
    with pytest.raises(SourceError, match="down"):
        source.token()
    assert source.token() == "one"


@pytest.mark.parametrize("text", ["", "a b", "a\x01auth=Bearer b", "tök"])
def test_a_token_can_not_change_the_sasl_message(text: str) -> None:
    with pytest.raises(SourceError, match="characters that no token has"):
        TokenSource(lambda: Token(text, 3600)).token()


def test_a_command_is_asked_for_each_connection(tmp_path: Path) -> None:
    source = command_token_source(f"echo x >>{tmp_path}/count; wc -l <{tmp_path}/count")
    assert [source.token(), source.token(refused="1")] == ["1", "2"]


# The client-credentials flow


@pytest.mark.usefixtures("secret")
def test_the_client_credentials_are_posted_as_a_form(server: HttpsServer, tmp_path: Path) -> None:
    """RFC 6749 section 4.4.2, and Microsoft's scope for IMAP, or for Graph."""
    assert token_source(a_config(server, tmp_path)).token() == "tok-1"
    assert server.requests[-1].startswith(b"POST /t/oauth2/v2.0/token HTTP/1.1\r\n")
    assert asked(server) == {
        "grant_type": "client_credentials",
        "client_id": "11111111-aaaa",
        "client_secret": SECRET,
        "scope": OUTLOOK_SCOPE,
    }
    token_source(a_config(server, tmp_path), microsoft_scope=GRAPH_SCOPE).token()
    assert asked(server)["scope"] == GRAPH_SCOPE
    token_source(a_config(server, tmp_path, scope="mine"), microsoft_scope=GRAPH_SCOPE).token()
    assert asked(server)["scope"] == "mine"
    token_source(a_config(server, tmp_path, provider="other")).token()
    assert "scope" not in asked(server)


@pytest.mark.usefixtures("secret")
def test_a_secret_that_was_changed_is_used_for_the_next_token(server: HttpsServer, tmp_path: Path) -> None:
    source = token_source(a_config(server, tmp_path))
    source.token()
    (tmp_path / "secret").write_text("rotated")
    source.token(refused="tok-1")
    assert asked(server)["client_secret"] == "rotated"


@pytest.mark.usefixtures("secret")
@pytest.mark.parametrize(
    ("said", "reason"),
    [
        pytest.param(
            answer(
                "401 Unauthorized",
                error="invalid_client",
                error_description=f"AADSTS7000215: Invalid client secret {SECRET}.\r\nTrace ID: 255d1aef",
            ),
            "no access token: HTTP 401: invalid_client: AADSTS7000215: Invalid client secret (secret).",
            id="as Microsoft says it",
        ),
        pytest.param(answer("400 Bad Request", error="x\x1b[2J"), "HTTP 400: x\\x1b[2J", id="control characters"),
        pytest.param(answer(error_description="y" * 5000), "HTTP 200: " + "y" * 299 + "…", id="long"),
        pytest.param(answer("403 Forbidden"), "HTTP 403: no reason", id="no reason"),
        pytest.param(b"HTTP/1.1 502 Bad Gateway\r\n\r\n<html>", "answered HTTP 502, without a reason", id="no JSON"),
        pytest.param(b"HTTP/1.1 200 OK\r\n\r\n[1]", "answered HTTP 200, without a reason", id="other JSON"),
        pytest.param(
            b"HTTP/1.1 307 T\r\nLocation: https://evil.example/\r\n\r\n{}", "HTTP 307: no reason", id="a redirect"
        ),
        pytest.param(b"HTTP/1.1 200 OK\r\n\r\n" + b" " * 70_000, "too long, or too slow", id="without end"),
        pytest.param(b"SSH-2.0-x\r\n", "the token server can't be asked: ", id="no HTTP"),
    ],
)
def test_a_refusal_is_one_line_without_the_secret(
    said: bytes, reason: str, server: HttpsServer, tmp_path: Path
) -> None:
    server.answer = said
    with pytest.raises(SourceError) as error:
        token_source(a_config(server, tmp_path)).token()
    assert reason in str(error.value)
    assert str(error.value).startswith(f"localhost:{server.port}: ")
    assert str(error.value).isprintable()
    assert SECRET not in "".join(traceback.format_exception(error.value))


@pytest.mark.usefixtures("secret")
@pytest.mark.parametrize(
    ("expires_in", "kept"),
    [(3600, True), ("3599", True), (None, True), (30, False), (0, False), (-1, False), (1e300, True)],
)
def test_how_long_it_lasts_is_what_the_server_says(
    expires_in: object, kept: bool, server: HttpsServer, tmp_path: Path
) -> None:
    """Some write the number as a string; some leave it out (RFC 6749 section 5.1)."""
    server.answer = answer(access_token="tok-1", **({} if expires_in is None else {"expires_in": expires_in}))
    clock = Clock()
    source = token_source(a_config(server, tmp_path), clock=clock)
    source.token()
    source.token()
    assert len(server.requests) == (1 if kept else 2)
    clock.now += 24 * 3600
    source.token()
    assert len(server.requests) == (2 if kept else 3)


@pytest.mark.usefixtures("secret")
def test_a_certificate_that_nobody_vouches_for_gets_no_secret(server: HttpsServer, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="certificate verify failed"):
        token_source(a_config(server, tmp_path, ca_file="")).token()
    url = f"https://127.0.0.1:{server.port}/"
    with pytest.raises(SourceError, match=r"certificate is not valid for '127\.0\.0\.1'"):
        token_source(a_config(server, tmp_path, token_url=url)).token()
    assert server.requests == []


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"client_secret_file": ""}, "no client_secret is given; set one of client_secret_file"),
        ({"token_url": ""}, "tenant is no directory id"),
        ({"token_url": "", "tenant": "a/../b"}, "tenant is no directory id"),
        ({"token_url": "http://localhost/"}, "token_url is no https:// address: http://localhost/"),
        ({"token_url": "https://"}, "token_url is no https:// address"),
        ({"token_url": "https://me:secret@localhost/"}, "token_url is no https:// address: localhost/"),
        ({"token_url": "https://[::1/"}, "token_url is no https:// address"),
        ({"provider": "other", "token_url": ""}, "no token_url is given"),
        ({"provider": "google"}, "no key_file is given"),
        ({"provider": "google", "key_file": "/k", "token_url": "http://x/"}, "token_url is no https:// address"),
    ],
)
def test_what_can_not_work_is_said_before_anything_is_asked(
    changes: dict[str, Any], reason: str, server: HttpsServer, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as error:
        token_source(a_config(server, tmp_path, **changes))
    assert reason in str(error.value)


@pytest.mark.usefixtures("secret")
@pytest.mark.parametrize(("content", "reason"), [(None, "can't be read: No such file"), ("", "holds no certificate")])
def test_an_authority_that_can_not_be_read_is_named(
    content: str | None, reason: str, server: HttpsServer, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / "other.pem").write_text(content)
    with pytest.raises(SourceError, match=f"ca_file .*other.pem {reason}"):
        token_source(a_config(server, tmp_path, ca_file=str(tmp_path / "other.pem"))).token()


def test_microsofts_address_is_made_of_the_tenant() -> None:
    """Nothing is asked here; that it is reached is for the handbook's reader to see."""
    config = OauthConfig(provider="microsoft", client_id="x", tenant="example.com", client_secret_env="X")
    token_source(config)


# Google's service accounts


RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def write_key(tmp_path: Path, server: HttpsServer, **changes: object) -> str:
    key = {
        "type": "service_account",
        "client_email": "tls@project.iam.example",
        "client_id": "104",
        "private_key_id": "k1",
        "private_key": pem(RSA),
        "token_uri": f"https://localhost:{server.port}/token",
    }
    (tmp_path / "key.json").write_text(json.dumps(key | changes))
    return str(tmp_path / "key.json")


def google(server: HttpsServer, tmp_path: Path, **changes: Any) -> OauthConfig:
    return a_config(
        server,
        tmp_path,
        **(
            {"provider": "google", "client_id": "tls@project.iam.example", "token_url": "", "client_secret_file": ""}
            | changes
        ),
    )


def test_a_service_account_signs_for_the_mailbox(server: HttpsServer, tmp_path: Path) -> None:
    """RFC 7523 section 2.1, RS256; `sub` is the user that domain-wide delegation lets it speak for."""
    config = google(server, tmp_path, key_file=write_key(tmp_path, server))
    assert token_source(config, user="tls@example.com", now=lambda: 1_700_000_000.9).token() == "tok-1"

    form = asked(server)
    assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    signed, _, signature = form["assertion"].rpartition(".")
    RSA.public_key().verify(decoded(signature), signed.encode(), padding.PKCS1v15(), hashes.SHA256())
    header, claims = (json.loads(decoded(part)) for part in signed.split("."))
    assert header == {"alg": "RS256", "typ": "JWT", "kid": "k1"}
    assert claims == {
        "iss": "tls@project.iam.example",
        "sub": "tls@example.com",
        "scope": GMAIL_SCOPE,
        "aud": f"https://localhost:{server.port}/token",
        "iat": 1_700_000_000,
        "exp": 1_700_003_600,
    }


def decoded(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def test_the_numeric_client_id_names_the_account_too(server: HttpsServer, tmp_path: Path) -> None:
    config = google(server, tmp_path, key_file=write_key(tmp_path, server), client_id="104")
    assert token_source(config).token() == "tok-1"


@pytest.mark.parametrize(
    ("key", "changes", "reason"),
    [
        ({}, {"client_id": "other@x"}, "client_id is other@x, but .*key.json is the key of tls@project.iam.example"),
        ({"token_uri": "http://x/"}, {}, "token_url is no https:// address: http://x/"),
        ({"private_key": "nonsense"}, {}, "key.json holds no RSA key that can be read"),
        ({"private_key": pem(ec.generate_private_key(ec.SECP256R1()))}, {}, "key.json holds no RSA key"),
        ({"private_key": 1}, {}, "key.json is no service account's key in JSON"),
    ],
)
def test_a_key_file_that_can_not_be_used_is_named_and_not_shown(
    key: dict[str, object], changes: dict[str, Any], reason: str, server: HttpsServer, tmp_path: Path
) -> None:
    config = google(server, tmp_path, key_file=write_key(tmp_path, server, **key), **changes)
    with pytest.raises(SourceError, match=reason) as error:
        token_source(config).token()
    assert "PRIVATE KEY" not in "".join(traceback.format_exception(error.value))
    assert server.requests == []


def test_a_key_file_that_is_not_there_may_come_yet(server: HttpsServer, tmp_path: Path) -> None:
    config = google(server, tmp_path, key_file=str(tmp_path / "no.json"))
    with pytest.raises(SourceError, match=r"no\.json can't be read: No such file"):
        token_source(config).token()


def test_nothing_shows_a_token_by_accident() -> None:
    assert "tok-1" not in repr(Token("tok-1", 3600))
