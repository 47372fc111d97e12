"""`tlsrpt digest` as a user has it: the text, the HTML, the JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.command import tlsrpt
from tests.notify.receivers import a_mail_server
from tests.store.builders import a_detail, a_report, an_arrival, an_entry
from tlsrpt.store.rows import prepare
from tlsrpt.store.sqlite import open_store

TODAY = ("--today", "2026-03-16")  # the week is that of 8 to 14 March


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Two weeks: meadow.example is fine, brook.example meets an expired certificate in the second."""
    path = tmp_path / "tlsrpt.db"
    row = (a_detail(failed=4, receiving_mx_hostname="mx.brook.example"),)
    with open_store(str(path), create=True) as opened:
        for day in range(14):
            bad = an_entry(policy_domain="brook.example", successful=6, failed=4, details=row)
            good = an_entry(policy_domain="brook.example", successful=10)
            report = a_report(an_entry(), bad if day > 8 else good, day=day, report_id=f"{day}")
            opened.keep([prepare(an_arrival(report))])
    return path


def test_the_text_says_what_changed_and_what_to_do(store: Path) -> None:
    done = tlsrpt("digest", "--stdout", "--store", store, *TODAY)
    assert (done.returncode, done.stderr) == (0, "")
    subject, _, title = done.stdout.splitlines()[:3]
    assert subject == "Subject: TLS reports: 1 open incident, 1 new: The MX's certificate has expired, mx.brook.example"
    assert title == "TLS reports, 8 to 14 Mar 2026"
    assert "1 incident open (1 new); 1 domain needs someone." in done.stdout
    assert "1 other domain with reports, and nothing to do there." in done.stdout


def test_one_domain_alone_may_have_nothing_to_do(store: Path) -> None:
    done = tlsrpt("digest", "--stdout", "--daily", "--domain", "Meadow.example", "--store", store, *TODAY)
    text = " ".join(done.stdout.split())
    assert "Subject: TLS reports on meadow.example: nothing to do, 14 Mar 2026" in text
    assert "Nothing to do: 1 domain, 10 sessions from 1 sender, all reported to be under TLS;" in text


def test_days_can_be_chosen(store: Path) -> None:
    done = tlsrpt("digest", "--json", "--since", "3d", "--until", "2026-03-12", "--store", store, *TODAY)
    digest = json.loads(done.stdout)
    assert digest["period"] == {"since": "2026-03-10", "until": "2026-03-12"}
    assert digest["before"] == {"since": "2026-03-07", "until": "2026-03-09"}


def test_the_json_keeps_its_names(store: Path) -> None:
    digest = json.loads(tlsrpt("digest", "--json", "--store", store, *TODAY).stdout)
    assert set(digest) == {
        "period", "before", "scope", "verdict", "latest", "subject", "figures", "parts", "incidents", "domains",
        "ceased", "silent", "advice", "ready", "signed",
    }  # fmt: skip
    assert digest["verdict"] == "act"
    assert digest["figures"]["period"] == {
        "domains": 2, "senders": 1, "successful": 120, "failed": 20, "as_sent": {"successful": 120, "failed": 20},
    }  # fmt: skip
    assert digest["incidents"]["new"] == digest["incidents"]["open"] == digest["domains"][0]["incidents"]
    incidents = tlsrpt("incidents", "--json", "--store", store, *TODAY).stdout
    assert [json.loads(line)["id"] for line in incidents.splitlines()] == digest["incidents"]["open"]


def test_the_html_goes_into_a_file_or_out(store: Path, tmp_path: Path) -> None:
    file = tmp_path / "digest.html"
    done = tlsrpt("digest", "--html", file, "--store", store, *TODAY)
    assert (done.returncode, done.stdout) == (0, "")
    out = tlsrpt("digest", "--html", "-", "--store", store, *TODAY).stdout
    assert file.read_text() == out
    assert out.startswith("<!DOCTYPE html>")
    assert "mx.brook.example" in out


def test_the_configuration_says_how_long_a_period_is_and_of_which_domains(store: Path, tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text(
        f'[store]\nurl = "{store}"\n[digest]\nevery = "day"\ndomains = ["meadow.example", "*.meadow.example"]\n'
    )
    digest = json.loads(tlsrpt("digest", "--json", "--config", file, *TODAY).stdout)
    assert digest["period"] == {"since": "2026-03-14", "until": "2026-03-14"}
    assert digest["scope"] == ["*.meadow.example", "meadow.example"]
    assert digest["verdict"] == "nothing-to-do"


def test_an_empty_store_is_not_fine(tmp_path: Path) -> None:
    with open_store(str(tmp_path / "s.db"), create=True):
        pass
    done = tlsrpt("digest", "--stdout", "--store", tmp_path / "s.db", *TODAY)
    assert "Subject: TLS reports: no report for 8 to 14 Mar 2026" in done.stdout
    assert "Nor did one come for the 7 days before." in " ".join(done.stdout.split())


def test_it_is_sent_to_those_who_are_configured(store: Path, tmp_path: Path) -> None:
    """By a mail server that really takes it: text and HTML of one message, to everyone."""
    with a_mail_server() as (box, server):
        file = tmp_path / "c.toml"
        file.write_text(
            f'[store]\nurl = "{store}"\n[digest]\nto = ["one@meadow.example", "two@meadow.example"]\n'
            f'[mail]\nhost = "{server.host}"\nport = {server.port}\ntls = "none"\nfrom = "tlsrpt@meadow.example"\n'
        )
        done = tlsrpt("digest", "--config", file, *TODAY)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Sent to one@meadow.example, two@meadow.example: TLS reports: 1 open incident")
    (message,) = box.mails
    shown = tlsrpt("digest", "--stdout", "--store", store, *TODAY).stdout
    text, html = (message.get_body((kind,)).get_content() for kind in ("plain", "html"))
    assert f"Subject: {message['Subject']}\n\n{text}".replace("\r", "") == shown
    assert html.startswith("<!DOCTYPE html>")


def test_without_recipients_or_a_mail_server_it_says_what_to_write(store: Path, tmp_path: Path) -> None:
    done = tlsrpt("digest", "--store", store, *TODAY)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == 'tlsrpt: digest.to: nobody is named; write to = ["postmaster@example.com"], or --stdout\n'
    file = tmp_path / "c.toml"
    file.write_text(f'[store]\nurl = "{store}"\n[digest]\nto = ["one@meadow.example"]\n')
    done = tlsrpt("digest", "--config", file, *TODAY)
    assert (done.returncode, done.stdout) == (2, "")
    assert "mail: no mail server is named" in done.stderr
