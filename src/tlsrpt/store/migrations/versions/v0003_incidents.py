"""For incidents: what is remembered of them from day to day, and what people said of them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add two tables."""
    op.create_table(
        "incident",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("place", sa.Text, nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("first_day", sa.Integer, nullable=False),
        sa.Column("last_day", sa.Integer, nullable=False),
        sa.Column("mark", sa.Text, nullable=False),
        sa.Column("mark_day", sa.Integer),
        sa.Column("marked_at", sa.BigInteger),
        sa.Column("note", sa.Text, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "incident_key",
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("incident_id", sa.Text, sa.ForeignKey("incident.id"), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("incident_key_incident", "incident_key", ["incident_id"])
