"""Every key that the configuration file may have: its sentence, what it takes, its default, an example.

All of it comes from the Structs of `tlsrpt.config`, so that the sample file, the handbook's table and the program can
not say different things. Only the examples are here: what a key is shown with that has no default worth showing.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any, cast

from msgspec import NODEFAULT, Struct
from msgspec import inspect as types

from tlsrpt.cli.toml import toml_value
from tlsrpt.config import Config

_NUMBERS = re.compile(r" \([A-Z]-\d+\)")  # of our own notes, which an administrator does not have
EXAMPLES: dict[str, Any] = {
    "store.url": "sqlite:////var/lib/tlsrpt/tlsrpt.db",
    "domains.own": ["example.com"],
    "domains.own_file": "/etc/tlsrpt/domains",
    "dns.resolver": "127.0.0.1@53",
    "health.listen": "127.0.0.1:8461",
    "digest.to": ["postmaster@example.com"],
    "digest.domains": ["example.com", "*.example.com"],
    "mail.host": "mail.example.com",
    "mail.from": "tlsrpt@example.com",
    "mail.user": "tlsrpt@example.com",
    "mail.password_file": "/etc/tlsrpt/mail.password",
    "mail.password_env": "TLSRPT_MAIL_PASSWORD",
    "mail.password_command": "pass show mail/tlsrpt@example.com",
    "alerts.to.mail": ["postmaster@example.com"],
    "alerts.to.url_file": "/etc/tlsrpt/slack.url",
    "alerts.to.url_env": "TLSRPT_ALERT_URL",
    "alerts.to.url_command": "pass show alerts/slack",
    "alerts.to.webhook": "https://alerts.example.com/tlsrpt",
    "alerts.to.secret_file": "/etc/tlsrpt/webhook.secret",
    "alerts.to.secret_env": "TLSRPT_WEBHOOK_SECRET",
    "alerts.to.secret_command": "pass show alerts/webhook",
    "alerts.to.domains": ["example.com", "*.example.com"],
    "alerts.to.events": ["opened", "worse", "over"],
    "alerts.to.quiet_hours": "22:00-07:00",
    "source.https.listen": "127.0.0.1:8460",
    "source.https.certificate": "/etc/tlsrpt/fullchain.pem",
    "source.https.key": "/etc/tlsrpt/privkey.pem",
    "source.https.proxies": ["127.0.0.1", "::1"],
    "source.https.group": "www-data",
    "source.lmtp.listen": "127.0.0.1:2460",
    "source.lmtp.recipients": ["tls@example.com"],
    "source.lmtp.certificate": "/etc/tlsrpt/fullchain.pem",
    "source.lmtp.key": "/etc/tlsrpt/privkey.pem",
    "source.lmtp.group": "postfix",
    "source.maildir.path": "/var/mail/tls",
    "source.maildir.failed_folder": "TLSRPT.Failed",
    "source.imap.host": "imap.example.com",
    "source.imap.user": "tls@example.com",
    "source.imap.password_file": "/etc/tlsrpt/imap.password",
    "source.imap.password_env": "TLSRPT_IMAP_PASSWORD",
    "source.imap.password_command": "pass show imap/tls@example.com",
    "source.imap.token_command": "/usr/local/bin/imap-token",
    "source.imap.mailbox": "tls-reports@example.com",
    "source.imap.oauth.provider": "microsoft",
    "source.imap.oauth.client_id": "00000000-0000-0000-0000-000000000000",
    "source.s3.bucket": "inbound-mail",
    "source.s3.prefix": "tls-reports/",
    "source.s3.endpoint": "https://s3.example.net",
    "source.s3.access_key_id": "AKIAEXAMPLE",
    "source.s3.secret_key_file": "/etc/tlsrpt/s3.secret",
    "source.s3.secret_key_env": "AWS_SECRET_ACCESS_KEY",
    "source.s3.secret_key_command": "pass show s3/inbound-mail",
    "source.graph.mailbox": "tls@example.com",
    "source.graph.oauth.provider": "microsoft",
    "source.graph.oauth.client_id": "00000000-0000-0000-0000-000000000000",
    # Wherever there is no other:
    "authserv_id": "gateway.example.com",
    "ca_file": "/etc/ssl/certs/internal-ca.pem",
    "tenant": "00000000-0000-0000-0000-000000000000",
    "client_secret_file": "/etc/tlsrpt/client.secret",
    "client_secret_env": "TLSRPT_CLIENT_SECRET",
    "client_secret_command": "pass show tlsrpt/client",
    "key_file": "/etc/tlsrpt/service-account.json",
    "token_url": "https://login.example.net/oauth2/token",
    "scope": "https://outlook.office365.com/.default",
}


class Key(Struct, frozen=True, kw_only=True):
    """One key of a table."""

    name: str
    takes: str  # in words
    sentence: str
    default: str | None  # as TOML; None where it has to be given, or where leaving it out is a value of its own
    required: bool
    example: str  # as TOML: what it is shown with

    @property
    def shown_as_default(self) -> bool:
        """Whether the example is the default."""
        return self.example == self.default


class Table(Struct, frozen=True, kw_only=True):
    """One table of the file."""

    path: str  # source.https
    many: bool  # any number of them: [[source.https]]
    sentence: str
    keys: tuple[Key, ...]  # those that have to be given first, then its own, then those that all of its kind have

    @property
    def heading(self) -> str:
        """As it stands in the file."""
        return f"[[{self.path}]]" if self.many else f"[{self.path}]"


@cache
def tables() -> tuple[Table, ...]:
    """Every table, in the order of `Config`; a table within a table follows it."""
    found: list[Table] = []
    _collect(struct_type(Config), "", False, found)
    return tuple(found)


def struct_type(kind: type[Struct]) -> types.StructType:
    """What msgspec knows of a Struct."""
    return cast(types.StructType, types.type_info(kind))


def sentence_of(kind: types.Type) -> str:
    """The description that a field was given in `config.py`."""
    schema = kind.extra_json_schema if isinstance(kind, types.Metadata) else None
    return _NUMBERS.sub("", str((schema or {}).get("description", "")))


def _collect(kind: types.StructType, path: str, many: bool, found: list[Table]) -> None:
    inner = [(field, held) for field in kind.fields if (held := _table_in(field.type))]
    keys = [_key(field, path) for field in kind.fields if not _table_in(field.type)]
    own = kind.cls.__annotations__
    if keys:
        keys.sort(key=lambda key: (not key.required, key.name not in own))
        found.append(
            Table(path=path, many=many, sentence=_NUMBERS.sub("", kind.cls.__doc__ or "").strip(), keys=tuple(keys))
        )
    for field, (table, any_number) in inner:
        _collect(table, f"{path}.{field.encode_name}".lstrip("."), any_number, found)


def _table_in(kind: types.Type) -> tuple[types.StructType, bool] | None:
    """The table that a field holds, and whether any number of it; None for a plain key."""
    match kind:
        case types.StructType():
            return kind, False
        case types.Metadata():
            return _table_in(kind.type)
        case types.VarTupleType(item_type=types.StructType() as item):
            return item, True
        case types.UnionType():
            return next((held for choice in kind.types if (held := _table_in(choice))), None)
    return None


def _key(field: types.Field, path: str) -> Key:
    where = f"{path}.{field.encode_name}"
    default = None if field.default is NODEFAULT or field.default is None else toml_value(field.default)
    example = EXAMPLES.get(where, EXAMPLES.get(field.encode_name) if default in (None, '""') else None)
    if field.encode_name == "name":  # what it is called when it is left out
        example = path.rpartition(".")[2]
    if example is None and default is None:
        raise LookupError(f"no example for {where}: write one into EXAMPLES")
    return Key(
        name=field.encode_name,
        takes=_takes(field.type),
        sentence=sentence_of(field.type),
        default=default,
        required=field.required,
        example=default if example is None else toml_value(example),  # type: ignore[arg-type] # one of them is there
    )


def _takes(kind: types.Type) -> str:
    """What a key takes, in words."""
    match kind:
        case types.Metadata():
            return _takes(kind.type)
        case types.BoolType():
            return "true or false"
        case types.IntType():
            return "whole number" + _range(kind)
        case types.FloatType():
            return "number" + _range(kind)
        case types.LiteralType():
            return " or ".join(f'"{value}"' for value in kind.values)
        case types.VarTupleType(item_type=types.LiteralType() as item):
            return "list of " + ", ".join(f'"{value}"' for value in item.values)
        case types.VarTupleType():
            return f"list of {_takes(kind.item_type)}s"
        case types.UnionType():
            return " or ".join(_takes(one) for one in kind.types if not isinstance(one, types.NoneType))
        case types.StrType():
            return "text"
    raise TypeError(f"no words for {kind!r}: teach them here")


def _range(kind: types.IntType | types.FloatType) -> str:
    if kind.ge is not None and kind.le is not None:
        return f", {kind.ge} to {kind.le}"
    if kind.ge is not None:
        return f", {kind.ge} or more"
    return f", more than {kind.gt}" if kind.gt is not None else ""
