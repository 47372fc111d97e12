"""Which domains are ours: exact names, all below one, a file with many."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlsrpt.core.errors import ConfigError
from tlsrpt.core.owned import Owned, own_lines, read_own_file

LABELS = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)
DOMAINS = st.lists(LABELS, min_size=2, max_size=5).map(".".join)


@pytest.mark.parametrize(
    ("patterns", "domain", "ours"),
    [
        pytest.param(["example.com"], "example.com", True, id="itself"),
        pytest.param(["example.com"], "mail.example.com", False, id="exact names no subdomain"),
        pytest.param(["*.example.com"], "mail.example.com", True, id="one below"),
        pytest.param(["*.example.com"], "a.b.example.com", True, id="at any depth"),
        pytest.param(["*.example.com"], "example.com", False, id="below is not the name itself"),
        pytest.param(["*.example.com"], "badexample.com", False, id="labels, not letters"),
        pytest.param(["*.example.com"], ".example.com", False, id="an empty label is no name"),
        pytest.param(["*.com", "example.org"], "example.com", True, id="below a top-level domain"),
        pytest.param([" Example.COM. "], "example.com", True, id="as people write it"),
        pytest.param(["bücher.example"], "xn--bcher-kva.example", True, id="U-labels"),
        pytest.param(["*.Bücher.example"], "mx.xn--bcher-kva.example", True, id="below U-labels"),
        pytest.param([], "example.com", False, id="nothing is ours"),
        pytest.param(["example.com"], "", False, id="no domain at all"),
    ],
)
def test_owns(patterns: list[str], domain: str, ours: bool) -> None:
    """A-14: a domain is ours when it is named, or lies below a name with `*.`."""
    assert Owned.of(patterns).owns(domain) is ours


def test_any_owns_all() -> None:
    assert Owned.any().owns("example.com")
    assert Owned.any().patterns == ()


@given(st.lists(DOMAINS, max_size=6), st.lists(DOMAINS, max_size=6), DOMAINS)
def test_owns_is_what_its_words_say(exact: list[str], below: list[str], domain: str) -> None:
    """The look-ups agree with the plain definition, and the patterns make the same again."""
    owned = Owned.of([*exact, *(f"*.{name}" for name in below)])
    assert owned.owns(domain) == (domain in exact or any(domain.endswith(f".{name}") for name in below))
    assert Owned.of(owned.patterns) == owned


def test_a_name_of_endless_labels_costs_nothing() -> None:
    """A report may name anything (string_length allows 65,536 characters); no copy is made for each of its dots."""
    owned, hostile = Owned.of(["*.example.com"]), "." * 60_000
    tracemalloc.start()
    assert not owned.owns(hostile)
    assert tracemalloc.get_traced_memory()[1] < 10_000
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("any", 'domains.own: "any" stands alone and not in a list; write own = "any"'),
        ("*", 'domains.own: "*" is no domain; for every domain write own = "any"'),
        (
            "mx*.example.com",
            'domains.own: "mx*.example.com": a * stands only for the whole first label; '
            "write *.example.com for all below example.com",
        ),
        ("*.", 'domains.own: "*." is no domain name; write example.com or *.example.com'),
        ("a b.example", 'domains.own: "a b.example" is no domain name; write example.com or *.example.com'),
        ("x\x1b[31m", 'domains.own: "x\\x1b[31m" is no domain name; write example.com or *.example.com'),
        ("postmaster@example.com", None),
        ("https://example.com/", None),
        ("", None),
    ],
)
def test_what_is_no_domain_is_said(pattern: str, said: str | None) -> None:
    with pytest.raises(ConfigError) as caught:
        Owned.of(["example.com", pattern])
    if said:
        assert str(caught.value) == said


def test_a_file_has_one_domain_a_line() -> None:
    """Comments, blank lines, a byte order mark, line ends of Windows, capitals and U-labels."""
    text = "\ufeffexample.com\r\n\r\n# customers\n  *.Example.ORG.  # all of them\nbücher.example\n"
    assert read_own_file(text, "own.txt") == ["example.com", "*.example.org", "xn--bcher-kva.example"]


def test_a_bad_line_is_named_with_its_file() -> None:
    with pytest.raises(ConfigError) as caught:
        read_own_file("# ours\nexample.com\nexample,com\n", "/etc/tlsrpt/own.txt")
    assert str(caught.value).startswith('/etc/tlsrpt/own.txt line 3: "example,com" is no domain name; ')


@given(st.text(max_size=200))
def test_any_text_is_a_list_or_says_which_lines_are_not(text: str) -> None:
    for number, pattern in own_lines(text):
        assert 1 <= number <= len(text.splitlines())
        if isinstance(pattern, str):
            assert Owned.of([pattern]).patterns == (pattern,)


def test_a_hundred_thousand_domains_are_looked_up_like_one() -> None:
    names = [f"customer-{n}.example" for n in range(100_000)]
    owned = Owned.of(read_own_file("\n".join(names), "own.txt"))
    assert all(map(owned.owns, names))
    assert not owned.owns("customer-100000.example")
