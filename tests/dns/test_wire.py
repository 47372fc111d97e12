"""The codec of DNS messages: what dnspython writes we read, and no octets from outside do harm."""

from __future__ import annotations

import contextlib

import dns.message
import dns.name
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlsrpt.dns.wire import MX, SOA, TLSA, TYPES, WireError, answers, decode, encode_query, encode_question

NAME = "_smtp._tls.example.com"
RECORDS = [
    pytest.param("A", "192.0.2.25", "192.0.2.25", id="A"),
    pytest.param("AAAA", "2001:db8::25", "2001:db8::25", id="AAAA"),
    pytest.param("NS", "NS1.Example.COM.", "ns1.example.com", id="NS"),
    pytest.param("CNAME", "example-com.reports.example.net.", "example-com.reports.example.net", id="CNAME"),
    pytest.param("MX", "10 mx1.example.com.", MX(10, "mx1.example.com"), id="MX"),
    pytest.param("MX", "0 .", MX(0, "."), id="null MX"),
    pytest.param(
        "TXT", '"v=TLSRPTv1;" " rua=mai" "lto:a@b.example"', b"v=TLSRPTv1; rua=mailto:a@b.example", id="strings"
    ),
    pytest.param("TXT", '""', b"", id="empty"),
    pytest.param("TXT", '"\\195\\169\\000"', b"\xc3\xa9\0", id="octets"),
    pytest.param(
        "SOA", "ns1.example.com. h.example.com. 7 3600 600 86400 300", SOA("ns1.example.com", 7, 300), id="SOA"
    ),
    pytest.param("TLSA", "3 1 1 " + "ab" * 32, TLSA(3, 1, 1, b"\xab" * 32), id="TLSA"),
]


def question(name: str, rtype: str) -> bytes:
    return encode_question(name, rtype)


def an_answer(name: str, rtype: str, *rdata: str) -> bytes:
    query = dns.message.from_wire(encode_query(7, question(name, rtype)))
    response = dns.message.make_response(query)
    response.answer.append(dns.rrset.from_text(name + ".", 300, "IN", rtype, *rdata))
    return response.to_wire()


@pytest.mark.parametrize(("rtype", "text", "data"), RECORDS)
def test_records_are_read_as_another_library_wrote_them(rtype: str, text: str, data: object) -> None:
    message = decode(an_answer(NAME, rtype, text))
    assert [(record.owner, record.rtype, record.ttl, record.data) for record in message.answer] == [
        (NAME, rtype, 300, data)
    ]


def test_a_query_is_what_another_library_reads() -> None:
    """Recursion and the AD flag are asked for, EDNS with a payload that needs no fragments."""
    query = dns.message.from_wire(encode_query(4711, question(NAME, "TXT")))
    assert query.id == 4711
    assert query.question[0].to_text() == f"{NAME}. IN TXT"
    assert (query.edns, query.payload) == (0, 1232)
    assert dns.flags.to_text(query.flags) == "RD AD"


@pytest.mark.parametrize("name", ["", ".", "a", "a.example", "_25._tcp.mx.example", "x" * 63 + ".example"])
def test_names_are_written_as_another_library_writes_them(name: str) -> None:
    assert question(name, "A")[:-4] == dns.name.from_text(name or ".").to_wire()


@pytest.mark.parametrize(
    "name", ["a..example", "x" * 64 + ".example", "bücher.example", ".".join(["abcdefg"] * 40), "a\\.b"]
)
def test_a_name_that_can_not_be_asked_is_an_error(name: str) -> None:
    with pytest.raises(WireError):
        question(name, "A")


def test_an_answer_to_another_question_is_none() -> None:
    """RFC 5452: the question must be repeated; its letters may change case."""
    wire = an_answer(NAME, "TXT", '"x"')
    assert answers(wire, question(NAME, "TXT"))
    assert answers(wire, question(NAME.upper(), "TXT"))
    assert not answers(wire, question("_smtp._tls.example.org", "TXT"))
    assert not answers(wire, question(NAME, "MX"))
    assert not answers(encode_query(7, question(NAME, "TXT")), question(NAME, "TXT"))


def test_a_pointer_forwards_or_to_itself_is_refused() -> None:
    wire = bytearray(an_answer(NAME, "TXT", '"x"'))
    at = wire.index(b"\xc0\x0c")
    wire[at : at + 2] = (0xC000 | at).to_bytes(2)
    with pytest.raises(WireError):
        decode(bytes(wire))


def test_a_message_that_claims_too_many_records_is_refused() -> None:
    wire = bytearray(an_answer(NAME, "TXT", '"x"'))
    wire[6:8] = b"\xff\xff"
    with pytest.raises(WireError, match="1000"):
        decode(bytes(wire))


@given(st.binary(max_size=600))
def test_any_octets_are_read_or_refused(octets: bytes) -> None:
    """What comes from outside never raises anything but WireError."""
    with contextlib.suppress(WireError):
        decode(octets)


@given(st.data(), st.sampled_from(sorted(TYPES)))
def test_a_damaged_answer_is_read_or_refused(data: st.DataObject, rtype: str) -> None:
    text = {str(p.values[0]): str(p.values[1]) for p in RECORDS}.get(rtype, "1 8 2 " + "ab" * 32)
    wire = bytearray(an_answer(NAME, rtype, text))
    for _ in range(data.draw(st.integers(1, 4))):
        wire[data.draw(st.integers(0, len(wire) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(WireError):
        decode(bytes(wire[: data.draw(st.integers(0, len(wire)))]))


@given(
    st.lists(
        st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=20), min_size=1, max_size=8
    )
)
def test_a_name_reads_back_in_lower_case(labels: list[str]) -> None:
    name = ".".join(labels)
    assert decode(an_answer(name, "TXT", '"x"')).answer[0].owner == name.lower()
