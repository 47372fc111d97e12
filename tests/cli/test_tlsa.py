"""`tlsrpt tlsa lint` and `make`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization as form

from tests.cli.command import tlsrpt
from tests.core.test_tlsa import CERTIFICATE, DIGEST, GOOD, KEY, OTHER, PKCS8, ec, key_record, public_key


@pytest.fixture
def chain(tmp_path: Path) -> Path:
    path = tmp_path / "fullchain.pem"
    path.write_bytes(CERTIFICATE.public_bytes(form.Encoding.PEM))
    return path


@pytest.mark.parametrize(
    ("args", "verdict", "code"),
    [
        ([GOOD, f"3 1 1 {OTHER}"], "ok", 0),
        (["3", "1", "1", DIGEST], "ok", 0),  # typed without quotes
        ([f"3 0 1 {DIGEST}"], "warning", 1),
        ([f"1 1 1 {DIGEST}"], "ignored", 1),
    ],
)
def test_lint_takes_the_records_of_one_name(args: list[str], verdict: str, code: int) -> None:
    run = tlsrpt("tlsa", "lint", "--json", *args)
    assert (json.loads(run.stdout)["verdict"], run.returncode) == (verdict, code)


def test_lint_reads_what_dig_prints() -> None:
    answer = f";; ANSWER SECTION:\n_25._tcp.mx1.example.com. 60 IN TLSA 3 1 1 {DIGEST[:56]} {DIGEST[56:]}\n\n".encode()
    run = tlsrpt("tlsa", "lint", "--file", "-", stdin=answer)
    assert (run.returncode, run.stdout.splitlines()[0]) == (0, "ok")


def test_make_writes_the_record_and_the_next_one_beside_it(chain: Path, tmp_path: Path) -> None:
    """D-50: a new key needs its record before it is used."""
    following = ec.generate_private_key(ec.SECP256R1())
    key = tmp_path / "next.key"
    key.write_bytes(following.private_bytes(form.Encoding.PEM, *PKCS8))
    run = tlsrpt("tlsa", "make", chain, "--next", key, "--host", "mx1.example.com")
    records = [str(key_record(public_key(data))) for data in (chain.read_bytes(), key.read_bytes())]
    assert run.stdout.splitlines() == [f"_25._tcp.mx1.example.com. 3600 IN TLSA {record}" for record in records]
    assert "Wait two TTLs" in run.stderr
    assert tlsrpt("tlsa", "lint", *run.stdout.splitlines()).returncode == 0
    assert json.loads(tlsrpt("tlsa", "make", chain, "--json").stdout) == {"records": records[:1], "zone": []}


def test_the_same_key_needs_no_second_record(chain: Path, tmp_path: Path) -> None:
    key = tmp_path / "same.key"
    key.write_bytes(KEY.private_bytes(form.Encoding.PEM, *PKCS8))
    run = tlsrpt("tlsa", "make", chain, "--next", key)
    assert len(run.stdout.splitlines()) == 1
    assert "same key" in run.stderr


def test_a_file_without_a_certificate_is_one_clear_line(tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_bytes(b"")
    for args in (("make", empty), ("make", tmp_path / "missing.pem"), ("lint",)):
        run = tlsrpt("tlsa", *args)
        assert (run.returncode, run.stdout) == (2, "")
        assert "Traceback" not in run.stderr
