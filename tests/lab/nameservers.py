"""Real name servers for the lab: Knot with a signed tree of its own root, Unbound that validates against it.

Every zone is below `example`. The addresses are of 127/8 and drawn anew for each run, so that two runs can live side by
side; port 53 is the authoritative servers' because resolvers know no other.
"""

from __future__ import annotations

import asyncio
import base64
import secrets
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.lab.servers import ENVIRONMENT, PATIENCE_S, free_port, run
from tlsrpt.dns.exchange import Exchange, NoReplyError, Patience, Server
from tlsrpt.dns.wire import encode_question

SOA = "$TTL 3600\n@ SOA ns.example. hostmaster.example. 1 3600 600 86400 1\n@ NS ns.example.\n"
KEY_NAME = "upd.example"


@dataclass
class Tree:
    """What is served: zone texts without SOA and NS, by zone name.

    signed: zones whose parent holds their DS; bogus: zones that the parent gives a DS of no key.
    second: zones as a second server has them, which both are named for.
    updatable: zones that take updates with the key.
    """

    zones: Mapping[str, str]
    signed: frozenset[str] = frozenset()
    bogus: frozenset[str] = frozenset()
    second: Mapping[str, str] = field(default_factory=dict)
    updatable: frozenset[str] = frozenset()


@dataclass
class NameServers:
    """The servers as they run: the resolver, the primary, the second server, and the key for updates."""

    resolver: Server
    primary: Server
    secondary: Server
    secret: str
    folder: Path

    @property
    def key_file(self) -> Path:
        path = self.folder / "upd.key"
        path.write_text(f'key "{KEY_NAME}" {{\n\talgorithm hmac-sha256;\n\tsecret "{self.secret}";\n}};\n')
        path.chmod(0o600)
        return path

    def flush(self) -> None:
        """Make the resolver forget all it holds."""
        run("unbound-control", "-c", str(self.folder / "unbound.conf"), "flush_zone", ".")


@contextmanager
def name_servers(lab: Path, tree: Tree) -> Iterator[NameServers]:
    """Start the servers, wait until they answer, and stop them in the end."""
    block = f"127.{secrets.randbelow(200) + 20}.{secrets.randbelow(250) + 1}"
    primary, secondary = Server(f"{block}.54"), Server(f"{block}.55")
    resolver = Server(f"{block}.53", free_port())
    found = NameServers(resolver, primary, secondary, base64.b64encode(secrets.token_bytes(32)).decode(), lab)
    for name in ("run", "run2", "zones", "zones2", "db", "db2"):
        (lab / name).mkdir()
    signed = {".", "example", *tree.signed, *tree.bogus}
    (lab / "knot.conf").write_text(_knot(lab, "", primary, {".", "example", *tree.zones}, signed, tree, found.secret))
    (lab / "knot2.conf").write_text(_knot(lab, "2", secondary, set(tree.second), set(), tree, found.secret))
    parent = {zone: _delegation(lab, zone, tree) for zone in tree.zones}
    root = f"{SOA}example. NS ns.example.\n{_ds(lab, 'example')}ns.example. A {primary.address}\n"
    anchor = _ds(lab, ".")
    (lab / "root.ds").write_text(anchor)
    (lab / "root.hints").write_text(f". 3600 NS ns.example.\nns.example. 3600 A {primary.address}\n")
    hosts = f"ns.example. A {primary.address}\nns2.example. A {secondary.address}\n"
    _write(lab / "zones", ".", root)
    _write(lab / "zones", "example", SOA + hosts + "".join(parent.values()))
    for zone, text in tree.zones.items():
        both = "@ NS ns2.example.\n" if zone in tree.second else ""
        _write(lab / "zones", zone, SOA + both + text)
    for zone, text in tree.second.items():
        _write(lab / "zones2", zone, SOA + "@ NS ns2.example.\n" + text)
    (lab / "unbound.conf").write_text(_unbound(lab, resolver))
    started = []
    try:
        started.append(_start(lab, "knotd", "-c", str(lab / "knot.conf")))
        _wait(primary, "example", recursion=False)
        if tree.second:
            started.append(_start(lab, "knotd", "-c", str(lab / "knot2.conf")))
            _wait(secondary, sorted(tree.second)[0], recursion=False)
        started.append(_start(lab, "unbound", "-d", "-c", str(lab / "unbound.conf")))
        _wait(resolver, "example", recursion=True)
        yield found
    finally:
        for process in reversed(started):
            process.terminate()
        for process in started:
            process.wait(PATIENCE_S)


