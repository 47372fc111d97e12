"""Publishing through a DNS provider's API, by dns-lexicon (extra `[dns-providers]`), and which provider a zone is with.

Lexicon takes its credentials from its own environment variables (LEXICON_<PROVIDER>_...) or from its files
(lexicon_<provider>.yml in a folder): we never see them, and what a provider answers is not repeated, for a URL or a
body may hold a token.

Providers know no transactions. What was done before a failure is undone, and what is left is said.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from tlsrpt.core.errors import ConfigError
from tlsrpt.core.publish import Place
from tlsrpt.core.zonetext import format_strings, parse_zone_text
from tlsrpt.dns.change import Change, PublishError
from tlsrpt.dns.exchange import Server

if TYPE_CHECKING:
    from lexicon.client import Client

# These hand the content on as zone text, where a bare ; begins a comment; the others take the value itself (D-80).
_ZONE_TEXT = frozenset({"ddns", "localzone"})
EXTRA = "pip install 'tlsrpt[dns-providers]'"


class KnownProvider(Struct, frozen=True):
    """Who serves a zone, by the names of its servers: what people call it, the form it wants, lexicon's name for it."""

    title: str
    place: Place
    lexicon: str


# Endings of name server names. Only those whose form field-notes-domains.md (d) knows, or that lexicon serves.
_BY_NAME_SERVER = {
    "ns.cloudflare.com": KnownProvider("Cloudflare", "cloudflare", "cloudflare"),
    "azure-dns.com": KnownProvider("Azure DNS", "azure", "azure"),
    "azure-dns.net": KnownProvider("Azure DNS", "azure", "azure"),
    "azure-dns.org": KnownProvider("Azure DNS", "azure", "azure"),
    "azure-dns.info": KnownProvider("Azure DNS", "azure", "azure"),
    "googledomains.com": KnownProvider("Google Cloud DNS", "google", "googleclouddns"),
    "ovh.net": KnownProvider("OVH", "form", "ovh"),
    "anycast.me": KnownProvider("OVH", "form", "ovh"),
    "hetzner.com": KnownProvider("Hetzner", "form", "hetzner"),
    "hetzner.de": KnownProvider("Hetzner", "form", "hetzner"),
    "desec.io": KnownProvider("deSEC", "form", "desec"),
    "desec.org": KnownProvider("deSEC", "form", "desec"),
    "domaincontrol.com": KnownProvider("GoDaddy", "form", "godaddy"),
    "registrar-servers.com": KnownProvider("Namecheap", "form", "namecheap"),
    "gandi.net": KnownProvider("Gandi", "form", "gandi"),
    "digitalocean.com": KnownProvider("DigitalOcean", "form", "digitalocean"),
    "linode.com": KnownProvider("Linode", "form", "linode4"),
    "dnsimple.com": KnownProvider("DNSimple", "form", "dnsimple"),
    "inwx.de": KnownProvider("INWX", "form", "inwx"),
    "transip.net": KnownProvider("TransIP", "form", "transip"),
    "porkbun.com": KnownProvider("Porkbun", "form", "porkbun"),
}
_ROUTE53 = KnownProvider("Amazon Route 53", "route53", "route53")


def provider_of(name_servers: Sequence[str]) -> KnownProvider | None:
    """The provider that serves a zone, where its name servers tell; None for one's own servers and for unknown ones."""
    found = {_provider(host) for host in name_servers}
    return found.pop() if len(found) == 1 else None


def _provider(host: str) -> KnownProvider | None:
    if ".awsdns-" in f".{host}":
        return _ROUTE53
    for ending, known in _BY_NAME_SERVER.items():
        if host == ending or host.endswith("." + ending):
            return known
    return None


