"""How provider accounts and the installation fare"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("pause_time", "last_event_time", "rejected_time"):
        op.add_column("provider_account", sa.Column(name, sa.DateTime(timezone=True), nullable=True))
    op.add_column(
        "provider_account", sa.Column("rejected_reason", sa.Text(), server_default="", nullable=False)
    )
    op.add_column(
        "environment", sa.Column("retention_days", sa.Integer(), server_default=sa.text("0"), nullable=False)
    )
    op.add_column("environment", sa.Column("content_place_time", sa.DateTime(timezone=True), nullable=True))
    op.add_column("environment", sa.Column("content_place_id", sa.Uuid(), nullable=True))
    for name in ("track_opens", "track_clicks"):
        op.add_column("environment", sa.Column(name, sa.Boolean(), server_default=sa.false(), nullable=False))
    op.create_table(
        "content_kept",
        sa.Column("email_id", sa.Uuid(), nullable=False),
        sa.Column("environment_id", sa.Uuid(), nullable=False),
        sa.Column("look_time", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["email_id"], ["email.id"], name=op.f("fk_content_kept_email_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("email_id", name=op.f("pk_content_kept")),
    )
    op.create_index(
        op.f("ix_content_kept_environment_id_look_time"), "content_kept", ["environment_id", "look_time"]
    )


def downgrade() -> None:
    op.drop_table("content_kept")
    for name in ("track_clicks", "track_opens", "content_place_id", "content_place_time", "retention_days"):
        op.drop_column("environment", name)
    for name in ("rejected_reason", "rejected_time", "last_event_time", "pause_time"):
        op.drop_column("provider_account", name)
