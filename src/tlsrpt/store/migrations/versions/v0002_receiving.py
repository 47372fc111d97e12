"""For the receiving service: who is proven to speak, reports for others, places and states of sources.

What a store has by now came from files: nobody looked at a signature, and every report was for us.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

Id = sa.Integer().with_variant(sa.BigInteger(), "postgresql")


def upgrade() -> None:
    """Add columns, tables and indexes; make both tallies anew, with `proven` in their keys."""
    op.add_column("report", sa.Column("dkim_domain", sa.Text))
    op.add_column("report", sa.Column("foreign_", sa.SmallInteger, nullable=False, server_default=sa.text("0")))
    conflict, foreign = sa.text("counted = 0 AND foreign_ = 0"), sa.text("foreign_ = 1")
    waiting = sa.text("state = 'waiting'")
    op.drop_index("report_conflict", "report")
    op.create_index("report_conflict", "report", ["conflict_with"], sqlite_where=conflict, postgresql_where=conflict)
    op.create_index("report_foreign", "report", ["id"], sqlite_where=foreign, postgresql_where=foreign)
    op.create_index("quarantine_waiting", "quarantine", ["document_id"], sqlite_where=waiting, postgresql_where=waiting)
    _make_tallies_anew()
    op.create_table(
        "place",
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "source_state",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("trouble", sa.Text, nullable=False),
        sa.Column("since", sa.BigInteger, nullable=False),
        sa.Column("last_success", sa.BigInteger),
        sa.Column("waiting", sa.BigInteger),
        sa.Column("outcomes", sa.Text, nullable=False),
        sa.Column("turned_away", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.Column("started_at", sa.BigInteger),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("pid", sa.BigInteger),
        sqlite_with_rowid=False,
    )


def _make_tallies_anew() -> None:
    """SQLite can't change the key of a table."""
    op.rename_table("tally", "tally_before")
    op.create_table(
        "tally",
        sa.Column("domain", sa.Text, nullable=False),
        sa.Column("day", sa.Integer, nullable=False),
        sa.Column("sender", sa.Text, nullable=False),
        sa.Column("policy_type", sa.Text, nullable=False),
        sa.Column("report_domain", sa.Text, nullable=False),
        sa.Column("proven", sa.SmallInteger, nullable=False),
        sa.Column("reports", sa.BigInteger, nullable=False),
        sa.Column("mentions", sa.BigInteger, nullable=False),
        sa.Column("sent_successful", sa.BigInteger, nullable=False),
        sa.Column("sent_failed", sa.BigInteger, nullable=False),
        sa.Column("counted_total", sa.BigInteger, nullable=False),
        sa.Column("counted_failed", sa.BigInteger, nullable=False),
        sa.Column("not_itemised", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("domain", "day", "sender", "policy_type", "report_domain", "proven"),
        sqlite_with_rowid=False,
    )
    op.execute(
        "INSERT INTO tally SELECT domain, day, sender, policy_type, report_domain, 0, reports, mentions,"
        " sent_successful, sent_failed, counted_total, counted_failed, not_itemised FROM tally_before"
    )
    op.drop_table("tally_before")
    op.rename_table("failure_tally", "failure_tally_before")
    op.create_table(
        "failure_tally",
        sa.Column("domain", sa.Text, nullable=False),
        sa.Column("day", sa.Integer, nullable=False),
        sa.Column("sender", sa.Text, nullable=False),
        sa.Column("kind_id", Id, sa.ForeignKey("failure_kind.id"), nullable=False),
        sa.Column("report_domain", sa.Text, nullable=False),
        sa.Column("proven", sa.SmallInteger, nullable=False),
        sa.Column("reports", sa.BigInteger, nullable=False),
        sa.Column("sent_failed", sa.BigInteger, nullable=False),
        sa.Column("counted_failed", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("domain", "day", "sender", "kind_id", "report_domain", "proven"),
        sqlite_with_rowid=False,
    )
    op.execute(
        "INSERT INTO failure_tally SELECT domain, day, sender, kind_id, report_domain, 0, reports, sent_failed,"
        " counted_failed FROM failure_tally_before"
    )
    op.drop_table("failure_tally_before")
