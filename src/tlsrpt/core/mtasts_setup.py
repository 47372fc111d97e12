"""What a domain needs to publish an MTA-STS policy: the record, the file, a web server for it, the steps in order.

The order is what people get wrong (field-notes-domains.md D-32, D-33, D-40): senders keep a policy for its max_age, so
whatever is removed or changed too early is missing while old copies still demand it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from msgspec import Struct

from tlsrpt.core.mtasts import DAY, WEEK, Mode, StsPolicy, format_policy
from tlsrpt.core.stsrecord import LABEL, format_sts_record

WebServer = Literal["nginx", "caddy", "apache"]
DEFAULT_MAX_AGE: dict[Mode, int] = {"testing": DAY, "enforce": 2 * WEEK, "none": DAY}  # D-39


class PolicyPlan(Struct, frozen=True, kw_only=True):
    """All that is to be put up for one domain.

    Attributes:
        record_name, record: the TXT record.
        url, policy: where the file is fetched, and its text.
        path: where the snippets expect the file on the web server.
        web_servers: a configuration snippet for each.
        steps: what to do now, in this order; `change` and `leave` are the orders for later.
    """

    domain: str
    record_name: str
    record: str
    url: str
    policy: str
    path: str
    web_servers: dict[WebServer, str]
    steps: tuple[str, ...]
    change: tuple[str, ...]
    leave: tuple[str, ...]


def fresh_id(now: datetime) -> str:
    """An id for the record, from the time: letters and digits, another one every second."""
    return now.strftime("%Y%m%dT%H%M%S")


def plan_policy(domain: str, policy: StsPolicy, *, policy_id: str, old_max_age: int | None = None) -> PolicyPlan:
    """Plan a policy for a domain.

    Args:
        old_max_age: max_age of the policy that is published now, for how long to wait; None: none, or not known.
    Raises:
        ValueError: the id or the policy is not valid.
    """
    host = f"mta-sts.{domain}"
    url = f"https://{host}/.well-known/mta-sts.txt"
    path = f"/var/www/{host}/.well-known/mta-sts.txt"
    record = format_sts_record(policy_id)
    wait = _duration(old_max_age) if old_max_age else "the max_age of the policy published before"
    leave = _leave(domain, wait)
    return PolicyPlan(
        domain=domain,
        record_name=f"{LABEL}.{domain}",
        record=record,
        url=url,
        policy=format_policy(policy),
        path=path,
        web_servers={"nginx": _nginx(host), "caddy": _caddy(host), "apache": _apache(host)},
        steps=leave if policy.mode == "none" else _first(domain, url, path, record, policy),
        change=_change(wait),
        leave=leave,
    )


def _first(domain: str, url: str, path: str, record: str, policy: StsPolicy) -> tuple[str, ...]:
    host = f"mta-sts.{domain}"
    last = (
        "Read the TLS reports. After two to four weeks in testing without failures that are yours, write mode: enforce "
        f"and max_age: {DEFAULT_MAX_AGE['enforce']} into the file, then give the record a new id."
        if policy.mode == "testing"
        else "Read the TLS reports. If senders report failures that are yours, go back: mode: testing, and a new id."
    )
    return (
        f"Point {host} at the web server (A and AAAA, or CNAME).",
        f"Get a certificate for {host}: its own, or a wildcard. Senders check it.",
        f"Put the file at {path} and load the snippet.",
        f"Look: curl -si {url} must give status 200, Content-Type text/plain, the file, and no redirect.",
        f'Only now publish the record: {LABEL}.{domain} TXT "{record}".',
        f"Without a TLSRPT record nobody tells you of failures: tlsrpt record make --domain {domain}.",
        last,
    )


def _change(wait: str) -> tuple[str, ...]:
    return (
        "Change the file first: a new MX host is added beside the old ones.",
        "Then give the record a new id; without one senders keep the old policy.",
        f"Wait {wait}, and the TTL of the record: until then senders may refuse a host that is not in their copy.",
        "Switch the MX records.",
        "When no mail goes to the old host any more, take it out of the file and give the record a new id again.",
    )


def _leave(domain: str, wait: str) -> tuple[str, ...]:
    return (
        f"Write mode: none and max_age: {DEFAULT_MAX_AGE['none']} into the file.",
        f"Give the record {LABEL}.{domain} a new id.",
        f"Keep file, record, host and certificate for {wait}: a policy in enforce lives on in the copies of senders.",
        "Then remove the record, and after it the file and the host.",
    )


def _duration(seconds: int) -> str:
    for unit, size in (("day", DAY), ("hour", 3600), ("minute", 60)):
        if seconds >= size:
            count = -(-seconds // size)  # rounded up: too short a wait refuses mail
            return f"{count} {unit}{'s' if count != 1 else ''} ({seconds} seconds)"
    return f"{seconds} seconds"


def _nginx(host: str) -> str:
    return f"""server {{
    listen 443 ssl;
    listen [::]:443 ssl;
    server_name {host};
    ssl_certificate /etc/letsencrypt/live/{host}/fullchain.pem;
    ssl_certificate_key /etc/letsencrypt/live/{host}/privkey.pem;
    root /var/www/{host};
    location = /.well-known/mta-sts.txt {{
        types {{ }}
        default_type text/plain;
    }}
    location / {{
        return 404;
    }}
}}
"""


def _caddy(host: str) -> str:
    return f"""{host} {{
    root * /var/www/{host}
    header /.well-known/mta-sts.txt Content-Type text/plain
    file_server
}}
"""


def _apache(host: str) -> str:
    return f"""<VirtualHost *:443>
    ServerName {host}
    DocumentRoot /var/www/{host}
    SSLEngine on
    SSLCertificateFile /etc/letsencrypt/live/{host}/fullchain.pem
    SSLCertificateKeyFile /etc/letsencrypt/live/{host}/privkey.pem
    <Directory /var/www/{host}>
        AllowOverride None
        Require all granted
    </Directory>
    <Files "mta-sts.txt">
        ForceType text/plain
    </Files>
</VirtualHost>
"""
