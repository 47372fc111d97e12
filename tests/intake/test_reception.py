"""What becomes of a document between a source and the store; with a real store and a real writing thread."""

from __future__ import annotations

import asyncio
import gzip
import json
import sqlite3
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bench import corpus
from tests.intake.signing import sign
from tests.service.lines import Lines
from tlsrpt.config import QuarantineConfig, ReceiveConfig
from tlsrpt.core.errors import OverloadError, RateError, StoreBusyError, StoreError
from tlsrpt.core.findings import Finding
from tlsrpt.core.limits import Limits
from tlsrpt.core.owned import Owned
from tlsrpt.dns.exchange import Exchange, Server
from tlsrpt.dns.resolver import Resolver
from tlsrpt.intake import keeper
from tlsrpt.intake.dkim import Verifier
from tlsrpt.intake.keeper import Keeper
from tlsrpt.intake.rates import Rates
from tlsrpt.intake.reception import Judging, Reception
from tlsrpt.intake.room import Room
from tlsrpt.intake.source import DEFECT, Desk, Status
from tlsrpt.intake.way import Way
from tlsrpt.store.reports import list_reports
from tlsrpt.store.sqlite import Store, open_store

HTTPS = Way(name="https", kind="https", dkim=False)
LMTP = Way(name="lmtp", kind="lmtp", dkim=False)
BROKEN = gzip.compress(b'{"organization-name": "x", "date-range": {}, "policies": []}')[:-6]


class Surroundings(msgspec.Struct):
    """What a test looks at besides the answers."""

    desk: Desk
    keeper: Keeper
    reception: Reception
    log: Lines
    store: Path


def with_reception(
    folder: Path,
    work: Callable[[Surroundings], Awaitable[Any]],
    *,
    way: Way = HTTPS,
    per_submitter: int = 0,
    busy_s: float = 10.0,
    **judging: Any,
) -> Any:
    """Run some work at a desk, and give what it gave."""

    async def all_of_it() -> Any:
        store = folder / "store.db"
        keeper = Keeper(str(store), busy_s=busy_s)
        log = Lines()
        with Exchange() as exchange:
            values: dict[str, Any] = {
                "owned": Owned.any(),
                "limits": Limits(),
                "quarantine": QuarantineConfig(),
                "verifier": Verifier(Resolver(exchange, [Server("127.0.0.1", 9)])),
                **judging,
            }
            reception = Reception(
                keeper,
                judging=Judging(**values),
                room=Room(ReceiveConfig()),
                submitters=Rates(per_submitter, time.monotonic, of="submitter"),
                log=log,
                now=lambda: datetime(2026, 11, 1, tzinfo=UTC),
                clock=time.monotonic,
            )
            status = Status(way, lambda: datetime(2026, 11, 1, tzinfo=UTC), lambda status: None)
            keeper.start()
            try:
                return await work(Surroundings(reception.desk(status), keeper, reception, log, store))
            finally:
                await keeper.stop()
                reception.close()

    return asyncio.run(all_of_it())


def reports(count: int, seed: int = 1) -> list[bytes]:
    return [corpus.as_gzip(document) for document in corpus.documents("typical", count, seed=seed)]


def kept(store: Path) -> int:
    with open_store(str(store)) as opened:
        return len(list_reports(opened, limit=10_000).reports)


def test_whoever_waits_shares_a_commit(tmp_path: Path) -> None:
    async def work(at: Surroundings) -> int:
        taken = await asyncio.gather(*(at.desk.take(report, way=HTTPS) for report in reports(300)))
        assert {one.outcome for one in taken} == {"new"}
        return at.keeper.batches

    assert with_reception(tmp_path, work) < 30
    assert kept(tmp_path / "store.db") == 300