def _start(lab: Path, *argv: str) -> subprocess.Popen[bytes]:
    with (lab / f"{argv[0]}.out").open("ab") as out:
        return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=ENVIRONMENT)


def _wait(server: Server, zone: str, *, recursion: bool) -> None:
    """Until the server answers for the zone."""

    async def ask() -> str:
        with Exchange() as exchange:
            try:
                patience = Patience(tries_s=(0.1,))
                question = encode_question(zone, "SOA")
                return (await exchange.ask(server, question, recursion=recursion, patience=patience)).rcode
            except NoReplyError as error:
                return error.what

    until = time.monotonic() + PATIENCE_S
    while (said := asyncio.run(ask())) != "NOERROR":
        assert time.monotonic() < until, f"{server} does not serve {zone}: {said}"


def _write(folder: Path, zone: str, text: str) -> None:
    (folder / f"{zone.strip('.')}.zone").write_text(text)


def _delegation(lab: Path, zone: str, tree: Tree) -> str:
    both = f"{zone}. NS ns2.example.\n" if zone in tree.second else ""
    ds = _ds(lab, zone) if zone in tree.signed else f"{zone}. DS 4711 13 2 {'AB' * 32}\n" if zone in tree.bogus else ""
    return f"{zone}. NS ns.example.\n{both}{ds}"


def _ds(lab: Path, zone: str) -> str:
    """Make the keys of a zone; its DS record."""
    conf, name = str(lab / "knot.conf"), zone if zone == "." else f"{zone}."
    run("keymgr", "-c", conf, name, "generate", "algorithm=ecdsap256sha256", "ksk=yes", "zsk=no")
    run("keymgr", "-c", conf, name, "generate", "algorithm=ecdsap256sha256", "ksk=no", "zsk=yes")
    return next(line + "\n" for line in run("keymgr", "-c", conf, name, "ds").splitlines() if " 13 2 " in line)


def _knot(lab: Path, n: str, server: Server, zones: set[str], signed: set[str], tree: Tree, secret: str) -> str:
    head = f"""\
server:
    rundir: {lab}/run{n}
    listen: [ {server.address}@{server.port} ]
    pidfile: {lab}/run{n}/knot.pid
log:
  - target: {lab}/run{n}/knot.log
    any: info
database:
    storage: {lab}/db{n}
key:
  - id: {KEY_NAME}
    algorithm: hmac-sha256
    secret: {secret}
acl:
  - id: upd
    key: {KEY_NAME}
    action: [update, transfer]
policy:
  - id: p
    algorithm: ecdsap256sha256
    nsec3: off
template:
  - id: default
    storage: {lab}/zones{n}
    zonefile-sync: -1
    zonefile-load: difference-no-serial
    journal-content: all
zone:
"""
    lines = []
    for zone in sorted(zones):
        lines.append(f'  - domain: "{zone if zone == "." else zone + "."}"\n    file: "{zone.strip(".")}.zone"\n')
        if zone in signed:
            lines.append("    dnssec-signing: on\n    dnssec-policy: p\n")
        if zone in tree.updatable:
            lines.append("    acl: [upd]\n")
    return head + "".join(lines)


def _unbound(lab: Path, server: Server) -> str:
    return f"""\
server:
  directory: "{lab}/run"
  chroot: ""
  username: ""
  pidfile: "{lab}/run/unbound.pid"
  use-syslog: no
  interface: {server.address}@{server.port}
  access-control: 127.0.0.0/8 allow
  do-not-query-localhost: no
  do-ip6: no
  root-hints: "{lab}/root.hints"
  trust-anchor-file: "{lab}/root.ds"
  module-config: "validator iterator"
  cache-max-ttl: 5
  cache-max-negative-ttl: 1
  infra-host-ttl: 1
  ede: yes
remote-control:
  control-enable: yes
  control-interface: {lab}/run/unbound.ctl
  control-use-cert: no
"""
