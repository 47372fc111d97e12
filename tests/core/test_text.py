"""Text from outside can be shown without harm (DESIGN promise 4)."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlsrpt.core.text import printable

ANY_TEXT = st.text(st.characters() | st.characters(categories=["Cs", "Cf", "Cc", "Zl", "Zp"]))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("Bücher Inc. \\x1b", "Bücher Inc. \\x1b", id="ordinary text and a backslash stay"),
        pytest.param("\x1b[2Jx", r"\x1b[2Jx", id="terminal escape"),
        pytest.param("\x9b2Jx", r"\x9b2Jx", id="C1 control: also a terminal escape"),
        pytest.param("a\r\nb\tc\0", r"a\r\nb\tc\x00", id="line ends forge log lines"),
        pytest.param("\u202egro.elpmaxe", r"\u202egro.elpmaxe", id="bidi override"),
        pytest.param("a\u200bb\ufeff", r"a\u200bb\ufeff", id="zero width"),
        pytest.param("a\u2028b\u2029", r"a\u2028b\u2029", id="line and paragraph separators"),
        pytest.param("\U000e0041", r"\U000e0041", id="tag character"),
        pytest.param("\udc80\ud800", r"\udc80\ud800", id="lone surrogates"),
        pytest.param("a\xa0b\u3000c", "a\xa0b\u3000c", id="other blanks stay"),
    ],
)
def test_what_cannot_be_seen_is_shown_as_an_escape(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(ANY_TEXT, st.none() | st.integers(1, 40))
def test_the_result_holds_nothing_hidden_and_keeps_to_its_limit(text: str, limit: int | None) -> None:
    """No control, format, surrogate or separator character is left, so it also encodes."""
    shown = printable(text, limit)
    assert not {unicodedata.category(character) for character in shown} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    shown.encode()
    assert limit is None or len(shown) <= limit
    assert printable(shown, limit) == shown


@given(ANY_TEXT, st.integers(1, 40))
def test_a_shortened_text_is_the_beginning_of_the_whole(text: str, limit: int) -> None:
    """The cut never falls into an escape: `\\x1` would be read as something else."""
    whole, short = printable(text), printable(text, limit)
    assert short == whole if len(whole) <= limit else whole.startswith(short.removesuffix("…"))
    assert not short.removesuffix("…").endswith(("\\x", "\\u")) or "\\" in text


def test_a_limit_below_one_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        printable("x", 0)
