"""What public libraries reach in a bare script: the bar behind the `limit` column, measured again in each run.

No findings, no leniency, no raw bytes kept, no identity, no tallies: typed decoding of well-formed input, and rows in
SQLite. Nothing here is fit for use; it says how fast the same work could be at best.

    python -m bench.limits FOLDER DATABASE [--jobs N]    a folder of mails into SQLite
"""

from __future__ import annotations

import argparse
import binascii
import json
import multiprocessing
import os
import sqlite3
import zlib
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

import msgspec

try:
    from isal import isal_zlib as inflate
except ImportError:  # bench.micro --no-isal, or the extra is not installed
    inflate = zlib


class Window(msgspec.Struct, rename="kebab"):
    start_datetime: datetime
    end_datetime: datetime


class Policy(msgspec.Struct, rename="kebab"):
    policy_type: str
    policy_domain: str
    policy_string: list[str] = []
    mx_host: list[str] = []


class Summary(msgspec.Struct, rename="kebab"):
    total_successful_session_count: int
    total_failure_session_count: int


class Failure(msgspec.Struct, rename="kebab"):
    result_type: str
    failed_session_count: int
    sending_mta_ip: str | None = None
    receiving_mx_hostname: str | None = None
    receiving_mx_helo: str | None = None
    receiving_ip: str | None = None
    additional_information: str | None = None
    failure_reason_code: str | None = None


class Entry(msgspec.Struct, rename="kebab"):
    policy: Policy
    summary: Summary
    failure_details: list[Failure] = []


class Report(msgspec.Struct, rename="kebab"):
    organization_name: str
    date_range: Window
    contact_info: str
    report_id: str
    policies: list[Entry]


decode_json = msgspec.json.Decoder(Report).decode


def decode_gzip(data: bytes) -> Report:
    return decode_json(inflate.decompress(data, 31))


def decode_mail(data: bytes) -> Report:
    """The leaf after `Content-Type: application/tlsrpt`, decoded as base64 and gzip."""
    part = data.index(b"\nContent-Type: application/tlsrpt+gzip")
    start = data.index(b"\n\n", part) + 2
    return decode_gzip(binascii.a2b_base64(data[start : data.index(b"\n--", start)]))


TABLES = """
create table report (id integer primary key, organization text, contact text, report_id text, start text, day text);
create table policy (report integer, n integer, type text, domain text, string text, mx text, good integer,
    bad integer, primary key (report, n)) without rowid;
create table failure (domain text, day text, report integer, n integer, result text, sessions integer, sender text,
    mx text, helo text, ip text, information text, reason text, primary key (domain, day, report, n)) without rowid;
"""
BATCH = 500
Rows = tuple[list[tuple[object, ...]], list[tuple[object, ...]], list[tuple[object, ...]]]


def read_rows(job: tuple[int, list[str]]) -> Rows:
    """The rows of one batch of mails; ids are given here, from the batch's first."""
    first, paths = job
    reports: list[tuple[object, ...]] = []
    policies: list[tuple[object, ...]] = []
    failures: list[tuple[object, ...]] = []
    for number, path in enumerate(paths, first):
        with open(path, "rb") as file:  # noqa: PTH123 - half the cost of Path.read_bytes, and this is the limit
            report = decode_mail(file.read())
        start = report.date_range.start_datetime.isoformat()
        day = start[:10]
        reports.append((number, report.organization_name, report.contact_info, report.report_id, start, day))
        row = 0
        for n, entry in enumerate(report.policies):
            policy, summary = entry.policy, entry.summary
            policies.append(
                (
                    number,
                    n,
                    policy.policy_type,
                    policy.policy_domain,
                    json.dumps(policy.policy_string),
                    json.dumps(policy.mx_host),
                    summary.total_successful_session_count,
                    summary.total_failure_session_count,
                )
            )
            for failure in entry.failure_details:
                failures.append(
                    (
                        policy.policy_domain,
                        day,
                        number,
                        row,
                        failure.result_type,
                        failure.failed_session_count,
                        failure.sending_mta_ip,
                        failure.receiving_mx_hostname,
                        failure.receiving_mx_helo,
                        failure.receiving_ip,
                        failure.additional_information,
                        failure.failure_reason_code,
                    )
                )
                row += 1
    return reports, policies, failures


def write_rows(database: Path, batches: Iterable[Rows]) -> None:
    with sqlite3.connect(database, isolation_level=None) as connection:
        connection.execute("pragma journal_mode=wal")
        connection.execute("pragma synchronous=full")
        connection.executescript(TABLES)
        for reports, policies, failures in batches:
            connection.execute("begin immediate")
            connection.executemany("insert into report values (?,?,?,?,?,?)", reports)
            connection.executemany("insert into policy values (?,?,?,?,?,?,?,?)", policies)
            connection.executemany("insert into failure values (?,?,?,?,?,?,?,?,?,?,?,?)", failures)
            connection.execute("commit")


def take_in(folder: Path, database: Path, jobs: int) -> None:
    paths = sorted(entry.path for entry in os.scandir(folder))
    work = [(at, paths[at : at + BATCH]) for at in range(0, len(paths), BATCH)]
    if jobs == 1:
        write_rows(database, map(read_rows, work))
        return
    with multiprocessing.get_context("fork").Pool(jobs) as pool:
        write_rows(database, pool.imap_unordered(read_rows, work))


def main() -> None:
    parser = argparse.ArgumentParser(description="Mails into SQLite, as barely as it goes.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("database", type=Path)
    parser.add_argument("--jobs", type=int, default=1)
    asked = parser.parse_args()
    take_in(asked.folder, asked.database, asked.jobs)


if __name__ == "__main__":
    main()
