"""The closed lists of an incident in a person's words: whose side, what happens to mail. The same on every surface."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from tlsrpt.core.causes import Party
from tlsrpt.core.results import ConsequenceKind

PARTY: Mapping[Party, str] = MappingProxyType(
    {
        "mx": "your mail server, or who runs it",
        "policy-host": "your policy host (the MTA-STS web server)",
        "dns": "your DNS",
        "sender": "the sender",
        "network": "the network between",
        "unknown": "not known",
    }
)
CONSEQUENCE: Mapping[ConsequenceKind, str] = MappingProxyType(
    {
        "refused": "mail is refused",
        "delayed": "mail is delayed",
        "delivered-clear": "mail is delivered in clear text",
        "delivered-unverified": "mail is delivered unverified",
        "none": "mail is not affected",
    }
)
