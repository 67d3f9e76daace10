"""How provider accounts and the installation fare"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_DIMENSIONS = "dimension IN ('all', 'provider_account', 'tag', 'domain'{})"
_MEASURES = "measure IN ('send', 'deliver'{})"


def _allow(more: str) -> None:
    """What figures are told apart by, and what takes time."""
    for table, constraint, condition in (
        ("tally", "ck_tally_dimension", _DIMENSIONS),
        ("timing", "ck_timing_dimension", _DIMENSIONS),
        ("timing", "ck_timing_measure", _MEASURES),
    ):
        op.drop_constraint(op.f(constraint), table, type_="check")
        op.create_check_constraint(op.f(constraint), table, condition.format(more))


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
    op.create_table(
        "breaker_change",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("provider_account_id", sa.Uuid(), nullable=False),
        sa.Column("domain", sa.Text(), nullable=False),
        sa.Column("opened", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("time", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["provider_account_id"],
            ["provider_account.id"],
            name=op.f("fk_breaker_change_provider_account_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_breaker_change")),
    )
    op.create_index(
        op.f("ix_breaker_change_provider_account_id_time"), "breaker_change", ["provider_account_id", "time"]
    )
    op.create_index(op.f("ix_breaker_change_time"), "breaker_change", ["time"])
    counts = ("sent", "delivered", "bounced", "deferred")
    op.create_table(
        "domain_tally",
        sa.Column("provider_account_id", sa.Uuid(), nullable=False),
        sa.Column("day", sa.DateTime(timezone=True), nullable=False),
        sa.Column("domain", sa.Text(), nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in counts),
        sa.ForeignKeyConstraint(
            ["provider_account_id"],
            ["provider_account.id"],
            name=op.f("fk_domain_tally_provider_account_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("provider_account_id", "day", "domain", name=op.f("pk_domain_tally")),
    )
    _allow(", 'call'")


def downgrade() -> None:
    for table in ("tally", "timing"):
        op.execute(f"DELETE FROM {table} WHERE dimension = 'call'")
    _allow("")
    op.drop_table("domain_tally")
    op.drop_table("breaker_change")
    op.drop_table("content_kept")
    for name in ("track_clicks", "track_opens", "content_place_id", "content_place_time", "retention_days"):
        op.drop_column("environment", name)
    for name in ("rejected_reason", "rejected_time", "last_event_time", "pause_time"):
        op.drop_column("provider_account", name)
