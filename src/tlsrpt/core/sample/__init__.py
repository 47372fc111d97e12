"""Seeded, realistic reports and mails, for the demo, tests and benchmarks (docs/sample.md).

    truth     what was really so: domains, MX hosts, policies, traffic, faults over days
    seen      which of it one sender met on one day
    profiles  the senders, with their habits
    compose   what a sender saw, told as its report
    mail      the report as JSON, gzip, or its sender's mail
    fleet     the demo: a hosting company with planted faults
    single    one domain with one fault
    corpus    reports by the number, for benchmarks

Nothing here reads a clock or keeps state: the same arguments give the same bytes.
"""

from __future__ import annotations

from tlsrpt.core.sample.compose import SampleReport, all_reports, reports
from tlsrpt.core.sample.corpus import SIZES, Size, corpus
from tlsrpt.core.sample.fleet import Fleet, fleet
from tlsrpt.core.sample.mail import Form, mail, write
from tlsrpt.core.sample.profiles import PROFILES, Profile, Said
from tlsrpt.core.sample.seen import Row, Seen, look
from tlsrpt.core.sample.single import Policies, a_site, an_event, single
from tlsrpt.core.sample.truth import KINDS, Event, Host, Kind, Site, StsPolicy, Truth, tlsa_record

__all__ = [
    "KINDS",
    "PROFILES",
    "SIZES",
    "Event",
    "Fleet",
    "Form",
    "Host",
    "Kind",
    "Policies",
    "Profile",
    "Row",
    "Said",
    "SampleReport",
    "Seen",
    "Site",
    "Size",
    "StsPolicy",
    "Truth",
    "a_site",
    "all_reports",
    "an_event",
    "corpus",
    "fleet",
    "look",
    "mail",
    "reports",
    "single",
    "tlsa_record",
    "write",
]
