"""The digest: the one line, what needs someone first, bounded, and no text from outside that runs or breaks out."""

from __future__ import annotations

import unicodedata
from datetime import date, timedelta
from email.message import EmailMessage
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.notify.builders import a_rhythm, an_incident, an_overview
from tlsrpt.insight.coverage import SilentDomain
from tlsrpt.insight.incident import Incident, RankedCause, Side
from tlsrpt.insight.overview import DomainFigures, Figures, Hint, Overview, Part, SilentSender
from tlsrpt.notify.digest import MOST_BYTES, SUBJECT_LIMIT, change, days_of, percent, write_digest

HOSTILE = [
    pytest.param("<script>alert(1)</script>", id="script"),
    pytest.param("\"><img src=x onerror='alert(1)'>", id="out of an attribute"),
    pytest.param("</td></table></body></html><h1>Nothing to do", id="out of the page"),
    pytest.param("a\r\nBcc: all@victim.example\r\n\r\n<b>", id="a header more"),
    pytest.param("moc.elpmaxe\u202egnp.exe\u2066", id="bidi"),
    pytest.param("\x1b]0;owned\x07\x00\x9b31m", id="terminal"),
    pytest.param("\u200b\u00ad\u2028\u2029\U000e0041", id="cannot be seen"),
    pytest.param("&lt;script&gt; &amp;", id="escaped already"),
    pytest.param("\ud800 lone", id="surrogate"),
    pytest.param("x" * 5_000, id="endless"),
]