class Provider:
    """A zone at a provider.

    Args:
        name: as lexicon calls it.
        servers: name servers that lexicon finds the zone with: ours, not the machine's.
        folder: holds lexicon's own configuration files.
    Raises:
        ConfigError: the extra is missing, or lexicon does not know the provider.
    """

    def __init__(self, name: str, zone: str, ttl: int, servers: Sequence[Server], folder: Path | None = None) -> None:
        try:
            from lexicon.client import Client
            from lexicon.config import ConfigResolver
            from lexicon.exceptions import ProviderNotAvailableError
        except ImportError as error:
            raise ConfigError("publishing at a DNS provider needs an extra", fix=EXTRA) from error
        _ask_our_servers(servers)
        settings = {"provider_name": name, "domain": zone, "ttl": ttl, "resolve_zone_name": True}
        config = ConfigResolver().with_dict(settings).with_env()
        if folder is not None:
            config = config.with_config_dir(folder)
        self.name, self._zone, self._touched = name, zone, False
        try:
            self._client: Client = self._run("found", lambda: Client(config))
        except PublishError as error:
            if isinstance(error.__cause__, ProviderNotAvailableError):
                raise ConfigError(str(error.__cause__)) from error
            raise

    def put(self, change: Change) -> None:
        """Carry out a change; where it can't be completed, undo what was done of it.

        Raises:
            PublishError: says what DNS holds then.
        """
        self._touched = False
        try:
            self._run("changed", lambda: self._carry_out(change))
        except PublishError as error:
            if self._touched:
                self._put_back(change, error)
            raise PublishError(f"{error.what}; nothing was changed", where=change.name, fix=error.fix) from error

    def _put_back(self, change: Change, error: PublishError) -> None:
        try:
            self._run("put back", lambda: self._carry_out(change.undo, insist=False))
        except PublishError as second:
            what = f"{error.what}, and putting it back failed too: look at the zone yourself"
            raise PublishError(what, where=change.name) from second

    def _carry_out(self, change: Change, *, insist: bool = True) -> None:
        with self._client as operations:
            there = operations.list_records("TXT", change.name)
            held = [_content(record) for record in there]
            if insist and sorted(held) != sorted(change.before):
                what = f"{self.name} holds other TXT records at the name than DNS serves"
                raise PublishError(what, where=change.name, fix="wait until its servers have the zone, then try again")
            old = [record for record, text in zip(there, held, strict=True) if text in change.remove]
            new = [text.decode("ascii") for text in change.add if text not in held]
            self._touched = True
            if len(old) == len(new) == 1:  # in one step: no moment with two records, or none
                operations.update_record(old[0].get("id"), "TXT", change.name, self._written(new[0]))
                return
            for record in old:
                operations.delete_record(record.get("id"), "TXT", change.name, record["content"])
            for text in new:
                operations.create_record("TXT", change.name, self._written(text))

    def _written(self, text: str) -> str:
        return format_strings(text) if self.name in _ZONE_TEXT else text

    def _run(self, done: str, work: Callable[[], Any]) -> Any:
        """Run lexicon's code; whatever it raises is told by its kind alone, for its words may hold a token."""
        try:
            return work()
        except PublishError:
            raise
        except Exception as error:  # providers raise everything that there is
            status = getattr(getattr(error, "response", None), "status_code", None)
            said = f"{type(error).__name__}" + (f", HTTP status {status}" if status else "")
            raise PublishError(
                f"the zone could not be {done} at {self.name} ({said})",
                where=self._zone,
                fix=f"check the credentials, LEXICON_{self.name.upper()}_... or lexicon_{self.name}.yml",
            ) from error


def _content(record: dict[str, Any]) -> bytes:
    """The octets of a TXT record as a provider lists it: bare, or quoted as in a zone file."""
    text = str(record.get("content", ""))
    return parse_zone_text(text).data if text.startswith('"') else text.encode("utf-8", "surrogateescape")


def _ask_our_servers(servers: Sequence[Server]) -> None:
    """Lexicon finds the zone through dnspython's default resolver: let that ask whom we ask."""
    import dns.resolver

    ours = dns.resolver.Resolver(configure=False)
    ours.nameservers = [server.address for server in servers]
    ours.nameserver_ports = {server.address: server.port for server in servers}
    dns.resolver.default_resolver = ours
