"""Where a reported failure happened: the thing that somebody has to look at.

One expired certificate on a host that serves many domains is one problem, so failures are grouped by place, and the
domains that meet it are listed there. Where a sender names no host, the place is the domain's MX hosts as a whole.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from tlsrpt.core.causes import Cause
from tlsrpt.core.results import result_type
from tlsrpt.store.values import FailureRow

PlaceKind = Literal["mx", "policy-host", "tlsa-record", "sts-record", "domain", "sender"]


class Spot(Struct, frozen=True, kw_only=True):
    """A place: its kind, what to call it, and the host to put into a command ("" when the sender named none)."""

    kind: PlaceKind
    name: str
    host: str = ""
    named: bool = True  # False: the sender named no host, so it is one of the domain's MX hosts


def _zone_of(host: str, domain: str) -> str:
    """The zone that a host's name is probably in: the domain's where it is below that, else the name above it."""
    if host.endswith(f".{domain}"):
        return domain
    parent = host.partition(".")[2]
    return parent if "." in parent else host


def spot_of(row: FailureRow, cause: Cause | None) -> Spot:
    """The place of a failure: where its cause sits if that is known, else where its result type points."""
    registered = result_type(row.result_type)
    kind: PlaceKind = cause.place if cause else registered.place if registered else "mx"
    domain = row.policy_domain if row.policy_type == "sts" and row.policy_domain else row.report_domain
    host = row.mx_host or (row.policy_domain if row.policy_type == "tlsa" else "")
    if row.result_type == "dnssec-invalid" and host and kind in ("tlsa-record", "domain"):
        return Spot(kind="domain", name=_zone_of(host, domain), host=host)
    if kind == "policy-host":
        return Spot(kind=kind, name=f"mta-sts.{domain}", host=f"mta-sts.{domain}")
    if kind == "sts-record":
        return Spot(kind=kind, name=f"_mta-sts.{domain}")
    if kind == "tlsa-record":
        # Senders that file DANE under the recipient domain and name no host leave it open which MX it was (F-31).
        return Spot(kind=kind, name=f"_25._tcp.{host}", host=host if host != row.report_domain else row.mx_host)
    if kind == "domain":
        return Spot(kind=kind, name=domain)
    if kind == "sender":
        return Spot(kind=kind, name=row.sender)
    if not row.mx_host and row.receiving_ip:
        return Spot(kind="mx", name=row.receiving_ip)
    if not host:
        return Spot(kind="mx", name=f"MX hosts of {domain}", named=False)
    return Spot(kind="mx", name=host, host=host)