def test_documents_of_many_rows_do_not_share_a_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Packed, a report of 100,000 rows is small: five hundred in one commit would hold up all others for minutes."""
    monkeypatch.setattr(keeper, "BATCH_ROWS", 1)
    large = [corpus.as_gzip(document) for document in corpus.documents("large", 6)]

    async def work(at: Surroundings) -> int:
        taken = await asyncio.gather(*(at.desk.take(report, way=HTTPS) for report in large))
        assert {one.outcome for one in taken} == {"new"}
        return at.keeper.batches

    assert with_reception(tmp_path, work) == 6


def test_a_report_that_comes_twice_at_once_is_counted_once(tmp_path: Path) -> None:
    (report,) = reports(1)

    async def work(at: Surroundings) -> list[str]:
        return sorted(one.outcome for one in await asyncio.gather(*(at.desk.take(report, way=HTTPS) for _ in range(5))))

    assert with_reception(tmp_path, work) == ["known", "known", "known", "known", "new"]


def test_a_large_report_is_taken_like_a_small_one(tmp_path: Path) -> None:
    """It is read in a thread; the outcome is the same."""
    (document,) = corpus.documents("large", 1)
    data = corpus.as_json(document)
    assert len(data) > 100_000

    async def work(at: Surroundings) -> str:
        return (await at.desk.take(data, way=HTTPS)).outcome

    assert with_reception(tmp_path, work) == "new"


@pytest.mark.parametrize("by_mail", [False, True], ids=["body", "mail"])
def test_a_small_document_that_holds_much_does_not_keep_the_loop(by_mail: bool, tmp_path: Path) -> None:
    """20,000 failures in 9 KB: read in a thread, while a usual report goes through."""
    (document,) = corpus.documents("typical", 1, seed=2)
    entry = document.report["policies"][0]
    entry = {**entry, "failure-details": [{"result-type": "tlsa-invalid", "failed-session-count": 1}] * 20_000}
    document = document._replace(report={**document.report, "policies": [entry]})
    data = corpus.as_mail(document) if by_mail else corpus.as_gzip(document)
    assert len(data) < 32_768
    (report,) = reports(1)

    async def work(at: Surroundings) -> tuple[str, bool, str]:
        first = asyncio.create_task(at.desk.take(data, way=LMTP if by_mail else HTTPS))
        await asyncio.sleep(0)
        small = await at.desk.take(report, way=HTTPS)
        waiting = not first.done()
        return small.outcome, waiting, (await first).outcome

    assert with_reception(tmp_path, work) == ("new", True, "new")


def test_a_bomb_does_not_keep_the_others_waiting(tmp_path: Path) -> None:
    """100 MB of zeros in a gzip (R7-02): refused by its ratio, while a small report goes through."""
    bomb = gzip.compress(bytes(100_000_000))
    (report,) = reports(1)

    async def work(at: Surroundings) -> tuple[str, str, bool]:
        first = asyncio.create_task(at.desk.take(bomb, way=HTTPS, claims_report=True))
        await asyncio.sleep(0)
        small = await at.desk.take(report, way=HTTPS)
        waiting = not first.done()
        return small.outcome, (await first).outcome, waiting

    assert with_reception(tmp_path, work) == ("new", "quarantined", True)


def test_what_is_no_report_is_counted_and_kept_only_where_that_is_asked(tmp_path: Path) -> None:
    mail = b"From: a@b.example\nSubject: hello\n\nno report\n"

    async def work(at: Surroundings) -> list[str]:
        ways = (LMTP, msgspec.structs.replace(LMTP, keep_other=True))
        return [(await at.desk.take(mail, way=way)).outcome for way in ways]

    assert with_reception(tmp_path, work) == ["other", "quarantined"]


def test_why_something_is_no_report_is_said_once(tmp_path: Path) -> None:
    async def work(at: Surroundings) -> list[str]:
        taken = [await at.desk.take(b'{"a": \x1b', way=HTTPS, claims_report=claims) for claims in (False, True)]
        return [one.reason for one in taken]

    reason, quarantined = with_reception(tmp_path, work)
    assert reason.startswith("broken JSON")
    assert quarantined == f"no TLS report: {reason}"


def test_the_quarantine_is_bounded_and_then_mail_waits_and_posts_are_refused(tmp_path: Path) -> None:
    async def work(at: Surroundings) -> list[str]:
        said = []
        for n, way in enumerate((HTTPS, HTTPS, HTTPS, LMTP)):
            try:
                taken = await at.desk.take(BROKEN + bytes(n), way=way, claims_report=True)
            except StoreBusyError as error:
                said.append(error.what)
            else:
                said.append(taken.outcome)
        assert (await at.desk.take(reports(1)[0], way=HTTPS)).outcome == "new"  # which reports need not wait for
        (put_off,) = [line for line in at.log.lines if line[1] == "document put off"]
        assert "quarantine is full" in str(put_off[2]["reason"])
        return said

    bounded = {"quarantine": QuarantineConfig(entries=2)}
    assert with_reception(tmp_path, work, **bounded) == [
        "quarantined",
        "quarantined",
        "unkept",
        "the quarantine is full",
    ]
    again = {"quarantine": QuarantineConfig(size_bytes=10)}
    (tmp_path / "other").mkdir()
    assert with_reception(tmp_path / "other", work, **again)[0] == "unkept"


def test_one_submitter_cannot_take_all_the_room(tmp_path: Path) -> None:
    async def work(at: Surroundings) -> int:
        kept = 0
        for document in corpus.documents("typical", 30, senders=1):
            if kept < 10:
                await at.desk.take(corpus.as_gzip(document), way=HTTPS)
                kept += 1
            else:
                with pytest.raises(OverloadError, match="from one submitter"):
                    await at.desk.take(corpus.as_gzip(document), way=HTTPS)
        return kept

    assert with_reception(tmp_path, work, per_submitter=10) == 10


def test_a_document_of_many_reports_is_kept_however_low_the_rate(tmp_path: Path) -> None:
    """An archive of more than a minute's measure was put off for ever."""
    many = b"\n".join(corpus.as_json(document) for document in corpus.documents("typical", 30, senders=1))

    async def work(at: Surroundings) -> None:
        await at.desk.take(gzip.compress(many), way=HTTPS)
        with pytest.raises(RateError):
            await at.desk.take(gzip.compress(many), way=HTTPS)

    with_reception(tmp_path, work, per_submitter=10)
    assert kept(tmp_path / "store.db") == 30


