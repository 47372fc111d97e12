"""`tlsrpt config`: what is said of a wrong file, the sample, the configuration in force."""

from __future__ import annotations

import json
import math
import re
import runpy
import subprocess
import sys
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from tests.cli.command import tlsrpt
from tlsrpt.cli.config_faults import is_endless, shape_faults
from tlsrpt.cli.config_keys import tables
from tlsrpt.cli.config_lint import lint_config
from tlsrpt.cli.config_places import line_of, lines_of
from tlsrpt.cli.config_text import beginning, effective, sample
from tlsrpt.cli.configuration import parse, parse_config
from tlsrpt.cli.toml import quoted
from tlsrpt.config import Config
from tlsrpt.core.errors import ConfigError
from tlsrpt.core.findings import Finding
from tlsrpt.core.text import printable

DOCS = Path(__file__).parents[2] / "docs"
NOW = datetime(2026, 3, 1, tzinfo=UTC)
HTTPS = '[[source.https]]\nlisten = "127.0.0.1:8460"\n'
LMTP = '[[source.lmtp]]\nlisten = "127.0.0.1:2460"\nrecipients = ["tls@example.com"]\n'
IMAP = '[[source.imap]]\nhost = "imap.example.com"\nuser = "tls@example.com"\n'
S3 = '[[source.s3]]\nbucket = "mail"\n'
GRAPH = '[[source.graph]]\nmailbox = "tls@example.com"\n[source.graph.oauth]\nprovider = "microsoft"\nclient_id = "x"\n'
ANY = "0.0.0.0"  # noqa: S104 - nothing is bound
SMTP = '[mail]\nhost = "mail.example.com"\nfrom = "tlsrpt@example.com"\n'
CLIENT = 'tenant = "t"\nclient_secret_env = "S"\n'


