"""Who is told what, when, and in which words."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.notify.builders import an_incident
from tlsrpt.config import AlertsConfig, AlertTo
from tlsrpt.core.errors import ConfigError
from tlsrpt.core.text import printable
from tlsrpt.notify.routing import Routed, due_at, mail_domains, route, scope_of, zone_of
from tlsrpt.notify.rules import News, Notice
from tlsrpt.notify.wording import SUBJECT_LIMIT, for_chat, message_of

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


def a_notice(n: int = 1, **values: Any) -> Notice:
    incident = values.pop("incident", an_incident(f"abc234{n}", **values.pop("of", {})))
    return Notice(
        **{
            "event": "opened",
            "key": f"incident:{incident.id}",
            "severity": "error",
            "headline": incident.headline,
            "command": f"tlsrpt incidents {incident.id}",
            "domains": incident.domains,
            "incident": incident,
            **values,
        }
    )


def routed(notices: list[Notice], *to: AlertTo, mx: dict[str, tuple[str, ...]] | None = None, **values: Any) -> Routed:
    config = AlertsConfig(to=to, **values)
    return route(News(notices=tuple(notices)), config, NOW, number=7, firsts={}, mx_hosts=mx or {})


def names(found: Routed) -> list[list[str]]:
    return [[one.recipient for one in addresses] for _, addresses in found]


OPS = AlertTo(name="ops", webhook="https://a.example/")


@pytest.mark.parametrize(
    ("to", "values", "told"),
    [
        pytest.param({}, {}, True, id="everything"),
        pytest.param({"domains": ("meadow.example",)}, {}, True, id="its domain"),
        pytest.param({"domains": ("*.example",)}, {}, True, id="below"),
        pytest.param({"domains": ("other.example",)}, {}, False, id="another's domain"),
        pytest.param({"domains": ("meadow.example",)}, {"domains": ()}, False, id="what concerns no domain"),
        pytest.param({"min_severity": "error"}, {"severity": "warning"}, False, id="too slight"),
        pytest.param({}, {"severity": "info"}, False, id="information is not asked for"),
        pytest.param({"min_severity": "info"}, {"severity": "info"}, True, id="is asked for"),
        pytest.param({"events": ("over",)}, {}, False, id="another event"),
        pytest.param({"events": ("silent",)}, {"event": "heard"}, True, id="an end belongs to its begin"),
    ],
)
def test_who_is_told(to: dict[str, Any], values: dict[str, Any], told: bool) -> None:
    found = routed([a_notice(**values)], AlertTo(name="ops", webhook="https://a.example/", **to))
    assert names(found) == ([["ops"]] if told else [[]])  # what nobody is told is kept, for `tlsrpt alerts`


def test_one_host_with_500_domains_is_one_message() -> None:
    (message, addresses), *more = routed([a_notice(of={"domains": tuple(f"d{n}.example" for n in range(500))})], OPS)
    assert (more, len(addresses)) == ([], 1)
    assert "and 494 more" in message.text


def test_many_at_once_are_one_message_for_each_recipient() -> None:
    notices = [a_notice(n, severity="warning" if n else "error") for n in range(6)]
    some = AlertTo(name="some", webhook="https://b.example/", min_severity="error")
    found = routed(notices, OPS, some)
    assert names(found) == [["ops"], ["some"]]
    assert found[0][0].event == "several"
    assert "6 alerts" in found[0][0].subject
    assert [len(msgspec.json.decode(message.data)["incidents"]) for message, _ in found] == [6, 1]


def test_two_hundred_at_the_first_start_are_one() -> None:
    notices = [a_notice(incident=an_incident(f"{n:07}")) for n in range(200)]
    config = AlertsConfig(to=(OPS,))
    found = route(News(notices=tuple(notices), first=True), config, NOW, number=1, firsts={}, mx_hosts={})
    assert len(found) == 1
    assert found[0][0].subject.startswith("TLS alerts begin: 200 open")
    assert len(found[0][0].text) < 30_000


def test_messages_have_names_that_no_other_look_gives() -> None:
    found = routed([a_notice(n) for n in range(3)], OPS)
    assert len({message.token for message, _ in found}) == 3


def test_each_mail_address_is_served_by_itself() -> None:
    """One that is refused must not make the others come twice."""
    found = routed([a_notice()], AlertTo(name="ops", mail=("a@b.example", "c@d.example")))
    assert [one.address for one in found[0][1]] == ["a@b.example", "c@d.example"]


# --- Whether it arrives -----------------------------------------------------------------------------------------------


HOME = AlertTo(name="home", mail=("ops@meadow.example",))
AWAY = AlertTo(name="away", mail=("ops@quarry.example",), domains=("other.example",))


@pytest.mark.parametrize(
    ("of", "mx", "warned"),
    [
        pytest.param({}, {}, True, id="its own domain"),
        pytest.param(
            {"domains": ("a.example",), "effects": (("refused", ("a.example",)),)},
            {"meadow.example": ("mx1.meadow.example",)},
            True,
            id="its MX host",
        ),
        pytest.param({"domains": ("a.example",), "effects": (("refused", ("a.example",)),)}, {}, False, id="neither"),
        pytest.param(
            {"consequence": "delivered-unverified", "effects": (("delivered-unverified", ("meadow.example",)),)},
            {"meadow.example": ("mx1.meadow.example",)},
            False,
            id="mail arrives",
        ),
    ],
)
def test_an_address_that_depends_on_what_fails_is_warned_and_others_are_told_too(
    of: dict[str, Any], mx: dict[str, tuple[str, ...]], warned: bool
) -> None:
    found = routed([a_notice(of=of)], HOME, AWAY, mx=mx)
    told = {addresses[0].recipient: message.text for message, addresses in found}
    assert sorted(told) == (["away", "home"] if warned else ["home"])
    assert ("it may not arrive" in " ".join(told["home"].split())) is warned
    if warned:
        assert "may not arrive" not in told["away"]


def test_a_lone_recipient_is_told_that_nobody_else_is() -> None:
    ((message, _),) = routed([a_notice()], HOME)
    assert "Nobody else is told of it" in " ".join(message.text.split())
    assert mail_domains(AlertsConfig(to=(HOME, AWAY, OPS))) == {"meadow.example", "quarry.example"}


# --- When -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hours", "zone", "now", "due"),
    [
        pytest.param("", "UTC", "2026-11-25T03:00", "2026-11-25T03:00", id="none"),
        pytest.param("22:00-07:00", "UTC", "2026-11-25T21:59", "2026-11-25T21:59", id="before"),
        pytest.param("22:00-07:00", "UTC", "2026-11-25T22:00", "2026-11-26T07:00", id="over midnight"),
        pytest.param("22:00-07:00", "UTC", "2026-11-25T03:00", "2026-11-25T07:00", id="after midnight"),
        pytest.param("22:00-07:00", "UTC", "2026-11-25T07:00", "2026-11-25T07:00", id="over"),
        pytest.param("12:00-13:00", "UTC", "2026-11-25T12:30", "2026-11-25T13:00", id="within a day"),
        pytest.param("22:00-07:00", "Europe/Berlin", "2026-11-25T21:30", "2026-11-26T06:00", id="another zone"),
        pytest.param("22:00-07:00", "Europe/Berlin", "2026-10-24T22:30", "2026-10-25T06:00", id="the clocks go back"),
    ],
)
def test_quiet_hours(hours: str, zone: str, now: str, due: str) -> None:
    to = AlertTo(quiet_hours=hours, zone=zone)
    moment = datetime.fromisoformat(now).replace(tzinfo=UTC)
    assert due_at(to, moment) == datetime.fromisoformat(due).replace(tzinfo=UTC)


@pytest.mark.parametrize("zone", ["Mars", "../../etc/passwd", "Europe"])
def test_no_such_zone(zone: str) -> None:
    with pytest.raises(ConfigError, match="no time zone"):
        zone_of(AlertTo(zone=zone))
    with pytest.raises(ConfigError, match="no domain name"):
        scope_of(AlertTo(domains=("a b",)))


# --- Words ------------------------------------------------------------------------------------------------------------


def test_an_alert_says_it_all_in_the_order_in_which_it_is_needed() -> None:
    text = message_of([a_notice(of={"verify": "openssl s_client", "expected": "A date to come."})], "t", NOW).text
    order = ["New: mail.example reports", "When:", "Effect:", "Size:", "Where:", "Domains:", "Whose side:"]
    order += ["Likely cause:", "What to do", "1. Compare", "openssl s_client", "tlsrpt incidents abc2341"]
    places = [text.index(words) for words in order]
    assert places == sorted(places)


def test_what_differs_by_domain_is_told_by_domain() -> None:
    effects = (("refused", ("a.example",)), ("delivered-unverified", ("b.example",)))
    text = " ".join(message_of([a_notice(of={"effects": effects})], "t", NOW).text.split())
    assert "mail is refused (a.example); mail is delivered unverified (b.example)" in text


def test_what_is_over_asks_for_nothing() -> None:
    message = message_of([a_notice(event="over")], "t", NOW)
    assert message.subject.startswith("TLS over: ")
    assert "What to do" not in message.text
    assert "refuse" not in message.text + message.subject  # that is over, too
    assert "Next step" not in msgspec.json.decode(message.data)["short"]


HOSTILE = "<!channel> @everyone [click](https://evil.example) `x` *b* \x1b[31m\r\nBcc: a@b.example \u202e <b>"


def test_no_text_from_a_report_steers_a_mail_a_chat_or_a_page() -> None:
    of = {"headline": HOSTILE, "senders": (HOSTILE,), "place": HOSTILE, "domains": (HOSTILE,), "steps": (HOSTILE,)}
    message = message_of([a_notice(of=of, headline=HOSTILE)], "t", NOW)
    assert message.subject.isprintable()
    assert len(message.subject) <= SUBJECT_LIMIT
    assert message.text.replace("\n", "").isprintable()
    assert "\nBcc" not in message.text
    assert "<b>" not in message.html
    assert "<!channel>" not in message.html
    chat = for_chat(msgspec.json.decode(message.data)["short"] + message.subject)
    assert not set("<>@[]`*\r\x1b\u202e") & set(chat)
    assert "://" not in chat


@given(st.text(), st.text())
def test_whatever_a_report_says_a_message_is_one(headline: str, name: str) -> None:
    """A subject is one printable line, and no chat finds a mention, a link or formatting."""
    of = {
        "headline": headline,
        "title": name,
        "place": name,
        "senders": (name,),
        "domains": (name,),
        "steps": (headline,),
    }
    message = message_of([a_notice(of=of, headline=headline, said=(("Why", name),))], "t", NOW)
    assert message.subject == printable(message.subject)
    assert len(message.subject) <= SUBJECT_LIMIT
    assert [printable(line) for line in message.text.split("\n")] == message.text.split("\n")
    chat = for_chat(msgspec.json.decode(message.data)["short"])
    assert not set("<>@[]`*|~\r\t\x1b\u202e") & set(chat)
    assert "://" not in chat
    assert "<script" not in page_of(name)


def page_of(name: str) -> str:
    return message_of([a_notice(headline=f"<script>{name}</script>")], "t", NOW).html
