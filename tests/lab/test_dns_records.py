"""`record check` against Knot and Unbound: each mistake of the field notes has a name in a real zone."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tests.lab.nameservers import NameServers, Tree, name_servers
from tlsrpt.cli.record_check import command

pytestmark = pytest.mark.lab("knotd", "keymgr", "unbound")

GOOD = "v=TLSRPTv1; rua=mailto:tls@reports.example"
MAIL = "@ MX 10 mx.reports.example.\n"
# label of the domain -> (zone lines below it, as people write them; the code that must be found; the verdict)
MISTAKES: dict[str, tuple[str, str, str]] = {
    "good": (f'_smtp._tls.good TXT "{GOOD}"', "", "ok"),
    "strings": ('_smtp._tls.strings TXT "v=TLSRPTv1;" " rua=mai" "lto:tls@reports.example"', "", "ok"),
    "d01-underscore": (f'_smtp_tls.d01-underscore TXT "{GOOD}"', "wrong-name", "ignored"),
    "d01-swapped": (f'_tls._smtp.d01-swapped TXT "{GOOD}"', "wrong-name", "ignored"),
    "d01-invented": (f'_tlsrpt.d01-invented TXT "{GOOD}"', "wrong-name", "ignored"),
    "d01-draft": (f'_smtp-tlsrpt.d01-draft TXT "{GOOD}"', "wrong-name", "ignored"),
    "d01-mail": (f'_smtp._tls.mail.d01-mail TXT "{GOOD}"', "at-mx-host", "ignored"),
    "d02": (f'_smtp._tls.d02.mistakes.example.d02 TXT "{GOOD}"', "zone-appended-twice", "ignored"),
    "d03": (f'd03 TXT "v=spf1 -all"\nd03 TXT "{GOOD}"', "at-bare-domain", "ignored"),
    "d06-short": ('_smtp._tls.d06-short TXT "v=TLSRPT1; rua=mailto:tls@reports.example"', "version-misspelt", "ignored"),
    "d06-swapped": (
        '_smtp._tls.d06-swapped TXT "v=TSLRPTv1; rua=mailto:tls@reports.example"', "version-misspelt", "ignored",
    ),
    "d07": ('_smtp._tls.d07 TXT "v=tlsrptv1; rua=mailto:tls@reports.example"', "version-case", "ignored"),
    "d08-equals": ('_smtp._tls.d08-equals TXT "v = TLSRPTv1; rua=mailto:tls@reports.example"', "space-around-equals", "ignored"),
    "d08-semicolon": (
        '_smtp._tls.d08-semicolon TXT "v=TLSRPTv1 ; rua=mailto:tls@reports.example"',
        "space-before-first-semicolon", "warning",
    ),
    "d09": (f'_smtp._tls.d09 TXT "\\"{GOOD}\\""', "quotes-in-value", "ignored"),
    "d10": ('_smtp._tls.d10 TXT "v=TLSRPTv1\\\\; rua=mailto:tls@reports.example"', "backslash-in-value", "ignored"),
    "d11": ('_smtp._tls.d11 TXT "v=TLSRPTv1; rua=tls@reports.example"', "scheme-missing", "ignored"),
    "d12": ('_smtp._tls.d12 TXT "v=TLSRPTv1; rua=mailto=tls@reports.example"', "scheme-with-equals", "ignored"),
    "d13": (
        '_smtp._tls.d13 TXT "v=TLSRPTv1; rua=mailto:tls@reports.example;mailto:ops@reports.example"',
        "semicolon-between-uris", "ignored",
    ),
    "d15": ('_smtp._tls.d15 TXT "v=TLSRPTv1; rua=http://reports.example/tlsrpt"', "http-not-https", "ignored"),
    "d16": ('_smtp._tls.d16 TXT "v=TLSRPTv1; rua=mailto:tls@reports.example!10m"', "dmarc-size-suffix", "ignored"),
    "d17": ('_smtp._tls.d17 TXT "v=DMARC1; p=none; rua=mailto:tls@reports.example"', "dmarc-record-here", "ignored"),
    "d18": (
        '_smtp._tls.d18 TXT "v=TLSRPTv1; rua=mailto:tls@reports.example; rua=mailto:ops@reports.example"',
        "rua-repeated", "warning",
    ),
    "d19": ('_smtp._tls.d19 TXT "v=TLSRPTv1; rua="', "rua-empty", "ignored"),
    "d20": ('_smtp._tls.d20 TXT "v=TLSRPTv1; rua=mailto:tls@reports.example;;"', "empty-field", "ignored"),
    "d21": (
        f'_smtp._tls.d21 TXT "{GOOD}"\n_smtp._tls.d21 TXT "v=TLSRPTv1; rua=mailto:ops@reports.example"',
        "two-records", "ignored",
    ),
    "d22": (
        '_smtp._tls.d22 TXT "v=TLSRPTv1;"\n_smtp._tls.d22 TXT " rua=mailto:tls@reports.example"',
        "one-value-in-two-records", "ignored",
    ),
    "d23": ('_smtp._tls.d23 TXT "v=TLSRPTv1;\\194\\160rua=mailto:tls@reports.example"', "non-ascii-space", "ignored"),
    "d24": ("_smtp._tls.d24 CNAME d24.hosted.example.\n", "", "ok"),
    "d24-dangling": ("_smtp._tls.d24-dangling CNAME gone.hosted.example.\n", "cname-dangling", "ignored"),
    "d25": ('*.d25 TXT "v=spf1 -all"', "wildcard-answers", "ignored"),
    "d26-null": ('_smtp._tls.d26-null TXT "v=TLSRPTv1; rua=mailto:tls@null.mistakes.example"', "mailbox-null-mx", "ok"),
    "d26-gone": ('_smtp._tls.d26-gone TXT "v=TLSRPTv1; rua=mailto:tls@gone.example"', "mailbox-no-domain", "ok"),
    "d27": ('_smtp._tls.d27 TXT "v=TLSRPTv1; rua=https://inside.mistakes.example/t"', "endpoint-not-public", "ok"),
    "unquoted": ("_smtp._tls.unquoted TXT v=TLSRPTv1; rua=mailto:tls@reports.example", "rua-missing", "ignored"),
    "nothing": ("nothing A 192.0.2.1", "record-missing", "ignored"),
}  # fmt: skip
MISTAKEN_ZONE = (
    "".join(f"{label} MX 10 mx.reports.example.\n" for label in MISTAKES if label not in ("null", "inside"))
    + "null MX 0 .\ninside A 10.0.0.1\n"
    + "".join(lines.rstrip("\n") + "\n" for lines, _, _ in MISTAKES.values())
)
TREE = Tree(
    zones={
        "mistakes.example": MISTAKEN_ZONE,
        "reports.example": "@ MX 10 mx\nmx A 192.0.2.25\n",
        "hosted.example": f'd24 TXT "{GOOD}"\n',
        "signed.example": f'{MAIL}_smtp._tls 300 TXT "{GOOD}"\n',
        "dane.example": f'@ MX 10 mx\nmx A 192.0.2.26\n_25._tcp.mx TLSA 3 1 1 {"ab" * 32}\n_smtp._tls TXT "{GOOD}"\n',
        "unsigned.example": f'{MAIL}_smtp._tls 300 TXT "{GOOD}"\n',
        "bogus.example": f'{MAIL}_smtp._tls TXT "{GOOD}"\n',
        "split.example": f'{MAIL}_smtp._tls TXT "{GOOD}"\n',
        "lame.example": f'{MAIL}_smtp._tls TXT "{GOOD}"\n@ NS ns2.example.\n',
        "far.example": f'{MAIL}_smtp._tls TXT "{GOOD}"\n@ NS ns.far.example.\nns A 127.0.0.250\n',
    },
    signed=frozenset({"signed.example", "dane.example"}),
    bogus=frozenset({"bogus.example"}),
    second={"split.example": f'{MAIL}_smtp._tls TXT "v=TLSRPTv1; rua=mailto:old@reports.example"\n'},
)


@pytest.fixture(scope="module")
def servers() -> Iterator[NameServers]:
    """One set of servers for all that only looks."""
    folder = Path(tempfile.mkdtemp(prefix="tlsrpt-lab-", dir="/tmp"))
    folder.chmod(0o755)
    with name_servers(folder, TREE) as running:
        yield running
    shutil.rmtree(folder)


def check(servers: NameServers, *args: str) -> tuple[list[dict[str, Any]], int]:
    resolver = f"{servers.resolver.address}@{servers.resolver.port}"
    result = CliRunner().invoke(command, ["--json", "--resolver", resolver, *args])
    return [json.loads(line) for line in result.stdout.splitlines()], result.exit_code


def codes(found: dict[str, Any], *severities: str) -> list[str]:
    return [
        finding["code"] for finding in found["findings"] if finding["severity"] in (severities or ("warning", "error"))
    ]


def test_each_mistake_of_the_field_notes_is_found_and_named(servers: NameServers) -> None:
    """D-01 to D-27: verdict and finding, all in one run, in the order asked; whoever reads `fix` can mend it."""
    found, code = check(servers, *(f"{label}.mistakes.example" for label in MISTAKES))
    assert [one["domain"].partition(".")[0] for one in found] == list(MISTAKES)
    missed = {
        label: (one["verdict"], codes(one))
        for (label, (_, finding, verdict)), one in zip(MISTAKES.items(), found, strict=True)
        if one["verdict"] != verdict or (finding not in codes(one) if finding else codes(one))
    }
    assert missed == {}
    assert all(finding["fix"] for one in found for finding in one["findings"] if finding["severity"] == "error")
    assert code == 1


def test_dnssec_is_told(servers: NameServers) -> None:
    """Signed, unsigned, bogus; a short TTL matters only where DNSSEC does not protect (R7-06)."""
    (signed, unsigned, bogus), code = check(servers, "signed.example", "unsigned.example", "bogus.example")
    assert (signed["dnssec"], codes(signed, "info")) == ("secure", [])
    assert (unsigned["dnssec"], codes(unsigned, "info")) == ("insecure", ["ttl-short"])
    assert (bogus["dnssec"], bogus["verdict"], bogus["found"]) == ("bogus", "unknown", None)
    assert codes(bogus)[0] == "dnssec-bogus"
    assert code == 3


def test_an_mx_host_with_dane_is_looked_at(servers: NameServers) -> None:
    """D-05."""
    (found,), code = check(servers, "dane.example")
    assert (codes(found, "info"), code) == (["mx-host-without-record"], 0)


def test_servers_are_compared(servers: NameServers) -> None:
    (split, lame, far), _ = check(servers, "split.example", "lame.example", "far.example")
    assert codes(split)[0] == "servers-differ"
    assert {server["server"] for server in split["servers"]} == {str(servers.resolver), "ns.example", "ns2.example"}
    assert codes(lame) == ["server-fails"]
    assert (codes(far), codes(far, "info")) == ([], ["server-unreachable"])


def test_a_thousand_domains_at_once(servers: NameServers, tmp_path: Path) -> None:
    """From a file, in its order, with a line that is no domain told at its place."""
    names = [f"x{i}.mistakes.example" for i in range(1000)]
    listed = tmp_path / "domains"
    listed.write_text("# ours\n" + "\n".join([*names[:500], "no domain!", *names[500:]]) + "\n")
    found, code = check(servers, "--record-only", "--file", str(listed))
    assert [one["domain"] for one in found] == [*names[:500], "no domain!", *names[500:]]
    assert {one["verdict"] for one in found} == {"ignored", "unknown"}
    assert found[500]["findings"][0]["where"] == "line 502"
    assert code == 1
