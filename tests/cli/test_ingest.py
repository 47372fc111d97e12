"""Taking reports in: each is kept once, whatever happens, and the command says what became of it."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import time
from pathlib import Path

import pytest

from tests.cli.command import SAMPLES, TLSRPT, tlsrpt


def ingest(store: Path, *args: object, stdin: bytes = b"") -> dict[str, object]:
    done = tlsrpt("ingest", "--json", "--store", store, *args, stdin=stdin)
    assert "Traceback" not in done.stderr
    return json.loads(done.stdout) | {"code": done.returncode}


def totals(store: Path) -> dict[str, object]:
    done = tlsrpt("summary", "--json", "--since", "9000d", "--store", store)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["totals"]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "s.db"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """600 typical report mails."""
    folder = tmp_path_factory.mktemp("corpus") / "mail"
    done = tlsrpt("sample", "corpus", folder, "--reports", 600, "--seed", 5)
    assert done.returncode == 0, done.stderr
    return folder


def test_the_samples_are_taken_in_and_each_counted_once(store: Path) -> None:
    """index.tsv: 37 reports of which two are the same one, two for quarantine, a DMARC report and the index itself."""
    first = ingest(store, SAMPLES)
    counts = {name: first[name] for name in ("new", "known", "conflict", "quarantined", "other", "unreadable")}
    assert counts == {"new": 36, "known": 1, "conflict": 0, "quarantined": 2, "other": 2, "unreadable": 0}
    assert first["code"] == 1
    before = totals(store)
    again = ingest(store, SAMPLES)
    assert (again["new"], again["known"], again["quarantined"]) == (0, 37, 2)
    assert totals(store) == before


def test_every_item_has_a_source_an_outcome_and_where_it_went_wrong_a_reason(store: Path) -> None:
    items = ingest(store, SAMPLES)["items"]
    assert isinstance(items, list)
    assert all(item["source"].startswith(str(SAMPLES)) for item in items)
    assert all(item["reason"] for item in items if item["outcome"] in ("quarantined", "other"))
    assert next(item["reason"] for item in items if "dmarc" in item["source"]) == "a DMARC report"


def test_two_processes_read_for_one_writer_with_the_same_result(tmp_path: Path, corpus: Path) -> None:
    one = ingest(tmp_path / "1.db", corpus)
    two = ingest(tmp_path / "2.db", corpus, "--jobs", 2)
    assert one == two
    assert totals(tmp_path / "1.db") == totals(tmp_path / "2.db")


def test_mbox_maildir_archive_and_pipe_bring_the_same_reports(tmp_path: Path) -> None:
    """Each form holds the same 20 reports; after the first way all are known."""
    store = tmp_path / "s.db"
    for form in ("eml", "mbox", "maildir", "json", "json.gz"):
        out = tmp_path / f"out.{form}"
        assert tlsrpt("sample", "corpus", out, "--reports", 20, "--form", form).returncode == 0
        result = ingest(store, out)
        assert (result["new"], result["known"]) == ((20, 0) if form == "eml" else (0, 20)), form
    shutil.make_archive(str(tmp_path / "a"), "gztar", tmp_path / "out.eml")
    shutil.make_archive(str(tmp_path / "a"), "zip", tmp_path / "out.eml")
    assert ingest(store, tmp_path / "a.tar.gz")["known"] == 20
    assert ingest(store, tmp_path / "a.zip")["known"] == 20
    assert ingest(store, "-", stdin=(tmp_path / "a.tar.gz").read_bytes())["known"] == 20
    assert totals(store)["reports"] == 20


def test_the_bytes_come_back_as_they_were_received(store: Path) -> None:
    """Raw: the whole message as received, so that DKIM and parsing can be done again."""
    sample = SAMPLES / "google-sts-success.eml"
    item = ingest(store, sample)["items"][0]  # type: ignore[index]
    raw = subprocess.run([TLSRPT, "show", str(item["id"]), "--raw", "--store", store], capture_output=True, timeout=30)
    assert raw.stdout == sample.read_bytes()


class TestPipe:
    """`tlsrpt ingest --pipe`: the mail server has one message, and either we have it or the server keeps it."""

    def test_a_report_is_kept_in_silence(self, store: Path) -> None:
        done = tlsrpt("ingest", "--pipe", "--store", store, stdin=(SAMPLES / "google-sts-success.eml").read_bytes())
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert totals(store)["reports"] == 1

    def test_the_line_that_postfix_puts_in_front_does_no_harm(self, store: Path) -> None:
        """local(8) hands an alias's command the message as an mbox has it."""
        mail = b"From a@b.example  Sun Mar  1 00:00:00 2026\n" + (SAMPLES / "google-sts-success.eml").read_bytes()
        assert tlsrpt("ingest", "--pipe", "--store", store, stdin=mail).returncode == 0
        assert totals(store)["reports"] == 1

    @pytest.mark.parametrize("sample", ["dmarc-report.eml", "truncated.json.gz"])
    def test_what_gives_no_report_is_kept_too(self, store: Path, sample: str) -> None:
        """The pipe held the only copy: nothing received is ever lost."""
        data = (SAMPLES / sample).read_bytes()
        done = tlsrpt("ingest", "--pipe", "--store", store, stdin=data)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        raw = subprocess.run(
            [TLSRPT, "quarantine", "show", "1", "--raw", "--store", store], capture_output=True, timeout=30
        )
        assert raw.stdout == data

    def test_a_full_disk_is_75_and_the_next_try_keeps_it(self, store: Path) -> None:
        """The store may not grow: not kept, said so, and nothing half done is left behind."""
        mail = (SAMPLES / "google-sts-success.eml").read_bytes()
        ingest(store, SAMPLES / "bom.json")
        limit = f"ulimit -f 8; exec {TLSRPT} ingest --pipe --store {store}"  # 8 KiB in any one file
        done = subprocess.run(["bash", "-c", limit], input=mail, capture_output=True, timeout=30)
        assert (done.returncode, done.stdout) == (75, b"")
        assert b"Traceback" not in done.stderr
        assert totals(store)["reports"] == 1
        assert tlsrpt("ingest", "--pipe", "--store", store, stdin=mail).returncode == 0
        assert totals(store)["reports"] == 2

    def test_a_locked_store_is_waited_for(self, store: Path) -> None:
        ingest(store, SAMPLES / "bom.json")
        other = sqlite3.connect(store, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        mail = (SAMPLES / "google-sts-success.eml").read_bytes()
        process = subprocess.Popen([TLSRPT, "ingest", "--pipe", "--store", store], stdin=subprocess.PIPE)
        assert process.stdin is not None
        process.stdin.write(mail)
        process.stdin.close()
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(2)
        other.execute("COMMIT")
        assert process.wait(30) == 0


def test_kill_9_at_any_moment_loses_and_doubles_nothing(store: Path, corpus: Path) -> None:
    """DESIGN promise 1: a run that is killed again and again, at other moments, ends with each report once."""
    whole = store.with_name("whole.db")
    began = time.monotonic()
    assert ingest(whole, corpus)["new"] == 600
    length = time.monotonic() - began
    for n in range(20):
        process = subprocess.Popen(
            [TLSRPT, "ingest", "--store", store, "--jobs", str(1 + n % 2), corpus],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            process.wait(length * (n + 1) / 18)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
    final = ingest(store, corpus)
    assert final["new"] + final["known"] == 600  # type: ignore[operator]
    assert totals(store) == totals(whole)
    assert tlsrpt("store", "check", "--raw", "--store", store).returncode == 0


def test_two_runs_at_once_count_each_report_once(store: Path, corpus: Path) -> None:
    """WAL and a busy time-out: a reader and two writers side by side."""
    ingest(store, SAMPLES / "bom.json")
    outputs = [store.with_name(f"{n}.json") for n in range(2)]
    runs = []
    for output in outputs:
        with output.open("wb") as file:
            runs.append(subprocess.Popen([TLSRPT, "ingest", "--json", "--store", store, corpus], stdout=file))
    while any(run.poll() is None for run in runs):
        assert tlsrpt("summary", "--store", store).returncode == 0
    counts = [json.loads(output.read_text()) for output in outputs]
    assert sum(count["new"] for count in counts) == 600
    assert sum(count["known"] for count in counts) == 600
    assert totals(store)["reports"] == 601


def test_one_id_with_other_content_is_a_conflict_and_counted_once(store: Path, tmp_path: Path) -> None:
    """Both are kept; the first counts (DESIGN promise 2)."""
    report = json.loads((SAMPLES / "google-sts-failures.json").read_text())
    ingest(store, SAMPLES / "google-sts-failures.json")
    before = totals(store)
    report["policies"][0]["summary"]["total-successful-session-count"] = 999_999
    (tmp_path / "other.json").write_text(json.dumps(report))
    result = ingest(store, tmp_path / "other.json")
    assert result["conflict"] == 1
    assert totals(store) == before
    lines = tlsrpt("reports", "--json", "--since", "9000d", "--conflict", "--store", store).stdout.splitlines()
    assert sorted(json.loads(line)["counted"] for line in lines) == [False, True]


def test_a_bomb_is_refused_by_a_limit_that_is_named(store: Path, tmp_path: Path) -> None:
    """100 MB of zeros in a gzip, labelled as a report: quarantined, with the limit's name."""
    bomb = tmp_path / "s.example!d.example!1772323200!1772409599.json.gz"
    bomb.write_bytes(gzip.compress(bytes(100_000_000)))
    (item,) = ingest(store, bomb)["items"]  # type: ignore[misc]
    assert item["outcome"] in ("quarantined", "other")
    assert "limits." in item["reason"]


def test_limits_come_from_the_configuration(store: Path, tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text("[limits]\nfailure_details = 2\n")
    done = tlsrpt("read", "--config", tmp_path / "c.toml", SAMPLES / "google-sts-failures.json")
    assert done.returncode == 1
    assert "limits.failure_details" in done.stderr


def test_what_a_document_holds_within_the_limits_is_kept_and_the_rest_can_be_had(store: Path, tmp_path: Path) -> None:
    """Limits on rows count over all reports of a document; which one was passed stands in the quarantine."""
    (tmp_path / "c.toml").write_text("[limits]\nfailure_details = 5\n")
    one = (SAMPLES / "google-sts-failures.json").read_bytes()
    two = tmp_path / "two.json"
    two.write_bytes(one + b"\n" + one.replace(b'"report-id":"', b'"report-id":"other-'))
    assert two.read_bytes().count(b"other-") == 1
    result = ingest(store, "--config", tmp_path / "c.toml", two)
    assert (result["new"], result["quarantined"]) == (1, 1)
    assert "limits.failure_details" in tlsrpt("quarantine", "list", "--store", store).stdout
    done = tlsrpt("quarantine", "retry", "--store", store)
    assert (done.returncode, totals(store)["reports"]) == (0, 2), done.stdout


def test_quarantine_is_read_again_when_the_reader_can(store: Path, tmp_path: Path) -> None:
    """What a limit kept out comes in once the limit is raised; the entry is settled, the report counted once."""
    (tmp_path / "c.toml").write_text("[limits]\nfailure_details = 2\n")
    sample = SAMPLES / "google-sts-failures.json"
    assert ingest(store, "--config", tmp_path / "c.toml", sample)["quarantined"] == 1
    assert "limits.failure_details" in tlsrpt("quarantine", "list", "--store", store).stdout
    done = tlsrpt("quarantine", "retry", "--store", store)
    assert (done.returncode, "read, and kept" in done.stdout) == (0, True)
    assert totals(store)["reports"] == 1
    assert tlsrpt("quarantine", "list", "--store", store).stdout.startswith("Nothing")
    assert ingest(store, sample)["known"] == 1


def test_reading_verbs_need_a_store_and_never_make_one(tmp_path: Path) -> None:
    """An empty answer names the store that was looked in."""
    for args in (["summary"], ["failures"], ["reports"], ["show", "1"], ["store", "info"], ["quarantine", "list"]):
        done = tlsrpt(*args, "--store", tmp_path / "none.db")
        assert done.returncode == 3
        assert str(tmp_path / "none.db") in done.stderr
        assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_path_that_does_not_exist_is_wrong_usage(store: Path, tmp_path: Path) -> None:
    done = tlsrpt("ingest", "--store", store, tmp_path / "nothing")
    assert done.returncode == 2
    assert "does not exist" in done.stderr


def test_a_file_that_may_not_be_read_is_named_and_the_rest_taken_in(store: Path, tmp_path: Path) -> None:
    shutil.copy(SAMPLES / "bom.json", tmp_path / "a.json")
    (tmp_path / "b.json").symlink_to(tmp_path / "a.json")
    (tmp_path / "x.tgz").write_bytes(b"\x1f\x8b\x08" + os.urandom(50))
    result = ingest(store, tmp_path / "a.json", tmp_path / "b.json", tmp_path / "x.tgz")
    assert (result["new"], result["known"]) == (1, 1)


def test_hostile_strings_reach_no_terminal_and_break_out_of_no_csv(store: Path, tmp_path: Path) -> None:
    """Control characters, bidi marks, formulas: every verb that shows a report shows them as text."""
    evil = "=cmd|' /C calc'!A0\x1b[31m\u202e\r\n\x07<script>"
    report = json.loads((SAMPLES / "google-sts-failures.json").read_text())
    report["organization-name"] = report["report-id"] = evil
    report["contact-info"] = f"{evil}@x.example"
    for policy in report["policies"]:
        for detail in policy["failure-details"]:
            detail.update({"result-type": evil, "receiving-mx-hostname": evil, "failure-reason-code": evil})
    (tmp_path / "e.json").write_text(json.dumps(report))
    assert ingest(store, tmp_path / "e.json")["new"] == 1
    for args in (
        ["read", tmp_path / "e.json"],
        *([*verb, "--store", store] for verb in (["show", "1"], ["show", "1", "--json"])),
        *(
            [verb, "--since", "9000d", "--store", store, *form]
            for verb in ("summary", "failures", "reports")
            for form in ([], ["--json"], ["--csv"])
        ),
        ["summary", "--since", "9000d", "--by", "sender,mx,result", "--csv", "--store", store],
    ):
        done = tlsrpt(*args)
        assert done.returncode == 0, done.stderr
        assert not set(done.stdout) & set("\x1b\u202e\x07\r"), args
        if "--csv" in args:
            assert not any(
                cell.lstrip('"').startswith("=") for line in done.stdout.splitlines() for cell in line.split(",")
            )
