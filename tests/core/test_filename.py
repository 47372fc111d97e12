"""File names are read from both ends and never trusted (R5.1-01, R5.6-01, A-12, F-20)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlsrpt.core.filename import FileName, file_name_findings, parse_file_name
from tlsrpt.core.text import printable

SENDER, DOMAIN, BEGIN, END = "mail.sender.example", "orchard.example", 1772323200, 1772409599


@pytest.mark.parametrize(
    ("name", "submitter", "domain", "unique_id", "ext"),
    [
        pytest.param(f"{SENDER}!{DOMAIN}!{BEGIN}!{END}.json", SENDER, DOMAIN, None, "json", id="plain"),
        pytest.param(f"{SENDER}!{DOMAIN}!{BEGIN}!{END}!001.json.gz", SENDER, DOMAIN, "001", "json.gz", id="Google"),
        pytest.param(
            f"{SENDER}!{DOMAIN}!{BEGIN}!{END}!134189593431.json.gz", SENDER, DOMAIN, "134189593431", "json.gz",
            id="an id that looks like a stamp (Microsoft's FILETIME)",
        ),
        pytest.param(f"{SENDER}!{DOMAIN}!{BEGIN}!{END}!1.zip", SENDER, DOMAIN, "1", "zip", id="zip"),
        pytest.param(f"{SENDER}!{DOMAIN}!{BEGIN}!{END}.JSON.GZ", SENDER, DOMAIN, None, "json.gz", id="capitals"),
        pytest.param(f"Wow! Mail!{DOMAIN}!{BEGIN}!{END}!2.json.gz", "Wow! Mail", DOMAIN, "2", "json.gz", id="A-12"),
        pytest.param(f"/srv/a!b/{SENDER}!{DOMAIN}!{BEGIN}!{END}.gz", SENDER, DOMAIN, None, "gz", id="folders"),
        pytest.param(f"C:\\x\\{SENDER}!{DOMAIN}!{BEGIN}!{END}.gz", SENDER, DOMAIN, None, "gz", id="other folders"),
        pytest.param(f"{SENDER}!{DOMAIN}!{BEGIN}!{END}.json (1).gz", SENDER, DOMAIN, None, "gz", id="a copy"),
        pytest.param(f"{SENDER}!{DOMAIN}!{BEGIN}!{END}!1.json(2).gz", SENDER, DOMAIN, "1", "gz", id="another copy"),
        pytest.param(f"{SENDER}!{DOMAIN}!{BEGIN}!{END}!1.report", SENDER, DOMAIN, "1.report", "", id="unknown ending"),
    ],
)  # fmt: skip
def test_a_file_name_is_read_from_both_ends(
    name: str, submitter: str, domain: str, unique_id: str | None, ext: str
) -> None:
    assert parse_file_name(name) == FileName(
        submitter=submitter, domain=domain, begin=BEGIN, end=END, unique_id=unique_id, ext=ext
    )


@pytest.mark.parametrize("stamps", ["2026-03-05", "2026-03-05!2026-03-05", "2026-03-05T00:00:00Z!2026-03-06!7"])
def test_dates_instead_of_seconds_still_give_the_domain(stamps: str) -> None:
    """F-20, hMailServer: the domain is evidence, the window is not taken from it."""
    parsed = parse_file_name(f"{SENDER}!{DOMAIN}!{stamps}.json")
    assert parsed is not None
    assert (parsed.submitter, parsed.domain, parsed.begin, parsed.end) == (SENDER, DOMAIN, None, None)


@pytest.mark.parametrize(
    "name",
    ["", "report.json", "a!b!c!d.json", f"{DOMAIN}!{BEGIN}!{END}.json.gz", f"{SENDER}!{DOMAIN}!{BEGIN}.json",
     f"{SENDER}!{DOMAIN}!{BEGIN}!{END}!a!b.json", "!" * 2000, "x" * 1100 + f"!{DOMAIN}!{BEGIN}!{END}.json"],
)  # fmt: skip
def test_a_name_of_another_form_says_nothing(name: str) -> None:
    assert parse_file_name(name) is None


@pytest.mark.parametrize(
    ("name", "noted"),
    [
        pytest.param(None, False, id="no name"),
        pytest.param(f"{SENDER}!{DOMAIN}!{BEGIN}!{END}!001.json.gz", False, id="as the RFC says"),
        pytest.param(f"{SENDER}!{DOMAIN}!{BEGIN}!{END}!1.zip", False, id="a zip is noted as compression"),
        pytest.param(f"{SENDER}!xn--bcher-kva.example!{BEGIN}!{END}.json", False, id="A-labels"),
        pytest.param(f"Sender Example Hosting!{DOMAIN}!{BEGIN}!{END}!2.json.gz", True, id="organisation name"),
        pytest.param(f"Sender!{DOMAIN}!{BEGIN}!{END}!2.json.gz", True, id="organisation name of one word"),
        pytest.param(f"{SENDER}!bücher.example!{BEGIN}!{END}.json", True, id="U-labels (R5.1-02)"),
        pytest.param(f"{SENDER}!{DOMAIN}!2026-03-05.json", True, id="a date"),
        pytest.param(f"{SENDER}!{DOMAIN}!{BEGIN}!{END}!a-b.json", True, id="id with a hyphen"),
        pytest.param(f"{SENDER}!{DOMAIN}!{BEGIN}!{END}", True, id="no ending"),
        pytest.param("report.json.gz", True, id="free name"),
    ],
)
def test_names_that_depart_from_the_rfc_are_noted(name: str | None, noted: bool) -> None:
    assert [finding.code for finding in file_name_findings(name)] == ["file-name-attachment"] * noted


@given(st.text() | st.lists(st.sampled_from([SENDER, DOMAIN, str(BEGIN), "2026-03-05", "", "x"])).map("!".join))
def test_any_name_is_answered(name: str) -> None:
    parse_file_name(name)
    assert all(finding.message == printable(finding.message) for finding in file_name_findings(name))
