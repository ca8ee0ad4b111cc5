"""Fleet and other networks."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = depends_on = None


def upgrade() -> None:
    """Add the tables; heartbeats by parcel are a part of the fleet now."""
    op.create_table(
        "upstream_revocations",
        sa.Column("model", sa.String(length=80), nullable=False),
        sa.Column("upstream", sa.String(length=63), nullable=False),
        sa.Column("reason", sa.String(length=500), nullable=False),
        sa.Column("act", sa.String(length=20), nullable=False),
        sa.Column("seen", sa.String(length=40), nullable=False),
        sa.PrimaryKeyConstraint("model"),
    )
    op.create_table(
        "upstreams",
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("url", sa.String(length=500), nullable=False),
        sa.Column("file", sa.Text(), nullable=False),
        sa.Column("added", sa.String(length=40), nullable=False),
        sa.Column("tried", sa.String(length=40), nullable=True),
        sa.Column("failure", sa.JSON(), nullable=True),
        sa.Column("record", sa.JSON(), nullable=True),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "fleet",
        sa.Column("node", sa.String(length=40), nullable=False),
        sa.Column("serial", sa.BigInteger(), nullable=False),
        sa.Column("received", sa.String(length=40), nullable=False),
        sa.Column("seen", sa.String(length=40), nullable=False),
        sa.Column("via", sa.String(length=10), nullable=False),
        sa.Column("document", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["node"],
            ["nodes.id"],
        ),
        sa.PrimaryKeyConstraint("node"),
    )
    op.create_table(
        "fleet_days",
        sa.Column("node", sa.String(length=40), nullable=False),
        sa.Column("day", sa.String(length=10), nullable=False),
        sa.Column("serial", sa.BigInteger(), nullable=False),
        sa.Column("releases", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["node"],
            ["nodes.id"],
        ),
        sa.PrimaryKeyConstraint("node", "day"),
    )
    with op.batch_alter_table("fleet_days", schema=None) as batch_op:
        batch_op.create_index("fleet_days_by_day", ["day"], unique=False)

    op.drop_table("heartbeats")
