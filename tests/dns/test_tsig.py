"""TSIG keys: read in the forms that people have them in, and never shown."""

from __future__ import annotations

import base64
import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlsrpt.core.errors import ConfigError
from tlsrpt.dns.tsig import Key, parse_key

SECRET = b"thirty-two octets of a secret..."
TEXT = base64.b64encode(SECRET).decode()
KEY = Key(name="upd.example", algorithm="hmac-sha256", secret=SECRET)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(f'key "upd.example" {{\n\talgorithm hmac-sha256;\n\tsecret "{TEXT}";\n}};\n', id="tsig-keygen"),
        pytest.param(f"# c\nkey upd.example {{ secret {TEXT}; algorithm HMAC-SHA256; }}; // {{ }}", id="BIND, bare"),
        pytest.param(f'/* key "old" {{ }} */ key "upd.example" {{ secret "{TEXT}"; }};', id="algorithm left out"),
        pytest.param(f"key:\n  - id: upd.example\n    algorithm: hmac-sha256\n    secret: {TEXT}\n", id="Knot"),
        pytest.param(f"hmac-sha256:upd.example:{TEXT}\n", id="nsupdate -y"),
        pytest.param(f"upd.example:{TEXT}", id="nsupdate -y, short"),
    ],
)
def test_a_key_is_read_in_the_usual_forms(text: str) -> None:
    assert parse_key(text, "key.conf") == KEY


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("hello world", id="prose"),
        pytest.param(f"hmac-sha255:upd:{TEXT}", id="unknown algorithm"),
        pytest.param("upd:not*base64", id="no base64"),
        pytest.param("upd:", id="no secret"),
        pytest.param(f'key "a" {{ secret "{TEXT}"; }}; key "b" {{ secret "{TEXT}"; }};', id="two keys"),
    ],
)
def test_a_wrong_key_is_one_error_that_repeats_nothing_of_it(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^key\.conf: ") as caught:
        parse_key(text, "key.conf")
    assert TEXT not in str(caught.value)


@given(
    st.binary(min_size=1, max_size=64), st.sampled_from(['key "k" {{ algorithm hmac-sha256; secret "{}"; }};', "k:{}"])
)
def test_any_secret_comes_through(secret: bytes, form: str) -> None:
    """Base64 may hold //, which begins a comment elsewhere."""
    assert parse_key(form.format(base64.b64encode(secret).decode()), "x").secret == secret


def test_a_key_never_shows_its_secret() -> None:
    """Not in a log, not in a traceback."""
    for shown in (repr(KEY), str(KEY), f"{[KEY]}"):
        assert "secret" not in shown
        assert TEXT not in shown


@given(st.text(max_size=200))
def test_any_text_is_a_key_or_an_error(text: str) -> None:
    with contextlib.suppress(ConfigError):
        assert parse_key(text, "x").secret