class Page(HTMLParser):
    """The tags, attributes and texts of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.crossed: list[str] = []
        self.texts: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.crossed.append(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def an_overview_of(text: str, scope: tuple[str, ...] = ()) -> Overview:
    """One in which a text from outside stands wherever one can."""
    incident = an_incident(
        headline=text,
        title=text,
        place=text,
        domains=(text, text + "2"),
        effects=(("refused", (text,)), ("none", (text + "2",))),
        side=Side(party="mx", confidence="low", reasons=(text,)),
        causes=(RankedCause(code="unknown", title=text, explanation=text),),
        steps=(text,),
        senders=(text,),
        state_reason=text,
        proven=0,
    )
    figures = DomainFigures(
        domain=text, sessions=5, failed=4, sessions_before=9, failed_before=1, consequence="refused", incidents=("x",)
    )
    quiet = an_incident("quiet23", title=text, place=text, state="quiet", state_reason=text)
    return an_overview(
        scope=scope or (text,),
        now=Figures(domains=2, senders=1, sessions=10, failed=4),
        parts=(Part(first=date(2026, 11, 17), last=date(2026, 11, 17), sessions=10, failed=4),) * 2,
        open=(incident,),
        new=(incident.id,),
        over=(quiet,),
        unsure=(quiet,),
        domains=(figures,),
        ceased=(SilentDomain(domain=text, rhythm=a_rhythm(), senders=(text,)),),
        silent=(SilentSender(sender=text, last_day=date(2026, 11, 1), why=text),),
        advice=(text,),
        ready=(Hint(domain=text, text=text),),
    )


def shape(html: str) -> list[tuple[str, dict[str, str | None]]]:
    return Page(html).tags


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_from_outside_becomes_markup_or_a_header(text: str) -> None:
    """With any text in every field the page has the tags and attributes that it has with a harmless one."""
    digest, harmless = write_digest(an_overview_of(text)), write_digest(an_overview_of("harmless"))
    assert shape(digest.html) == shape(harmless.html)
    page = Page(digest.html)
    assert not page.crossed
    assert page.open == []
    assert_visible(digest.subject)
    for line in digest.text.splitlines():
        assert_visible(line)
    for line in "".join(page.texts).split("\n"):
        assert_visible(line)
    assert len(digest.subject) <= SUBJECT_LIMIT
    assert len(digest.html.encode()) <= MOST_BYTES
    message = EmailMessage()
    message["Subject"] = digest.subject
    message.set_content(digest.text)
    message.add_alternative(digest.html, subtype="html")
    assert "Bcc" not in message


def assert_visible(line: str) -> None:
    line.encode()
    assert not [c for c in line if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") and c != "\xa0"], line


@pytest.mark.parametrize("text", HOSTILE)
def test_nor_does_one_of_several_names_of_the_scope(text: str) -> None:
    seen, harmless = (
        an_overview_of("x", scope=(text, "b.example")),
        an_overview_of("x", scope=("a.example", "b.example")),
    )
    assert shape(write_digest(seen).html) == shape(write_digest(harmless).html)


@given(st.text(max_size=60))
def test_whatever_is_reported_the_page_keeps_its_shape(text: str) -> None:
    assert shape(write_digest(an_overview_of(text)).html) == shape(write_digest(an_overview_of("harmless")).html)


def test_the_mail_needs_nothing_from_elsewhere() -> None:
    """No picture, no link, no script, no style sheet; who strips <style> strips nothing."""
    tags = shape(write_digest(an_overview_of("x.example")).html)
    assert {tag for tag, _ in tags}.isdisjoint({"img", "a", "script", "style", "link", "iframe", "object", "form"})
    for _, attributes in tags:
        assert set(attributes).isdisjoint({"src", "href", "background", "srcset"})
        assert "url(" not in (attributes.get("style") or "")


def test_the_mail_can_be_heard() -> None:
    """Language, heads with their scope, a caption; tables for layout say so; every bar has its figure as text."""
    html = write_digest(an_overview_of("x.example")).html
    tags = shape(html)
    assert dict(tags)["html"]["lang"] == "en"
    assert all(attributes.get("scope") in ("col", "row") for tag, attributes in tags if tag == "th")
    data = [attributes for tag, attributes in tags if tag == "table" and attributes.get("role") != "presentation"]
    assert len(data) == sum(tag == "caption" for tag, _ in tags) == 3
    assert html.count("4 of 10") == 2


def test_one_line_when_there_is_nothing_to_do() -> None:
    digest = write_digest(an_overview())
    lines = digest.text.split("\n\n")
    assert lines[1].replace("\n", " ") == (
        "Nothing to do: 41 domains, 12,345 sessions from 9 senders, all reported to be under TLS; reports are current "
        "to 24 Nov."
    )
    assert lines[2].startswith("Figures\n")
    assert digest.subject == "TLS reports: nothing to do, 17 to 23 Nov 2026"
    assert "What to do" not in digest.html


@pytest.mark.parametrize("before", [Figures(), Figures(domains=3, senders=2, sessions=50, failed=1)])
def test_without_a_report_that_is_said_first_and_nothing_is_called_fine(before: Figures) -> None:
    seen = an_overview(now=Figures(), before=before, latest=None, scope=("meadow.example",))
    digest = write_digest(seen)
    said = digest.text.split("\n\n")[1].replace("\n", " ")
    assert said.startswith("No report came for 17 to 23 Nov 2026, so nothing is known of these days.")
    assert ("50 sessions from 2 senders, 1 failed" in said) == bool(before.domains)
    assert digest.subject == "TLS reports on meadow.example: no report for 17 to 23 Nov 2026"
    assert "tlsrpt record check meadow.example" in digest.text
    assert "othing to do" not in digest.text
    assert "#2da44e" not in digest.html, "no green"


def test_old_incidents_nobody_can_judge_are_no_green_week() -> None:
    old = an_incident(state="unknown", last_seen=date(2026, 11, 1))
    digest = write_digest(an_overview(unsure=(old,)))
    assert "Nothing new to do: 41 domains" in digest.text
    assert "Of 1 older incident nobody can tell whether it goes on." in digest.text.replace("\n", " ")
    assert "#2da44e" not in digest.html


def test_an_incident_is_told_with_its_side_its_growth_and_its_next_step() -> None:
    incident = an_incident(by_day=((date(2026, 11, 12), 2), (date(2026, 11, 23), 40)), first_seen=date(2026, 11, 12))
    seen = an_overview(open=(incident,), now=Figures(domains=2, senders=1, sessions=100, failed=40))
    text = " ".join(write_digest(seen).text.split())
    assert "12 Nov, last reported for 23 Nov; 40 failed sessions in these 7 days, 2 in the 7 days before." in text
    assert "Whose side: your mail server, or who runs it, high confidence. The certificate is installed" in text
    assert "Next step: Compare the certificate on disk with the one served." in text
    assert "tlsrpt incidents abc2345" in text
    assert "Effect" not in text, "the headline says it where there is one domain"


@pytest.mark.parametrize(("proven", "signed", "said"), [(0, True, True), (7, True, False), (0, False, False)])
def test_what_only_unsigned_reports_say_is_told_as_such(proven: int, signed: bool, said: bool) -> None:
    """Where no report at all is signed it is told once, at the end, and not of each incident."""
    seen = an_overview(open=(an_incident(proven=proven),), signed=signed)
    text = " ".join(write_digest(seen).text.split())
    assert ("Only reports that nobody signed say so" in text) == said
    assert ("No report of these days is signed" in text) == (not signed)


def test_a_thousand_domains_and_a_hundred_incidents_make_a_small_mail() -> None:
    """Under 60 kB; ten incidents and twenty domains are named, the rest is counted."""
    incidents = tuple(many_domains(n) for n in range(100))
    domains = tuple(
        DomainFigures(
            domain=f"customer{n}.long-name-of-a-provider.example",
            sessions=100,
            failed=50,
            sessions_before=80,
            failed_before=2,
            consequence="refused",
            incidents=("x",),
        )
        for n in range(1_000)
    )
    now = Figures(domains=1_500, senders=40, sessions=1_000_000, failed=40_000)
    digest = write_digest(an_overview(open=incidents, domains=domains, now=now))
    assert len(digest.html.encode()) < MOST_BYTES
    assert digest.text.count("Next step:") == 10
    assert "90 more, the worst first" in digest.text
    assert "... and 980 more: tlsrpt summary --by domain." in digest.text
    assert "500 other domains with reports, and nothing to do there." in digest.text


def many_domains(n: int) -> Incident:
    return an_incident(
        f"id{n:05}",
        headline=f"{n} " + "a long story of senders, hosts and certificates " * 6,
        domains=tuple(f"customer{i}.example" for i in range(500)),
        side=Side(party="mx", confidence="high", reasons=("because of this and that " * 20,)),
        steps=("do this and do that " * 20,),
    )


def test_texts_that_would_make_it_too_large_leave_room_for_fewer_incidents() -> None:
    long = "<&>" * 400
    incidents = tuple(
        an_incident(
            f"id{n}", headline=long, steps=(long,), domains=(long, "b.example"), effects=(("none", (long,)),) * 3
        )
        for n in range(10)
    )
    digest = write_digest(an_overview(open=incidents))
    assert len(digest.html.encode()) <= MOST_BYTES
    assert "more, the worst first" in digest.text


@pytest.mark.parametrize(
    ("first", "last", "said"),
    [
        (date(2026, 11, 17), date(2026, 11, 23), "17 to 23 Nov 2026"),
        (date(2026, 11, 28), date(2026, 12, 4), "28 Nov to 4 Dec 2026"),
        (date(2026, 12, 28), date(2027, 1, 3), "28 Dec 2026 to 3 Jan 2027"),
        (date(2026, 11, 23), date(2026, 11, 23), "23 Nov 2026"),
    ],
)
def test_days_are_told_as_people_do(first: date, last: date, said: str) -> None:
    assert days_of(first, last) == said


@pytest.mark.parametrize(
    ("now", "before", "said"),
    [
        (0, 0, "none"),
        (5, 0, "+5"),
        (0, 5, "-5"),
        (11_000, 10_000, "+10 %"),
        (1, 3, "-67 %"),
        (1_002, 1_000, "+0.2 %"),
        (10, 12_000, "-99.9 %"),
        (1_000_001, 1_000_000, "+<0.1 %"),
    ],
)
def test_a_change_is_a_share_where_there_was_something(now: int, before: int, said: str) -> None:
    assert change(now, before) == said


def test_a_small_share_is_not_nothing() -> None:
    assert (percent(1, 100_000), percent(99_999, 100_000), percent(0, 0)) == ("<0.1 %", ">99.9 %", "-")


def test_a_day_without_reports_has_no_bar() -> None:
    parts = tuple(
        Part(first=day, last=day, sessions=10 * (n != 1), failed=2 * (n != 1))
        for n in range(3)
        if (day := date(2026, 11, 17) + timedelta(days=n))
    )
    text = write_digest(an_overview(parts=parts)).text
    assert "Wed 18 Nov    no report" in text
    assert "Thu 19 Nov    #################### 2 of 10" in text
