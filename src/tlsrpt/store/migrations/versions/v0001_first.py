"""The first schema: documents, reports and their rows, quarantine, tallies."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

Id = sa.Integer().with_variant(sa.BigInteger(), "postgresql")


def upgrade() -> None:
    """Make all tables."""
    _make_facts()
    _make_tallies()


def _make_facts() -> None:
    op.create_table(
        "document",
        sa.Column("id", Id, primary_key=True, autoincrement=False),
        sa.Column("sha256", sa.LargeBinary, nullable=False, unique=True),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("form", sa.Text, nullable=False),
        sa.Column("file_name", sa.Text),
        sa.Column("received_at", sa.BigInteger, nullable=False),
        sa.Column("header_from", sa.Text),
        sa.Column("header_report_domain", sa.Text),
        sa.Column("header_submitter", sa.Text),
        sa.Column("header_message_id", sa.Text),
        sa.Column("header_date", sa.Text),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("packing", sa.Text, nullable=False),
        sa.Column("raw", sa.LargeBinary),
    )
    op.create_table(
        "report",
        sa.Column("id", Id, primary_key=True, autoincrement=False),
        sa.Column("document_id", Id, sa.ForeignKey("document.id"), nullable=False),
        sa.Column("where_", sa.Text, nullable=False),
        sa.Column("identity", sa.LargeBinary, nullable=False),
        sa.Column("content", sa.LargeBinary, nullable=False),
        sa.Column("counted", sa.SmallInteger, nullable=False),
        sa.Column("conflict_with", Id, sa.ForeignKey("report.id")),
        sa.Column("pruned", sa.SmallInteger, nullable=False, server_default=sa.text("0")),
        sa.Column("organization_name", sa.Text),
        sa.Column("contact_info", sa.Text),
        sa.Column("sender", sa.Text, nullable=False),
        sa.Column("report_id", sa.Text),
        sa.Column("start_datetime", sa.BigInteger, nullable=False),
        sa.Column("end_datetime", sa.BigInteger, nullable=False),
        sa.Column("day", sa.Integer, nullable=False),
        sa.Column("received_at", sa.BigInteger, nullable=False),
        sa.Column("successful", sa.BigInteger, nullable=False),
        sa.Column("failed", sa.BigInteger, nullable=False),
        sa.Column("findings", sa.Integer, nullable=False),
        sa.Column("extras", sa.Text),
        sa.Column("dkim", sa.Text),
        sa.UniqueConstraint("identity", "content", name="report_identity_content"),
    )
    op.create_index("report_document", "report", ["document_id"])
    op.create_index("report_day", "report", ["day"])
    not_counted = sa.text("counted = 0")
    op.create_index(
        "report_conflict", "report", ["conflict_with"], sqlite_where=not_counted, postgresql_where=not_counted
    )
    op.create_table(
        "policy",
        sa.Column("report_id", Id, sa.ForeignKey("report.id"), nullable=False),
        sa.Column("n", sa.Integer, nullable=False),
        sa.Column("policy_type", sa.Text),
        sa.Column("policy_domain", sa.Text, nullable=False),
        sa.Column("report_domain", sa.Text, nullable=False),
        sa.Column("policy_string", sa.Text),
        sa.Column("mx_host", sa.Text),
        sa.Column("successful", sa.BigInteger, nullable=False),
        sa.Column("failed", sa.BigInteger, nullable=False),
        sa.Column("failure_details", sa.Integer),
        sa.PrimaryKeyConstraint("report_id", "n"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "failure",
        sa.Column("report_domain", sa.Text, nullable=False),
        sa.Column("day", sa.Integer, nullable=False),
        sa.Column("report_id", Id, sa.ForeignKey("report.id"), nullable=False),
        sa.Column("n", sa.Integer, nullable=False),
        sa.Column("m", sa.Integer, nullable=False),
        sa.Column("policy_type", sa.Text),
        sa.Column("policy_domain", sa.Text, nullable=False),
        sa.Column("result_type", sa.Text),
        sa.Column("failed_session_count", sa.BigInteger, nullable=False),
        sa.Column("sending_mta_ip", sa.Text),
        sa.Column("receiving_mx_hostname", sa.Text),
        sa.Column("receiving_mx_helo", sa.Text),
        sa.Column("receiving_ip", sa.Text),
        sa.Column("additional_information", sa.Text),
        sa.Column("failure_reason_code", sa.Text),
        sa.PrimaryKeyConstraint("report_domain", "day", "report_id", "n", "m"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "finding",
        sa.Column("report_id", Id, sa.ForeignKey("report.id"), nullable=False),
        sa.Column("n", sa.Integer, nullable=False),
        sa.Column("code", sa.Text, nullable=False),
        sa.Column("severity", sa.Text, nullable=False),
        sa.Column("where_", sa.Text, nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("consequence", sa.Text, nullable=False),
        sa.Column("fix", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("report_id", "n"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "sighting",
        sa.Column("report_id", Id, sa.ForeignKey("report.id"), nullable=False),
        sa.Column("sha256", sa.LargeBinary, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("file_name", sa.Text),
        sa.Column("received_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("report_id", "sha256"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "quarantine",
        sa.Column("id", Id, primary_key=True, autoincrement=False),
        sa.Column("document_id", Id, sa.ForeignKey("document.id"), nullable=False),
        sa.Column("where_", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("received_at", sa.BigInteger, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.UniqueConstraint("document_id", "where_", name="quarantine_place"),
    )
    op.create_table(
        "pruning",
        sa.Column("what", sa.Text, primary_key=True),
        sa.Column("before", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )


def _make_tallies() -> None:
    op.create_table(
        "filed",
        sa.Column("domain", sa.Text, nullable=False),
        sa.Column("day", sa.Integer, nullable=False),
        sa.Column("report_id", Id, sa.ForeignKey("report.id"), nullable=False),
        sa.PrimaryKeyConstraint("domain", "day", "report_id"),
        sqlite_with_rowid=False,
    )
    op.create_table("domain", sa.Column("report_domain", sa.Text, primary_key=True), sqlite_with_rowid=False)
    op.create_table(
        "tally",
        sa.Column("domain", sa.Text, nullable=False),
        sa.Column("day", sa.Integer, nullable=False),
        sa.Column("sender", sa.Text, nullable=False),
        sa.Column("policy_type", sa.Text, nullable=False),
        sa.Column("report_domain", sa.Text, nullable=False),
        sa.Column("reports", sa.BigInteger, nullable=False),
        sa.Column("mentions", sa.BigInteger, nullable=False),
        sa.Column("sent_successful", sa.BigInteger, nullable=False),
        sa.Column("sent_failed", sa.BigInteger, nullable=False),
        sa.Column("counted_total", sa.BigInteger, nullable=False),
        sa.Column("counted_failed", sa.BigInteger, nullable=False),
        sa.Column("not_itemised", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("domain", "day", "sender", "policy_type", "report_domain"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "failure_kind",
        sa.Column("id", Id, primary_key=True, autoincrement=False),
        sa.Column("policy_type", sa.Text, nullable=False),
        sa.Column("policy_mode", sa.Text, nullable=False),
        sa.Column("policy_domain", sa.Text, nullable=False),
        sa.Column("result_type", sa.Text, nullable=False),
        sa.Column("receiving_mx_hostname", sa.Text, nullable=False),
        sa.Column("receiving_ip", sa.Text, nullable=False),
        sa.Column("failure_reason_code", sa.Text, nullable=False),
    )
    op.create_table(
        "failure_tally",
        sa.Column("domain", sa.Text, nullable=False),
        sa.Column("day", sa.Integer, nullable=False),
        sa.Column("sender", sa.Text, nullable=False),
        sa.Column("kind_id", Id, sa.ForeignKey("failure_kind.id"), nullable=False),
        sa.Column("report_domain", sa.Text, nullable=False),
        sa.Column("reports", sa.BigInteger, nullable=False),
        sa.Column("sent_failed", sa.BigInteger, nullable=False),
        sa.Column("counted_failed", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("domain", "day", "sender", "kind_id", "report_domain"),
        sqlite_with_rowid=False,
    )
