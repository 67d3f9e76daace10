"""Failover drills"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "drill",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("provider_account_id", sa.Uuid(), nullable=False),
        sa.Column("environment_id", sa.Uuid(), nullable=True),
        sa.Column("share", sa.Integer(), nullable=False),
        sa.Column("duration_s", sa.Integer(), nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("end_time", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("share BETWEEN 1 AND 100", name=op.f("ck_drill_share")),
        sa.ForeignKeyConstraint(
            ["account_id"], ["account.id"], name=op.f("fk_drill_account_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["provider_account_id"],
            ["provider_account.id"],
            name=op.f("fk_drill_provider_account_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["environment_id"], ["environment.id"], name=op.f("fk_drill_environment_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_drill")),
    )
    for columns in (
        ["account_id", "create_time", "id"],
        ["provider_account_id", "create_time", "id"],
        ["environment_id"],
        ["end_time"],
    ):
        op.create_index(op.f(f"ix_drill_{'_'.join(columns)}"), "drill", columns, unique=False)
    op.create_table(
        "diversion",
        sa.Column("drill_id", sa.Uuid(), nullable=False),
        sa.Column("recipient_id", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["drill_id"], ["drill.id"], name=op.f("fk_diversion_drill_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("drill_id", "recipient_id", name=op.f("pk_diversion")),
    )


def downgrade() -> None:
    op.drop_table("diversion")
    op.drop_table("drill")