# --- Shape ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        # Unknown keys: the nearest, what others call it, where it belongs, what there is.
        (
            HTTPS + '[[source.https]]\nlisen = "127.0.0.1:1"',
            'source.https[2]: unknown key "lisen"; did you mean listen?',
        ),
        ('[store]\nurll = "x"', 'store: unknown key "urll"; did you mean url?'),
        (IMAP + 'username = "x"', 'source.imap[1]: unknown key "username"; did you mean user?'),
        ("[[source.http]]", 'source: unknown key "http"; did you mean https?'),
        ("[sources]", 'top of the file: unknown key "sources"; did you mean source?'),
        ("[imap]", 'top of the file: unknown key "imap"; it belongs in [[source.imap]]'),
        ('url = "x"', 'top of the file: unknown key "url"; it belongs in [store]'),
        ("[[source.pop3]]", 'source: unknown key "pop3"; known here: https, lmtp, maildir, imap, s3, graph'),
        (HTTPS + "port = 8460", 'source.https[1]: unknown key "port"; it stands in listen = "ADDRESS:PORT"'),
        ('"a\\u001bb" = 1', 'top of the file: unknown key "a\\x1bb"; known here: store,'),
        # Secrets are sent to where they belong, and never shown.
        (
            IMAP + 'password = "hunter2"',
            'source.imap[1]: unknown key "password"; put it into a file of mode 0640, '
            'and write password_file = "/path/of/it"',
        ),
        # Missing.
        ("[[source.https]]", "source.https[1]: listen is missing: ADDRESS:PORT or unix:/path;"),
        ('[[source.imap]]\nhost = "x.example"', "source.imap[1]: user is missing: who logs in; write user = "),
        ('[[source.graph]]\nmailbox = "a@b.example"', "source.graph[1]: oauth is missing: "),
        # Types.
        (HTTPS + 'per_address = "5"', 'source.https[1].per_address: "5", and a whole number is wanted; write per_addres'),
        (HTTPS + "per_address = true", "source.https[1].per_address: true is true or false, and a whole number is wa"),
        (HTTPS + "within_s = 2026-01-01", "source.https[1].within_s: the date or time 2026-01-01, and a number is wan"),
        (HTTPS + "mode = 660", 'source.https[1].mode: the number 660, and text is wanted; write mode = "0660"'),
        (HTTPS + 'proxies = "::1"', 'source.https[1].proxies: "::1", and a list is wanted; write proxies = ["::1"]'),
        (HTTPS + "proxies = [1]", 'source.https[1].proxies[1]: the number 1, and text is wanted; write "1"'),
        (IMAP + 'idle = "yes"', 'source.imap[1].idle: "yes", and true or false is wanted; write true, without quotes'),
        ('[domains]\nown = "a.example"', 'domains.own: "a.example", and a list is wanted; write own = ["a.example"]'),
        ('store = "x"', 'store: "x", and a table is wanted; write [store] and its keys below'),
        ("[[store]]\n", "store: a list of tables, and there is only one; write [store]"),
        (
            '[source.https]\nlisten = "127.0.0.1:1"',
            "source.https: one table, where any number can stand; write [[source.https]], with two brackets",
        ),
        # Values.
        (HTTPS + "connections = 0", "source.https[1].connections: 0 is too small; write at least 1"),
        (HTTPS + "within_s = 0", "source.https[1].within_s: 0 is too small; write more than 0"),
        (HTTPS + "within_s = inf", "source.https[1].within_s: inf is no length of anything"),
        (HTTPS + "within_s = nan", "source.https[1].within_s: nan is no length of anything"),
        (IMAP + "port = 99999", "source.imap[1].port: 99999 is too large; write at most 65535"),
        (IMAP + 'after = "moved"', 'source.imap[1].after: "moved"; did you mean move?; write one of: delete, flag,'),
        (HTTPS + 'path = "v1"', 'source.https[1].path: "v1" does not begin with /; write it as "/v1/tlsrpt"'),
        (HTTPS + 'mode = "rw"', 'source.https[1].mode: "rw" is no octal mode; write it as "0660"'),
        ('[[source.lmtp]]\nlisten = "x"\nrecipients = []', "source.lmtp[1].recipients: an empty list; name at least"),
        # Names.
        (HTTPS + LMTP + 'name = "https"', 'source.lmtp[1]: "https" is the name of source.https[1] already; give each'),
        # TOML itself.
        ("own = [example.com]", "is no TOML: invalid value (at line 1, column 8); write texts in quotes, as in"),
        ("[a]\nx = True", "is no TOML: invalid value (at line 2, column 5); write true or false"),
        ("mode = 0660", 'column 9); write it in quotes, as in mode = "0660"'),
        ("x = “a”", "write straight quotes"),
        ("listen: 1", "write = between key and value"),
        ('path = "C:\\x"', "a backslash begins an escape in double quotes; write single quotes"),
        ("[source.https]\nlisten='x'\n[[source.https]]", "of a source there may be several: [[source.https]]"),
        ("[" * 2_000, "is no TOML"),
    ],
)  # fmt: skip
def test_one_mistake_is_one_line_that_says_what_to_write(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(text, "tlsrpt.toml")
    line = str(caught.value)
    assert line.startswith("tlsrpt.toml: ")
    assert said in line
    assert "hunter2" not in line
    assert line.isprintable()


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    """`config check` names each; every other verb the first, and how many more there are."""
    (tmp_path / "c.toml").write_text(HTTPS + 'pat = "/"\nper_address = -1\n' + IMAP + 'port = "993"\n[store]\nurrl = 1')
    done = tlsrpt("config", "check", tmp_path / "c.toml", "--json")
    assert done.returncode == 1, done.stderr
    told = json.loads(done.stdout)
    assert told["verdict"] == "error"
    assert [(finding["code"], finding["where"]) for finding in told["findings"]] == [
        ("unknown-key", "source.https[1]"),
        ("wrong-value", "source.https[1].per_address"),
        ("wrong-type", "source.imap[1].port"),
        ("unknown-key", "store"),
    ]
    done = tlsrpt("config", "show", "--config", tmp_path / "c.toml")
    assert done.returncode == 2
    assert "did you mean path?; 3 more: see `tlsrpt config check`" in done.stderr


SCALARS = st.one_of(
    st.text(max_size=5),
    st.integers(-5, 100_000),
    st.floats(),
    st.booleans(),
    st.just(NOW),
    st.sampled_from(["any", "accept", "move", "0660", "/x", "lmtp", "tls", "json", "microsoft"]),
)
VALUES = SCALARS | st.lists(SCALARS, max_size=2) | st.dictionaries(st.text(max_size=3), SCALARS, max_size=2)


@st.composite
def files(draw: st.DrawFn) -> dict[str, Any]:
    """Data of a TOML file that is nearly right: known tables with known keys, many of them with odd values."""
    data: dict[str, Any] = {}
    for table in draw(st.lists(st.sampled_from(tables()), max_size=4)):
        names = st.sampled_from([*(key.name for key in table.keys), "odd"])
        values: Any = {key.name: tomllib.loads(f"x = {key.example}")["x"] for key in table.keys if key.required}
        values |= draw(st.dictionaries(names, VALUES, max_size=3))
        holder = data
        *above, last = table.path.split(".")
        for name in above:
            step = holder.setdefault(name, {})
            holder = step[-1] if isinstance(step, list) else step
        holder[last] = [values] if table.many and draw(st.integers(0, 9)) else values
    return data


@given(files())
def test_a_file_is_faulty_here_when_it_is_for_msgspec(data: dict[str, Any]) -> None:
    """The walk that explains and the decoder that decides agree, but for numbers without an end."""
    try:
        msgspec.convert(data, Config)
        usable = not is_endless(data)
    except msgspec.ValidationError:
        usable = False
    faults = shape_faults(data)
    assert usable == (not faults)
    for fault in faults:
        assert fault.where
        words = f"{fault.where} {fault.message} {fault.fix} {fault.consequence}"
        assert printable(words) == words


@given(st.text(max_size=60))
def test_any_text_is_a_configuration_or_has_faults(text: str) -> None:
    parsed = parse(text)
    assert (parsed.config is None) == bool(parsed.faults)


# --- The sample, and what is in force -------------------------------------------------------------------------------


def uncommented(text: str) -> str:
    """The sample with every setting in use."""
    return re.sub(r"(?m)^#(?=[\[a-z])", "", text)


def test_the_sample_works_as_it_stands() -> None:
    """It is what the first lines say: enough to begin, and no source that is not there."""
    config = parse_config(sample(), "sample")
    assert list(config.source.named()) == ["https"]
    assert [finding for finding in lint_config(config, now=NOW, environment={}) if finding.severity != "info"] == []
    assert parse_config(beginning(), "beginning") == config


def test_the_sample_names_every_key() -> None:
    """With each # taken away it is a valid file, in which nothing is left out that a table knows."""
    config = parse_config(uncommented(sample()), "sample")
    data = tomllib.loads(uncommented(sample()))
    for table in tables():
        values: Any = data
        for name in table.path.split("."):
            values = values[name]
            values = values[0] if isinstance(values, list) else values
        assert {key.name for key in table.keys} <= set(values), table.heading
    assert list(config.source.named()) == ["https", "lmtp", "maildir", "imap", "s3", "graph"]


def test_the_sample_shows_each_default() -> None:
    """A setting that has a default is shown with it, or a remark says it."""
    parts = re.split(r"(?m)^#?(?=\[)", sample())[1:]
    for table in tables():
        (part,) = [part for part in parts if part.startswith(f"{table.heading}\n")]
        for key in table.keys:
            assert key.sentence, f"{table.heading} {key.name}"
            if key.default not in (None, '""', "[]"):
                assert f"{key.name} = {key.default}" in part or f"(default: {key.default})" in part.replace("\n# ", " ")


def test_the_sample_is_no_wider_than_a_page() -> None:
    assert max(map(len, sample().splitlines())) <= 110
    assert not re.search(r"\b[A-Z]-\d\d", sample())


@given(files())
def test_what_is_in_force_reads_back_as_it_is(data: dict[str, Any]) -> None:
    """`config show` writes TOML: any text and any number comes back."""
    try:
        config = msgspec.convert(data, Config)
    except msgspec.ValidationError:
        return
    if not is_endless(data) and not re.search(r"://[^/]*@", str(data)):
        assert msgspec.convert(tomllib.loads(effective(config)), Config) == config


@given(st.text())
def test_quoted_text_is_toml_and_can_be_printed(text: str) -> None:
    assert quoted(text).isprintable()
    assert tomllib.loads(f"x = {quoted(text)}")["x"] == re.sub("[\ud800-\udfff]", "\ufffd", text)


def test_show_prints_the_store_in_use_and_no_password(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text('[store]\nurl = "postgresql://tls:hunter2@db.example/tls"\n' + IMAP)
    done = tlsrpt("config", "show", "--config", tmp_path / "c.toml")
    assert done.returncode == 0, done.stderr
    assert 'url = "postgresql://***@db.example/tls"' in done.stdout
    assert "hunter2" not in done.stdout
    assert "hunter2" not in tlsrpt("config", "show", "--json", "--config", tmp_path / "c.toml").stdout
    done = tlsrpt("config", "show", "--store", tmp_path / "s.db", "--json", "--config", tmp_path / "c.toml")
    assert json.loads(done.stdout)["store"]["url"] == str(tmp_path / "s.db")


# --- Lint -----------------------------------------------------------------------------------------------------------


def lint(text: str, **environment: str) -> list[Finding]:
    return lint_config(parse_config(text, "tlsrpt.toml"), now=NOW, environment=environment)


def told(findings: list[Finding]) -> list[str]:
    """What asks for a change, as `severity code where`."""
    return [f"{f.severity} {f.code} {f.where}" for f in findings if f.severity != "info"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(HTTPS, [], id="the least"),
        pytest.param("", ["warning no-source source"], id="no source"),
        # store, domains, dns, health
        (HTTPS + '[store]\nurl = "rel.db"', ["warning relative-path store.url"]),
        (HTTPS + '[store]\nurl = "mysql://x/y"', ["error store-address store.url"]),
        (HTTPS + '[store]\nurl = "/tmp"', ["error store-address store.url"]),
        (HTTPS + "[domains]\nown = []", ["warning no-domain domains.own"]),
        (HTTPS + '[domains]\nown = ["a.example", "x y", "any"]', ["error no-domain-name domains.own[2]", "error no-domain-name domains.own[3]"]),
        (HTTPS + '[domains]\nown = "any"\nown_file = "/nowhere"', ["warning file-unused domains.own_file"]),
        (HTTPS + '[domains]\nown_file = "/nowhere"', ["error file-unreadable domains.own_file"]),
        (HTTPS + '[dns]\nresolver = "dns.example"', ["error no-name-server dns.resolver"]),
        (HTTPS + '[dns]\nresolver = "127.0.0.1@53"', []),
        (HTTPS + '[health]\nlisten = "here"', ["error no-address health.listen"]),
        (HTTPS + '[health]\nlisten = "0.0.0.0:1"', ["warning health-public health.listen"]),
        (HTTPS + '[health]\nlisten = "unix:/nowhere/s"', ["error no-folder health.listen"]),
        (HTTPS + '[health]\nlisten = "unix:/run/nowhere/s"', []),
        (HTTPS + '[digest]\nzone = "Mars"', ["error no-time-zone digest.zone"]),
        (HTTPS + '[digest]\ndomains = ["a.example", "x y"]', ["error no-domain-name digest.domains"]),
        (HTTPS + SMTP + '[digest]\nto = ["a@b.example", "me"]', ["error no-address digest.to[2]"]),
        (HTTPS + '[digest]\nto = ["a@b.example"]', ["error mail-unfit mail"]),
        # two on one address
        (HTTPS + HTTPS, ["error address-taken source.https[2].listen"]),
        (HTTPS + '[health]\nlisten = "127.0.0.1:8460"', ["error address-taken health.listen"]),
        (HTTPS + '[health]\nlisten = "[::1]:8460"', []),
        (HTTPS + '[[source.https]]\nlisten = "0.0.0.0:8460"\nproxies = ["192.0.2.1"]', ["error address-taken source.https[2].listen"]),
        (LMTP + LMTP.replace("127.0.0.1:2460", "unix:/tmp/l") + LMTP.replace("127.0.0.1:2460", "unix:/tmp/l"), ["error address-taken source.lmtp[3].listen"]),
        # names
        (HTTPS + 'name = "a b"', ["error name-unfit source.https[1].name"]),
        (HTTPS + 'name = "-x"', ["error name-unfit source.https[1].name"]),
        (HTTPS + 'name = "a:b"', ["error name-unfit source.https[1].name"]),
        # what an unproven report is worth
        (HTTPS + 'unproven = "refuse"', ["warning nothing-proven source.https[1].unproven"]),
        (LMTP + 'unproven = "quarantine"', []),
        (LMTP + 'unproven = "quarantine"\ndkim = false', ["error nothing-proven source.lmtp[1].unproven"]),
        (LMTP + 'unproven = "quarantine"\ndkim = false\nauthserv_id = "gw.example"', []),
        # https
        ('[[source.https]]\nlisten = "localhost:1"', ["error no-address source.https[1].listen"]),
        ('[[source.https]]\nlisten = "[::]:1"', ["warning plain-http source.https[1].listen"]),
        ('[[source.https]]\nlisten = "[::]:1"\nproxies = ["192.0.2.0/24"]', []),
        ('[[source.https]]\nlisten = "127.0.0.1:0"', ["warning any-port source.https[1].listen"]),
        ('[[source.https]]\nlisten = "unix:/nowhere/s"', ["error no-folder source.https[1].listen"]),
        ('[[source.https]]\nlisten = "unix:/tmp/s"\ngroup = "no such"', ["error no-group source.https[1].group"]),
        ('[[source.https]]\nlisten = "unix:/tmp/s"\nmode = "0666"', ["warning socket-open source.https[1].mode"]),
        ('[[source.https]]\nlisten = "unix:/tmp/s"\nmode = "660"\ngroup = "0"', []),
        (HTTPS + 'group = "root"', ["warning group-unused source.https[1].group"]),
        (HTTPS + 'proxies = ["192.0.2.1", "proxy.example"]', ["error no-proxy source.https[1].proxies[2]"]),
        (HTTPS + 'proxies = ["::/0"]', ["error everybody-believed source.https[1].proxies[1]"]),
        (HTTPS + 'certificate = "/nowhere"\nkey = "/nowhere"', ["error file-unreadable source.https[1].certificate", "error file-unreadable source.https[1].key"]),
        (HTTPS + 'key = "/nowhere"', ["error key-alone source.https[1].key"]),
        # lmtp
        (LMTP.replace("tls@example.com", "tls"), ["error no-recipient source.lmtp[1].recipients[1]"]),
        (LMTP.replace("127.0.0.1", ANY), ["warning lmtp-public source.lmtp[1].listen"]),
        (LMTP.replace("127.0.0.1", ANY) + 'protocol = "smtp"', ["warning smtp-without-tls source.lmtp[1].listen"]),
        # imap
        (IMAP, ["error no-login source.imap[1]"]),
        (IMAP + 'password_env = "P"', []),
        (IMAP + 'password_env = "P"\npassword_command = "pass x"', ["error two-logins source.imap[1]"]),
        (IMAP + 'token_command = "/nowhere/token"', ["warning no-program source.imap[1].token_command"]),
        (IMAP + 'password_command = "$HOME/x | head -1"', []),
        (IMAP + 'password_file = "/nowhere"', ["error file-unreadable source.imap[1].password_file"]),
        (IMAP + 'password_file = "/run/credentials/none.service/p"', []),
        (HTTPS + 'certificate = "/etc/hostname"\nkey = "/run/credentials/none.service/key"', []),
        (IMAP + 'password_file = "/tmp"', ["error file-unreadable source.imap[1].password_file"]),
        (IMAP + 'password_env = "P"\nmailbox = "x@example.com"', ["error mailbox-unused source.imap[1].mailbox"]),
        (IMAP + 'password_env = "P"\nport = 143', ["warning port-unusual source.imap[1].port"]),
        (IMAP + 'password_env = "P"\ntls = "starttls"', ["error port-unusual source.imap[1].port"]),
        (IMAP + 'password_env = "P"\nport = 143\ntls = "starttls"', []),
        (IMAP + 'password_env = "P"\ndone_folder = "INBOX"', ["error moved-nowhere source.imap[1].done_folder"]),
        (IMAP + 'password_env = "P"\ndone_folder = ""', ["error moved-nowhere source.imap[1].done_folder"]),
        (IMAP + 'password_env = "P"\nca_file = "/nowhere"', ["error file-unreadable source.imap[1].ca_file"]),
        (IMAP.replace("imap.example.com", "imaps://imap.example.com") + 'password_env = "P"', ["error no-host source.imap[1].host"]),
        (IMAP.replace("imap.example.com", "imap.example.com:993") + 'password_env = "P"', ["error no-host source.imap[1].host"]),
        (IMAP.replace("imap.example.com", "::1") + 'password_env = "P"', []),
        (IMAP.replace("imap.example.com", "a b") + 'password_env = "P"', ["error no-host source.imap[1].host"]),
        (IMAP + 'password_env = "P"\n' + IMAP + 'password_env = "P"', ["error place-taken source.imap[2]"]),
        (IMAP + 'password_env = "P"\n' + IMAP + 'password_env = "P"\nfolder = "TLS"', []),
        # oauth
        (IMAP + '[source.imap.oauth]\nprovider = "microsoft"\nclient_id = "x"\n' + CLIENT, []),
        (IMAP + '[source.imap.oauth]\nprovider = "microsoft"\nclient_id = "x"', ["error no-login source.imap[1].oauth", "error no-tenant source.imap[1].oauth"]),
        (IMAP + '[source.imap.oauth]\nprovider = "google"\nclient_id = "x"', ["error no-login source.imap[1].oauth"]),
        (IMAP + '[source.imap.oauth]\nprovider = "google"\nclient_id = "x"\nkey_file = "/nowhere"', ["error file-unreadable source.imap[1].oauth.key_file"]),
        (IMAP + '[source.imap.oauth]\nprovider = "other"\nclient_id = "x"\nclient_secret_env = "S"', ["error no-token-url source.imap[1].oauth"]),
        (IMAP + '[source.imap.oauth]\nprovider = "other"\nclient_id = "x"\nclient_secret_env = "S"\ntoken_url = "http://t.example/"', ["error plain-http source.imap[1].oauth.token_url"]),
        (GRAPH + CLIENT, []),
        (GRAPH, ["error no-login source.graph[1].oauth", "error no-tenant source.graph[1].oauth"]),
        (GRAPH.replace("microsoft", "google") + 'key_file = "/nowhere"', ["error file-unreadable source.graph[1].oauth.key_file", "error provider-unfit source.graph[1].oauth.provider"]),
        (GRAPH.replace("microsoft", "other") + CLIENT + 'token_url = "https://t.example/"', []),
        (GRAPH.replace("tls@example.com", "tls") + CLIENT, ["error no-mailbox source.graph[1].mailbox"]),
        (GRAPH.replace("\n[source", '\nendpoint = "graph"\n[source') + CLIENT, ["error no-address source.graph[1].endpoint"]),
        # s3
        (S3, []),
        (S3 + 'access_key_id = "x"', ["error no-login source.s3[1]"]),
        (S3 + 'secret_key_env = "S"', ["error no-login source.s3[1].access_key_id"]),
        (S3 + 'access_key_id = "x"\nsecret_key_env = "S"\nsecret_key_command = "c"', ["error two-logins source.s3[1]"]),
        (S3 + 'endpoint = "http://s3.example"', ["error plain-http source.s3[1].endpoint"]),
        (S3 + 'endpoint = "http://127.0.0.1:9000"', []),
        (S3 + 'endpoint = "s3.example"', ["error no-address source.s3[1].endpoint"]),
        (S3 + 'after = "move"\ndone_prefix = ""', ["error moved-nowhere source.s3[1].done_prefix"]),
        # maildir
        ('[[source.maildir]]\npath = "mail"', ["error relative-path source.maildir[1].path"]),
        ('[[source.maildir]]\npath = "/nowhere"', ["error no-folder source.maildir[1].path"]),
        ('[[source.maildir]]\npath = "/tmp"', ["error no-maildir source.maildir[1].path"]),
    ],
)  # fmt: skip
def test_what_can_not_work_or_is_not_meant_is_told(text: str, expected: list[str]) -> None:
    assert told(lint(text)) == expected


def test_every_finding_says_something_to_do() -> None:
    for text in (GRAPH, IMAP, S3 + 'access_key_id = "x"', HTTPS + HTTPS, '[[source.https]]\nlisten = "[::]:1"'):
        assert all(finding.fix for finding in lint(text))


def a_maildir(path: Path) -> Path:
    for part in ("cur", "new", "tmp"):
        (path / part).mkdir(parents=True)
    return path


def test_a_maildir_that_is_there_is_fine(tmp_path: Path) -> None:
    path = a_maildir(tmp_path / "Maildir")
    text = f'[[source.maildir]]\npath = "{path}"\n'
    assert told(lint(text)) == []
    assert told(lint(text + text)) == ["error place-taken source.maildir[2]"]
    assert told(lint(text + 'after = "move"\ndone_folder = ""')) == [
        "error moved-nowhere source.maildir[1].done_folder"
    ]


def test_secrets_are_looked_at_but_not_read(tmp_path: Path) -> None:
    """Readable by all: a warning. Empty, a folder, a pipe: what they are, without waiting for a writer."""
    secret = tmp_path / "password"
    text = IMAP + f'password_file = "{secret}"'
    secret.write_text("hunter2")
    secret.chmod(0o640)
    assert told(lint(text)) == []
    secret.chmod(0o644)
    assert told(lint(text)) == ["warning secret-exposed source.imap[1].password_file"]
    secret.write_text("")
    secret.chmod(0o600)
    assert told(lint(text)) == ["error secret-empty source.imap[1].password_file"]
    notes = lint(IMAP + 'password_env = "P"')
    assert [finding.code for finding in notes if finding.where.endswith("_env")] == ["variable-unset"]
    assert not [finding for finding in lint(IMAP + 'password_env = "P"', P="x") if finding.where.endswith("_env")]


def test_a_list_of_domains_has_its_bad_lines_named(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.write_text("".join(f"bad {n}\n" for n in range(30)))
    text = HTTPS + f'[domains]\nown_file = "{own}"'
    found = lint(text)
    assert len(told(found)) == 21
    assert f'{own} line 1: "bad 0" is no domain name' == found[0].message
    assert "10 more lines" in found[20].message
    own.write_text("*.example.com\n")
    assert told(lint(text)) == []
    notes = lint(HTTPS + f'[domains]\nown = ["*.example.org"]\nown_file = "{own}"')
    assert [finding.where for finding in notes if finding.code == "name-not-covered"] == ["domains.own[1]"]
    own.write_bytes(b"b\xfccher.example\n")
    assert told(lint(text)) == ["error no-text domains.own_file"]


def make_pair(folder: Path, name: str, days: int) -> tuple[Path, Path]:
    """A certificate that lasts so many days from NOW, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, "tls.example.com")])
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=90))
        .not_valid_after(NOW + timedelta(days=days))
        .sign(key, hashes.SHA256())
    )
    paths = folder / f"{name}.pem", folder / f"{name}.key"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    paths[1].chmod(0o640)
    return paths


def test_certificates_and_keys_are_read_and_matched(tmp_path: Path) -> None:
    good, key = make_pair(tmp_path, "good", 60)
    other, other_key = make_pair(tmp_path, "other", 5)
    ended, ended_key = make_pair(tmp_path, "ended", -1)

    def pair(certificate: Path, key: Path) -> list[str]:
        text = '[[source.https]]\nlisten = "0.0.0.0:8460"\n'
        return told(lint(text + f'certificate = "{certificate}"\nkey = "{key}"'))

    assert pair(good, key) == []
    assert pair(good, other_key) == ["error certificate-unfit source.https[1].certificate"]
    assert pair(key, good) == [
        "error certificate-unfit source.https[1].certificate",
        "warning secret-exposed source.https[1].key",
    ]
    assert pair(other, other_key) == ["warning certificate-ends source.https[1].certificate"]
    assert pair(ended, ended_key) == ["warning certificate-ended source.https[1].certificate"]
    key.chmod(0o644)
    assert pair(good, key) == ["warning secret-exposed source.https[1].key"]


# --- Lines ----------------------------------------------------------------------------------------------------------


def test_each_setting_is_found_in_its_line() -> None:
    text = uncommented(sample())
    lines = lines_of(text)
    written = text.split("\n")
    for table in tables():
        path = table.path.replace("source.imap", "source.imap[1]").replace("source.graph", "source.graph[1]")
        path = path if "[" in path or not table.many else f"{path}[1]"
        assert written[lines[path] - 1].startswith(table.heading)
        for key in table.keys:
            assert written[lines[f"{path}.{key.name}"] - 1].startswith(f"{key.name} = ")


@pytest.mark.parametrize(
    ("where", "line"),
    [
        ("source.https[2].listen", 8),
        ("source.https[2].nothing", 7),
        ("source.https[2]", 7),
        ("source.https[1].proxies[2]", 2),
        ("source.imap[1].oauth.tenant", 14),
        pytest.param("source.imap[2].oauth.tenant", 15, id="a dotted key is found by its table"),
        ("domains.own", 18),
        ("source.s3[1]", None),
        ("top of the file", None),
    ],
)
def test_tables_are_counted_and_texts_skipped(where: str, line: int | None) -> None:
    """Lines within a list or a long text are none of keys and headings."""
    text = """[[source.https]]
proxies = [ # "
  "[x",
  "]]",
]
path = "/#["
[[source.https]]
listen = "x"
[[source.imap]]
user = '''
[domains]
own = 1'''
[source.imap.oauth]
tenant = "a"
[[source.imap]]
oauth.tenant = "b"
[domains]
own = "any"
"""
    assert line_of(lines_of(text), where) == line


@given(st.text(max_size=80), st.text(max_size=20))
def test_any_text_has_lines(text: str, where: str) -> None:
    line = line_of(lines_of(text), where)
    assert line is None or 1 <= line <= text.count("\n") + 1


# --- The command ----------------------------------------------------------------------------------------------------


def test_check_ends_with_the_verdict(tmp_path: Path) -> None:
    """0 usable, be it with warnings; 1 not usable; 2 no file."""
    path = tmp_path / "tlsrpt.toml"
    path.write_text(tlsrpt("config", "example").stdout)
    done = tlsrpt("config", "check", path)
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, f"{path}: ok")
    path.write_text('[[source.https]]\nlisten = "0.0.0.0:8460"\n')
    done = tlsrpt("config", "check", TLSRPT_CONFIG=str(path))
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, f"{path}: usable, with a warning")
    assert "Fix: set certificate and key" in done.stdout
    path.write_text(HTTPS + HTTPS)
    done = tlsrpt("config", "check", "--config", path)
    assert (done.returncode, done.stdout.splitlines()[0]) == (1, f"{path}: not usable")
    assert "address-taken at source.https[2].listen (line 4): " in done.stdout
    done = tlsrpt("config", "check", tmp_path / "none")
    assert (done.returncode, done.stdout) == (2, "")
    assert (
        done.stderr
        == f"tlsrpt: {tmp_path}/none: can't be read: No such file or directory; `tlsrpt config example` writes one\n"
    )
    path.write_bytes(b"\xff")
    done = tlsrpt("config", "check", path)
    assert (done.returncode, "is not UTF-8 (line 1)" in done.stdout) == (1, True)


def test_a_missing_extra_is_told_with_its_command(tmp_path: Path) -> None:
    """As where tlsrpt was installed without the libraries that a source needs."""
    path = tmp_path / "c.toml"
    path.write_text(HTTPS + S3)
    program = (
        "import sys; sys.modules['httptools'] = sys.modules['obstore'] = None;"
        "from tlsrpt.cli.main import run; sys.exit(run(['config', 'check', *sys.argv[1:]]))"
    )
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1, done.stderr
    assert "extra-missing at source.https[1]" in done.stdout
    assert "pip install 'tlsrpt[receive]'" in done.stdout
    assert "pip install 'tlsrpt[s3]'" in done.stdout


def test_the_short_example_is_the_shape_that_is_promised() -> None:
    data = tomllib.loads(tlsrpt("config", "example", "--short").stdout)
    assert data == {
        "store": {"url": "sqlite:////var/lib/tlsrpt/tlsrpt.db"},
        "domains": {"own": ["example.com"]},
        "source": {"https": [{"listen": "127.0.0.1:8460", "path": "/v1/tlsrpt"}]},
    }


def test_a_number_without_an_end_is_found() -> None:
    assert is_endless({"a": [{"b": math.inf}]})
    assert not is_endless({"a": [{"b": 1.5, "c": "inf"}]})


def test_the_handbook_has_every_key() -> None:
    """`python docs/make_configuration.py` writes the page anew when a description has changed."""
    script = DOCS / "make_configuration.py"
    made = runpy.run_path(str(script))
    assert made["PAGE"].read_text(encoding="utf-8") == made["page"](), f"the page lags behind; run {script}"
