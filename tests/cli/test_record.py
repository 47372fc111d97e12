"""`tlsrpt record lint` and `make`: what a person and a program see, and the exit codes."""

from __future__ import annotations

import json

import pytest

from tests.cli.command import tlsrpt

GOOD = "v=TLSRPTv1; rua=mailto:tls@example.com"
BAD = "v=TLSRPTv1, rua=tls@example.com!10m"


def test_lint_prints_one_object_per_input_with_the_promised_keys() -> None:
    run = tlsrpt("record", "lint", "--json", BAD)
    result = json.loads(run.stdout)
    assert run.returncode == 1
    assert {"input", "verdict", "findings", "corrected"} <= set(result)
    assert (result["input"], result["verdict"], result["corrected"]) == ([BAD], "ignored", GOOD)
    assert set(result["findings"][0]) == {"code", "severity", "where", "message", "consequence", "fix"}


@pytest.mark.parametrize(
    ("args", "code"),
    [
        ([GOOD], 0),
        ([f"{GOOD}; x.y=1"], 0),  # worth knowing, nothing to mend
        ([f"{GOOD}; p=none"], 1),
        ([BAD], 1),
        ([GOOD, GOOD], 1),
        (["--zone-text", f'"{GOOD}"'], 0),
        ([], 2),
        (["--file", "-", GOOD], 2),
        (["--file", "/nowhere/at/all"], 2),
    ],
)
def test_the_exit_code_tells_ok_findings_and_wrong_usage(args: list[str], code: int) -> None:
    assert tlsrpt("record", "lint", *args).returncode == code


def test_every_fault_is_pointed_at_and_the_right_record_stands_at_the_end() -> None:
    """Someone who reads only this output can mend the record."""
    lines = tlsrpt("record", "lint", BAD).stdout.splitlines()
    carets = [line.index("^") - 4 for line in lines if line.strip() == "^"]
    assert carets == [BAD.index(","), BAD.index("tls@"), BAD.index("!")]
    assert "ignored" in lines[0]
    assert "as DNS holds it" in lines[1]
    assert lines[lines.index("Corrected:") + 1].strip() == GOOD


def test_quotes_are_a_fault_as_dns_holds_the_text_and_none_in_zone_text() -> None:
    """D-09: never hidden by stripping; the other reading is named."""
    as_dns = tlsrpt("record", "lint", f'"{GOOD}"')
    assert as_dns.returncode == 1
    assert "--zone-text" in as_dns.stdout.replace("\n    ", " ")
    assert tlsrpt("record", "lint", "--zone-text", f'"{GOOD}"').stdout.splitlines()[0] == "ok"


def test_a_file_is_linted_line_by_line_whatever_is_in_it() -> None:
    data = b"\r\n".join([GOOD.encode(), b"\xff\x00\x1b[2J", b"", BAD.encode()]) + b"\r\n" + b"x" * 300_000
    run = tlsrpt("record", "lint", "--json", "--file", "-", stdin=data)
    assert [json.loads(line)["verdict"] for line in run.stdout.splitlines()] == ["ok", *["ignored"] * 4]
    shown = tlsrpt("record", "lint", "--file", "-", stdin=data)
    assert shown.returncode == 1
    assert "\x1b" not in shown.stdout + run.stdout
    assert shown.stdout.splitlines()[-1] == "5 lines: 1 ok, 4 ignored"


def test_make_prints_the_record_alone_for_scripts() -> None:
    run = tlsrpt("record", "make", "--mailto", "tls@example.com", "--https", "https://r.example/a,b")
    assert run.returncode == 0
    assert run.stdout == f"{GOOD},https://r.example/a%2Cb\n"


def test_make_writes_the_form_for_a_place() -> None:
    made = ("record", "make", "--mailto", "tls@example.com", "--domain", "Bücher.example", "--ttl", "300")
    name = "_smtp._tls.xn--bcher-kva.example"
    assert tlsrpt(*made, "--for", "bind").stdout == f'{name}. 300 IN TXT "{GOOD}"\n'
    everything = json.loads(tlsrpt(*made, "--json").stdout)
    assert (everything["name"], everything["record"], len(everything["forms"])) == (name, GOOD, 12)
    assert "route53\n" in tlsrpt(*made, "--for", "all").stdout


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ([], "--mailto"),
        (["--mailto", "x"], "no mail address"),
        (["--mailto", "jörg@example.com"], "ASCII"),
        (["--https", "http://r.example/"], "only https"),
        (["--mailto", "tls@example.com", "--for", "route53"], "--domain"),
        (["--mailto", "tls@example.com", "--domain", "a b"], "no domain name"),
        (["--mailto", "tls@example.com", "--ttl", "0"], "--ttl"),
    ],
)
def test_make_refuses_in_one_clear_line(args: list[str], said: str) -> None:
    run = tlsrpt("record", "make", *args)
    assert (run.returncode, run.stdout) == (2, "")
    assert said in run.stderr
    assert "Traceback" not in run.stderr


def test_a_dash_alone_is_standard_input() -> None:
    """`-` lints each line on its own, as `--file -` does."""
    lines = b"v=TLSRPTv1; rua=mailto:a@b.example\nv=TLSRPTv1\n"
    done = tlsrpt("record", "lint", "--json", "-", stdin=lines)
    assert [json.loads(line)["verdict"] for line in done.stdout.splitlines()] == ["ok", "ignored"]
    assert done.returncode == 1