def test_a_store_that_is_locked_is_tried_again_and_nothing_is_half_kept(tmp_path: Path) -> None:
    some = reports(3)

    async def work(at: Surroundings) -> list[str]:
        await at.desk.take(some[0], way=HTTPS)
        other = sqlite3.connect(at.store, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        said = []
        with pytest.raises(StoreBusyError, match="locked"):
            await at.desk.take(some[1], way=HTTPS)
        said.append(at.keeper.trouble)
        other.execute("ROLLBACK")
        other.close()
        said.append((await at.desk.take(some[1], way=HTTPS)).outcome)
        said.append(at.keeper.trouble)
        return said

    trouble, outcome, no_trouble = with_reception(tmp_path, work, busy_s=0.1)  # told by the service, once
    assert "locked" in trouble
    assert (outcome, no_trouble) == ("new", "")
    assert kept(tmp_path / "store.db") == 2


def test_a_store_that_is_locked_holds_up_nobody_who_is_about_to_stop(tmp_path: Path) -> None:
    some = reports(2)

    async def work(at: Surroundings) -> None:
        await at.desk.take(some[0], way=HTTPS)
        with closing(sqlite3.connect(at.store, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            at.keeper.hurry()
            async with asyncio.timeout(60):
                with pytest.raises(StoreBusyError, match="locked"):
                    await at.desk.take(some[1], way=HTTPS)

    with_reception(tmp_path, work, busy_s=3600.0)


def test_a_store_that_cannot_be_opened_is_opened_once_it_can(tmp_path: Path) -> None:
    (tmp_path / "store.db").write_text("not a database, for now")
    (report,) = reports(1)

    async def work(at: Surroundings) -> str:
        with pytest.raises(StoreError):
            await at.desk.take(report, way=HTTPS)
        at.store.unlink()
        return (await at.desk.take(report, way=HTTPS)).outcome

    assert with_reception(tmp_path, work) == "new"


def test_what_the_transport_noted_stands_with_the_report(tmp_path: Path) -> None:
    noted = Finding(
        code="media-type-missing", severity="warning", where="request", message="m", consequence="c", fix="f"
    )

    async def work(at: Surroundings) -> None:
        await at.desk.take(reports(1)[0], way=HTTPS, noted=(noted,))

    with_reception(tmp_path, work)
    store = sqlite3.connect(tmp_path / "store.db")
    assert ("media-type-missing",) in store.execute("SELECT code FROM finding").fetchall()


def test_a_waiter_who_has_left_holds_up_nobody_and_its_report_is_kept(tmp_path: Path) -> None:
    some = reports(2)

    async def work(at: Surroundings) -> str:
        gone = asyncio.create_task(at.desk.take(some[0], way=HTTPS))
        await asyncio.sleep(0)
        gone.cancel()
        return (await at.desk.take(some[1], way=HTTPS)).outcome

    assert with_reception(tmp_path, work) == "new"
    assert kept(tmp_path / "store.db") >= 1


def test_a_key_that_cannot_be_looked_up_refuses_nobody(tmp_path: Path) -> None:
    """DNS could not tell: with `unproven = "refuse"` the sender is asked to come again, and not refused."""
    (document,) = corpus.documents("typical", 1)
    way = Way(name="lmtp", kind="lmtp", unproven="refuse")
    mail = sign(corpus.as_mail(document).replace(b"\nDKIM-Signature:", b"\nX-Old:"), domain=document.sender)

    async def work(at: Surroundings) -> str:
        with pytest.raises(OverloadError, match="could not be looked up"):
            await at.desk.take(mail, way=way)
        return (await at.desk.take(mail, way=msgspec.structs.replace(way, unproven="accept"))).outcome

    assert with_reception(tmp_path, work, way=way) == "new"


class NoResolver:
    """Has a defect."""

    async def lookup(self, _name: str, _kind: str) -> None:
        raise ZeroDivisionError


def test_a_document_that_meets_a_defect_of_ours_is_put_off_alone(tmp_path: Path) -> None:
    """A mailbox would else begin with it again and again, and what waits behind it would never be taken."""
    first, second = corpus.documents("typical", 2)
    way = Way(name="imap", kind="imap")
    mail = sign(corpus.as_mail(first).replace(b"\nDKIM-Signature:", b"\nX-Old:"), domain=first.sender)

    async def work(at: Surroundings) -> str:
        with pytest.raises(StoreError, match="a defect"):
            await at.desk.take(mail, way=way, where="INBOX UID 7")
        assert at.desk.status.turned_away == 1
        ((level, event, fields),) = at.log.lines
        assert (level, event, fields["where"]) == ("error", DEFECT, "INBOX UID 7")
        return (await at.desk.take(corpus.as_gzip(second), way=way)).outcome

    verifier = Verifier(NoResolver())  # type: ignore[arg-type]
    assert with_reception(tmp_path, work, way=way, verifier=verifier) == "new"


def test_places_outlive_the_service(tmp_path: Path) -> None:
    async def write(at: Surroundings) -> None:
        await at.desk.keep_place("imap:a", json.dumps({"uid": 7}))

    async def read(at: Surroundings) -> str | None:
        return await at.desk.place("imap:a")

    with_reception(tmp_path, write)
    assert with_reception(tmp_path, read) == '{"uid": 7}'


def test_each_report_has_one_line_in_the_log(tmp_path: Path) -> None:
    async def work(at: Surroundings) -> Lines:
        await at.desk.take(reports(1)[0], way=HTTPS, where="192.0.2.7")
        await at.desk.take(BROKEN, way=HTTPS, claims_report=True)
        await at.desk.take(b"hello", way=HTTPS)
        return at.log

    lines = with_reception(tmp_path, work).lines
    assert [(level, event) for level, event, _ in lines] == [
        ("info", "report kept"),
        ("warning", "report quarantined"),
        ("info", "no TLS report"),
    ]
    assert lines[0][2]["where"] == "192.0.2.7"


def test_a_job_that_fails_is_its_callers_and_the_thread_goes_on(tmp_path: Path) -> None:
    def fail(_store: Store) -> None:
        raise ZeroDivisionError

    async def work(at: Surroundings) -> str:
        with pytest.raises(ZeroDivisionError):
            await at.keeper.run(fail)
        return (await at.desk.take(reports(1)[0], way=HTTPS)).outcome

    assert with_reception(tmp_path, work) == "new"
