"""Which addresses mail is taken for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlsrpt.core.errors import ConfigError
from tlsrpt.intake.recipients import Recipients


@pytest.mark.parametrize(
    ("configured", "mailbox", "taken"),
    [
        ("tls@example.com", "tls@example.com", True),
        ("tls@example.com", "TLS@EXAMPLE.com", True),
        ("TLS@Example.com", "tls@example.com", True),
        ("tls@example.com", '"tls"@example.com', True),
        ("tls@example.com", r'"t\ls"@example.com', True),
        ("tls@example.com", "tls@example.com.", True),
        ("tls@example.com", "tls+x@example.com", False),
        ("tls@example.com", "tls@sub.example.com", False),
        ("tls@example.com", "tls@example.com@evil.example", False),
        ("tls@example.com", "tls", False),
        ("tls@example.com", "", False),
        ("tls@example.com", "@example.com", False),
        ("tls+*@example.com", "tls+2026@example.com", True),
        ("tls+*@example.com", "TLS+a+b@example.com", True),
        ("tls+*@example.com", "tls@example.com", True),
        ("tls+*@example.com", "tlsx@example.com", False),
        ("tls+*@example.com", "tls+x@example.net", False),
        ("@example.com", "anybody@example.com", True),
        ("*@example.com", "anybody@example.com", True),
        ("@example.com", "anybody@example.net", False),
        ("tls@bücher.example", "tls@xn--bcher-kva.example", True),
        ("tls@xn--bcher-kva.example", "tls@BÜCHER.example", True),
        ("tls@[192.0.2.1]", "tls@[192.0.2.1]", True),
        ("postmaster@example.com", "Postmaster", True),
        ("tls@example.com", "postmaster", False),
    ],
)
def test_an_address_is_ours_or_not(configured: str, mailbox: str, taken: bool) -> None:
    assert Recipients([configured]).take(mailbox) is taken


@pytest.mark.parametrize("address", ["", "tls", "tls@", "t*@example.com", "+*@example.com", "a b@example.com", "a@b c"])
def test_what_is_no_address_is_one_line(address: str) -> None:
    with pytest.raises(ConfigError, match="no address to take mail for"):
        Recipients([address])


@given(st.text(), st.text())
def test_any_text_is_an_answer_or_a_line(configured: str, mailbox: str) -> None:
    assert Recipients(["tls@example.com"]).take(mailbox) in (True, False)
    try:
        Recipients([configured]).take(mailbox)
    except ConfigError:
        return
