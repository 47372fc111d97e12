"""Unpacking: the content decides what a document is, and nothing in it costs more than the limits."""

from __future__ import annotations

import base64
import bz2
import gzip
import io
import lzma
import random
import tarfile
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tlsrpt.core import unpacking
from tlsrpt.core.errors import LimitError, NoReportError, ReportError
from tlsrpt.core.limits import Limits
from tlsrpt.core.reading import read_document, read_reports
from tlsrpt.core.unpacking import Budget, Leaf, unpack

JSON = (
    b'{"organization-name":"Sender Example","date-range":{"start-datetime":"2026-03-01T00:00:00Z","end-datetime":'
    b'"2026-03-01T23:59:59Z"},"contact-info":"tls@sender.example","report-id":"r-1","policies":[{"policy":{"policy-type":'
    b'"no-policy-found","policy-domain":"orchard.example"},"summary":{"total-successful-session-count":3,'
    b'"total-failure-session-count":0}}]}'
)
SECOND = JSON.replace(b"r-1", b"r-2")


def zipped(*members: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return buffer.getvalue()


def tarred(*members: tuple[str, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        folder = tarfile.TarInfo("folder")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name, content in members:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def leaves(data: bytes, limits: Limits | None = None) -> list[Leaf]:
    found = list(unpack(data, limits or Limits()))
    assert all(isinstance(leaf, Leaf) for leaf in found), found
    return [leaf for leaf in found if isinstance(leaf, Leaf)]


@pytest.mark.parametrize(
    ("data", "packing", "codes"),
    [
        pytest.param(JSON, (), [], id="plain"),
        pytest.param(gzip.compress(JSON), ("gzip",), [], id="gzip"),
        pytest.param(zipped(("a.json", JSON)), ("zip",), ["compression-zip"], id="F-11 zip"),
        pytest.param(zipped(("a.json", JSON), method=0), ("zip",), ["compression-zip"], id="stored zip"),
        pytest.param(zipped(("a.json", JSON), method=12), ("zip",), ["compression-zip"], id="bzip2 zip"),
        pytest.param(zipped(("a.gz", gzip.compress(JSON))), ("zip", "gzip"), ["compression-zip"], id="gzip in zip"),
        pytest.param(gzip.compress(gzip.compress(JSON)), ("gzip", "gzip"), ["compression-double"], id="F-11 double"),
        pytest.param(gzip.compress(zipped(("a", JSON))), ("gzip", "zip"), ["compression-zip"], id="zip in gzip"),
        pytest.param(tarred(("a.json", JSON)), ("tar",), ["compression-tar"], id="tar"),
        pytest.param(gzip.compress(tarred(("a.json", JSON))), ("gzip", "tar"), ["compression-tar"], id="tar.gz"),
        pytest.param(bz2.compress(JSON), ("bzip2",), ["compression-bzip2"], id="bzip2"),
        pytest.param(lzma.compress(JSON), ("xz",), ["compression-xz"], id="xz"),
        pytest.param(zlib.compress(JSON), ("zlib",), ["compression-zlib"], id="zlib"),
        pytest.param(base64.encodebytes(gzip.compress(JSON)), ("base64", "gzip"), ["encoding-base64"], id="base64"),
        pytest.param(base64.b64encode(JSON), ("base64",), ["encoding-base64"], id="base64 of JSON"),
        pytest.param(gzip.compress(JSON) + b"\r\n", ("gzip",), ["trailing-data"], id="F-12"),
        pytest.param(gzip.compress(JSON) + bytes(512), ("gzip",), ["trailing-data"], id="padding"),
        pytest.param(gzip.compress(JSON[:99]) + gzip.compress(JSON[99:]), ("gzip",), [], id="members of one document"),
    ],
)
def test_a_report_is_found_under_every_packing(data: bytes, packing: tuple[str, ...], codes: list[str]) -> None:
    """The layers are told outside-in; what RFC 8460 section 5.2 does not have is noted."""
    (found,) = read_reports(data)
    assert found.report.report_id == "r-1"
    assert found.packing == packing
    assert [finding.code for finding in found.findings] == codes


@pytest.mark.parametrize("pack", [zipped, tarred, lambda *members: gzip.compress(tarred(*members))])
def test_an_archive_of_several_is_read_in_order(pack: Callable[..., bytes]) -> None:
    """Somebody's collection, no deviation; each report knows its member, and what else is in there does no harm."""
    data = pack(("a.json", JSON), ("README", b"These are reports."), ("b/c.json.gz", gzip.compress(SECOND)))
    document = read_document(data)
    assert [(found.report.report_id, found.member) for found in document.reports] == [
        ("r-1", "a.json"),
        ("r-2", "b/c.json.gz"),
    ]
    assert [finding for found in document.reports for finding in found.findings] == []
    assert [(other.what, other.where) for other in document.others] == [("a text", "README")]


def test_a_broken_member_does_not_hide_the_others() -> None:
    """The faults are told beside the reports; `read_reports` raises only if there is no report."""
    data = zipped(("a.json", JSON), ("b.json", JSON[:-30]), ("c.json.gz", gzip.compress(SECOND)[:-9]))
    document = read_document(data)
    assert [found.member for found in document.reports] == ["a.json"]
    assert [fault.where.partition(":")[0] for fault in document.faults] == ["b.json", "c.json.gz"]
    assert len(read_reports(data)) == 1


def test_a_mail_in_an_archive_is_handed_on() -> None:
    """A tar of messages holds reports all the same: the door takes them apart."""
    mail = b"From: a@sender.example\r\nSubject: x\r\n\r\nhello"
    (other,) = read_document(tarred(("1.eml", mail))).others
    assert (other.what, other.where, other.mail) == ("a mail message", "1.eml", mail)


def test_a_report_in_an_archive_may_be_completed_by_its_own_name() -> None:
    """F-23, F-30: the member's name is the nearest evidence."""
    name = "sender.example!harbour.example!1772323200!1772409599!1.json"
    data = zipped((name, JSON.replace(b',"policy-domain":"orchard.example"', b"")))
    (found,) = read_reports(data, file_name="export.zip")
    assert found.report.policies[0].policy.policy_domain == "harbour.example"


def test_an_encrypted_member_is_named() -> None:
    """It can't be read, and the person who has the password must know which."""
    data = bytearray(zipped(("secret.json", JSON)))
    for magic, flags in (b"PK\x03\x04", 6), (b"PK\x01\x02", 8):
        data[data.index(magic) + flags] |= 1
    with pytest.raises(ReportError, match="password") as caught:
        read_reports(bytes(data))
    assert caught.value.where == "secret.json"


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_kind_of_tar_gives_its_files(form: int) -> None:
    """Long names too, as each kind writes them."""
    long = "folder/" + "x" * 120 + "/" + "y" * 60 + ".json"
    if form == tarfile.USTAR_FORMAT:
        long = "f" * 90 + "/" + "y" * 60 + ".json"
    found = leaves(tarred((long, JSON), ("b.json", SECOND), form=form))
    assert [leaf.data for leaf in found] == [JSON, SECOND]
    assert found[1].member == "b.json"
    if form != tarfile.PAX_FORMAT:
        assert found[0].member == long


@given(st.lists(st.tuples(st.sampled_from(["a", "b/c", "ü"]), st.binary(max_size=1500)), max_size=4))
@settings(deadline=None)
def test_our_tar_reader_finds_what_tarfile_wrote(members: list[tuple[str, bytes]]) -> None:
    """Each file, to the byte, whatever is in it."""
    data = tarred(*members)
    found = (
        leaves(data, Limits(archive_depth=1)) if not any(unpacking._layer(content) for _, content in members) else None
    )
    assert found is None or [leaf.data for leaf in found] == [content for _, content in members]


@pytest.mark.parametrize("packing", ["gzip", "zip", "tar", "xz"])  # bzip2 gives nothing of a block that is not whole
def test_a_cut_packing_is_a_report_to_quarantine_once_it_shows_one(packing: str) -> None:
    """Better kept with its reason than passed over: it began as a report."""
    data = PACKINGS[packing]
    document = read_document(data[: data.rindex(b"}]}") + 1] if packing == "tar" else data[:-12])
    assert not document.reports
    assert document.faults


# --- limits and bombs ------------------------------------------------------------------------------------------------

MIB = 1024 * 1024


def zeros(size: int) -> bytes:
    """Gzip of that many zeros, made without having them in memory."""
    packer, block = zlib.compressobj(9, zlib.DEFLATED, 31), bytes(MIB)
    return b"".join([packer.compress(block) for _ in range(size // MIB)]) + packer.flush()


def zip_of_zeros(size: int, members: int = 1) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for n in range(members):
            with archive.open(f"{n}.json", "w", force_zip64=True) as file:
                for _ in range(size // MIB):
                    file.write(bytes(MIB))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "limits", "name"),
    [
        pytest.param(zeros(64 * MIB), Limits(), "ratio", id="ratio"),
        pytest.param(zeros(64 * MIB), Limits(ratio=2000, decompressed_bytes=8 * MIB), "decompressed_bytes", id="size"),
        pytest.param(gzip.compress(zeros(64 * MIB)), Limits(decompressed_bytes=8 * MIB, ratio=10**9), "decompressed_bytes", id="gzip in gzip"),
        pytest.param(zip_of_zeros(32 * MIB), Limits(decompressed_bytes=8 * MIB, ratio=2000), "decompressed_bytes", id="zip"),
        pytest.param(zip_of_zeros(32 * MIB), Limits(), "ratio", id="zip ratio"),
        pytest.param(zip_of_zeros(3 * MIB, 4), Limits(decompressed_bytes=8 * MIB, ratio=2000), "decompressed_bytes", id="zip members together"),
        pytest.param(bz2.compress(bytes(32 * MIB)), Limits(decompressed_bytes=8 * MIB, ratio=10**6), "decompressed_bytes", id="bzip2"),
        pytest.param(lzma.compress(bytes(32 * MIB)), Limits(decompressed_bytes=8 * MIB, ratio=10**6), "decompressed_bytes", id="xz"),
        pytest.param(gzip.compress(gzip.compress(gzip.compress(gzip.compress(JSON)))), Limits(), "archive_depth", id="depth"),
        pytest.param(zipped(*((str(n), b"x") for n in range(12))), Limits(archive_members=10), "archive_members", id="zip members"),
        pytest.param(tarred(*((str(n), b"x") for n in range(12))), Limits(archive_members=10), "archive_members", id="tar members"),
        pytest.param(gzip.compress(b"") * 20_000, Limits(), "archive_members", id="empty streams in a row"),
        pytest.param(bytes(200), Limits(compressed_bytes=100), "compressed_bytes", id="as received"),
    ],
)  # fmt: skip
def test_a_bomb_names_its_limit_and_costs_no_more(data: bytes, limits: Limits, name: str) -> None:
    """R7-02: whatever the headers say, the memory stays within a small multiple of the limit."""
    tracemalloc.start()
    try:
        with pytest.raises(LimitError) as caught:
            read_reports(data, limits=limits)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert caught.value.limit == name
    assert peak < 1.5 * min(limits.decompressed_bytes, limits.ratio * len(data)) + 8 * MIB


@pytest.mark.parametrize(
    "bomb",
    [
        pytest.param(b"[" + b"{}," * (5 * MIB) + b"{}]", id="objects"),
        pytest.param(b'{"policies":[' + b"[]," * (5 * MIB) + b"[]]}", id="arrays"),
        pytest.param(b'{"policies":[{"policy":{"policy-string":["a"' + b',"ab"' * (3 * MIB) + b"]}}]}", id="strings"),
        pytest.param(b'{"a":1' + b',"b":1' * (2 * MIB) + b"}", id="keys"),
        pytest.param(b"[" * (10 * MIB), id="brackets"),
        pytest.param(b"{}" * (5 * MIB), id="documents"),
    ],
)
def test_json_that_would_become_many_objects_is_refused_before_it_does(bomb: bytes) -> None:
    """Objects take twenty times the room of their JSON; they are counted first."""
    tracemalloc.start()
    try:
        with pytest.raises((LimitError, NoReportError, ReportError)):
            read_reports(bomb, limits=Limits(policies=1000, failure_details=10_000))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 6 * len(bomb) + 8 * MIB


def test_what_is_left_of_the_budget_counts_for_all_members() -> None:
    """Ten members of 1 MiB do not pass a limit of 8 MiB together; those before it are read."""
    noise = random.Random(1).randbytes(MIB)
    document = read_document(
        zipped(("0.json", JSON), *((f"{n}", noise) for n in range(1, 11))), limits=Limits(decompressed_bytes=8 * MIB)
    )
    assert [found.member for found in document.reports] == ["0.json"]
    assert [type(fault) for fault in document.faults] == [LimitError]


def test_limits_on_rows_count_for_all_members() -> None:
    """An archive of reports within the limits may not make the store's one writer wait for millions of rows."""
    data = zipped(("1.json", JSON), ("2.json", SECOND), ("3.json", JSON))
    document = read_document(data, limits=Limits(policies=1))
    assert [found.member for found in document.reports] == ["1.json"]
    assert [str(fault) for fault in document.faults] == [
        "2.json: more than 1 policies in one document; raise limits.policies"
    ], "and nothing is read after it"
    budget = Budget(Limits(policies=2))
    for data in JSON, gzip.compress(SECOND):  # attachments of one mail
        assert read_document(data, limits=budget.limits, budget=budget).reports
    assert read_document(JSON, limits=budget.limits, budget=budget).faults
    with pytest.raises(LimitError):
        budget.count_report(msgspec.structs.replace(read_reports(JSON)[0].report, policies=()))


PACKINGS = {
    "gzip": gzip.compress(JSON),
    "zip": zipped(("a", JSON)),
    "tar": tarred(("a", JSON)),
    "bzip2": bz2.compress(JSON),
    "xz": lzma.compress(JSON),
}


# --- both inflaters --------------------------------------------------------------------------------------------------


@pytest.fixture(params=["zlib", "isal"])
def inflater(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The standard library's inflater, and isal's where the extra `speed` is installed."""
    if request.param == "isal":
        isal_zlib = pytest.importorskip("isal.isal_zlib")
        monkeypatch.setattr(unpacking, "_inflater", isal_zlib.decompressobj)
    else:
        monkeypatch.setattr(unpacking, "_inflater", zlib.decompressobj)
    return str(request.param)


@pytest.mark.parametrize(
    ("data", "outcome"),
    [
        pytest.param(gzip.compress(JSON), "1 read", id="good"),
        pytest.param(gzip.compress(JSON) + b"\r\n", "1 read", id="trailing"),
        pytest.param(gzip.compress(JSON) + gzip.compress(SECOND), "2 read", id="two documents"),
        pytest.param(gzip.compress(JSON)[:-1], "ReportError", id="a byte short"),
        pytest.param(gzip.compress(JSON)[:-8], "ReportError", id="no trailer"),
        pytest.param(gzip.compress(JSON)[:100], "ReportError", id="half"),
        pytest.param(gzip.compress(JSON)[:-8] + bytes(8), "ReportError", id="checksum"),
        pytest.param(gzip.compress(JSON)[:-4] + bytes(4), "ReportError", id="length"),
        pytest.param(b"\x1f\x8b\x08\x00" + b"\xff" * 60, "NoReportError", id="no stream"),
        pytest.param(gzip.compress(b" " * 3 * MIB + JSON), "LimitError", id="ratio"),
        pytest.param(gzip.compress(random.Random(2).randbytes(2 * MIB)), "NoReportError", id="noise"),
    ],
)
def test_both_inflaters_tell_the_same(inflater: str, data: bytes, outcome: str) -> None:
    """F-12: read to the stream's end; a bad checksum or an early end is damage."""
    try:
        got = f"{len(read_reports(data))} read"
    except (ReportError, NoReportError) as error:
        got = type(error).__name__
    assert got == outcome


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.binary(max_size=3000), st.integers(1, 9), st.integers(0, 40))
def test_large_and_small_steps_give_the_same_bytes(inflater: str, content: bytes, level: int, copies: int) -> None:
    """Whatever its size and its ratio, a document comes out to the byte."""
    document = b"q" + content * copies
    (leaf,) = leaves(gzip.compress(document, level), Limits(ratio=10**6))
    assert leaf.data == document


@settings(deadline=None)
@given(st.sampled_from(sorted(PACKINGS)), st.data())
def test_a_damaged_packing_gives_a_documented_error(packing: str, draw: st.DataObject) -> None:
    """One byte changed anywhere, or the end cut off: something is said of it in any case."""
    data = PACKINGS[packing]
    place = draw.draw(st.integers(0, len(data) - 1))
    changed = data[:place] + bytes([data[place] ^ draw.draw(st.integers(1, 255))]) + data[place + 1 :]
    for damaged in data[:place], changed:
        document = read_document(damaged)
        assert document.reports or document.faults or document.others
