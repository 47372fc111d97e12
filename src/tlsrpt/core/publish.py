"""A TXT record in the exact form that each place wants it: zone file, panels, APIs, tools (field-notes-domains.md (d)).

Most broken records were right before a panel or a tool quoted, escaped, cut or doubled something. Each form here is
what that one place turns into the wanted octets.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from typing import Literal, get_args

from msgspec import Struct

from tlsrpt.core.errors import TlsrptError
from tlsrpt.core.zonetext import format_strings

Place = Literal[
    "bind", "route53", "cloudflare", "azure", "google", "form", "octodns", "dnscontrol", "terraform", "nsupdate",
    "lexicon", "json",
]  # fmt: skip
PLACES: tuple[Place, ...] = get_args(Place)
WITH_DOMAIN: frozenset[Place] = frozenset(("route53", "azure", "google", "nsupdate", "lexicon"))
DEFAULT_TTL = 3600  # senders read it about once a day; 300 while changing


class TxtRecord(Struct, frozen=True, kw_only=True):
    """A record to publish: the name below its domain, the octets that DNS shall hold, and the TTL in seconds.

    Without a domain the name stays relative; not every form can be written then (WITH_DOMAIN).
    """

    label: str
    value: str
    domain: str | None = None
    ttl: int = DEFAULT_TTL

    @property
    def name(self) -> str:
        """The full name without final dot; the label where there is no domain."""
        return f"{self.label}.{self.domain}" if self.domain else self.label


class PublishError(TlsrptError):
    """A form that can't be written from what is known."""


def publish_form(record: TxtRecord, place: Place) -> str:
    """The record as one place wants it, ready to paste.

    Raises:
        PublishError: the place wants the full name, and the domain is not known.
    """
    if place in WITH_DOMAIN and record.domain is None:
        raise PublishError(f"{place} wants the full name of the record", fix="name the domain")
    return _FORMS[place](record)


def publish_forms(record: TxtRecord) -> dict[Place, str]:
    """The record in every form that can be written."""
    return {place: publish_form(record, place) for place in PLACES if record.domain or place not in WITH_DOMAIN}


def _quoted(record: TxtRecord) -> str:
    return format_strings(record.value)


def _bind(record: TxtRecord) -> str:
    dot = "." if record.domain else ""
    return f"{record.name}{dot} {record.ttl} IN TXT {_quoted(record)}"  # unquoted, ; would begin a comment


def _nsupdate(record: TxtRecord) -> str:
    return f"update add {record.name}. {record.ttl} TXT {_quoted(record)}\nsend"


def _route53(record: TxtRecord) -> str:
    """A change batch for `aws route53 change-resource-record-sets`: the quotes are part of the value."""
    record_set = {
        "Name": record.name,
        "Type": "TXT",
        "TTL": record.ttl,
        "ResourceRecords": [{"Value": _quoted(record)}],
    }
    return json.dumps({"Changes": [{"Action": "CREATE", "ResourceRecordSet": record_set}]}, indent=2)


def _cloudflare(record: TxtRecord) -> str:
    """The body for the API; the panel adds the quotes itself."""
    body = {"type": "TXT", "name": record.name, "content": _quoted(record), "ttl": record.ttl, "proxied": False}
    return json.dumps(body)


def _azure(record: TxtRecord) -> str:
    """Azure keeps quotes and backslashes as they are: the bare value."""
    return (
        "az network dns record-set txt add-record --resource-group <group> "
        f"--zone-name {record.domain} --record-set-name {record.label} --value {shlex.quote(record.value)}"
    )


def _google(record: TxtRecord) -> str:
    """Without the inner quotes the value is cut at spaces; a comma would begin a second record (gcloud's ^DELIM^)."""
    data = f"^|^{_quoted(record)}" if "," in record.value else _quoted(record)
    return (
        f"gcloud dns record-sets create {record.name}. --zone=<zone> --type=TXT --ttl={record.ttl} "
        f"--rrdatas={shlex.quote(data)}"
    )


def _form(record: TxtRecord) -> str:
    lines = [f"Name:  {record.label}", "Type:  TXT", f"TTL:   {record.ttl}", f"Value: {record.value}"]
    return "\n".join(lines)  # panels append the domain to the name


def _octodns(record: TxtRecord) -> str:
    escaped = record.value.replace(";", r"\;").replace("'", "''")
    return f"{record.label}:\n  ttl: {record.ttl}\n  type: TXT\n  value: '{escaped}'"


def _dnscontrol(record: TxtRecord) -> str:
    return f'TXT("{record.label}", {json.dumps(record.value)}, TTL({record.ttl})),'


def _terraform(record: TxtRecord) -> str:
    """The provider of Cloudflare, version 5, wants the quotes; the one of AWS would add them."""
    return "\n".join(
        [
            f'resource "cloudflare_dns_record" "{"_".join(re.findall("[a-z]+", record.label))}" {{',
            "  zone_id = var.zone_id",
            f'  name    = "{record.label}"',
            '  type    = "TXT"',
            f"  ttl     = {record.ttl}",
            f"  content = {json.dumps(_quoted(record))}",
            "}",
        ]
    )


def _lexicon(record: TxtRecord) -> str:
    return (
        f"lexicon <provider> create {record.domain} TXT --name {record.label} --content {shlex.quote(record.value)} "
        f"--ttl {record.ttl}"
    )


def _json(record: TxtRecord) -> str:
    return json.dumps({"name": record.name, "type": "TXT", "ttl": record.ttl, "value": record.value})


_FORMS: dict[Place, Callable[[TxtRecord], str]] = {
    "bind": _bind,
    "route53": _route53,
    "cloudflare": _cloudflare,
    "azure": _azure,
    "google": _google,
    "form": _form,
    "octodns": _octodns,
    "dnscontrol": _dnscontrol,
    "terraform": _terraform,
    "nsupdate": _nsupdate,
    "lexicon": _lexicon,
    "json": _json,
}
