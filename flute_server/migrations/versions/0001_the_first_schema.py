"""The first schema"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "account",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_account")),
    )
    op.create_index(op.f("ix_account_create_time_id"), "account", ["create_time", "id"], unique=False)
    op.create_table(
        "user",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_user")),
        sa.UniqueConstraint("email", name=op.f("uq_user_email")),
    )
    op.create_table(
        "alert",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("resolve_time", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "kind IN ('provider_account', 'sender_domain', 'review')", name=op.f("ck_alert_kind")
        ),
        sa.ForeignKeyConstraint(
            ["account_id"], ["account.id"], name=op.f("fk_alert_account_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alert")),
    )
    op.create_index(
        op.f("ix_alert_account_id_create_time_id"), "alert", ["account_id", "create_time", "id"], unique=False
    )
    op.create_index(
        "uq_alert_open",
        "alert",
        ["account_id", "kind", "subject"],
        unique=True,
        postgresql_where=sa.text("resolve_time IS NULL"),
    )
    op.create_table(
        "environment",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("domain", sa.Text(), nullable=False),
        sa.Column("allow_subdomains", sa.Boolean(), nullable=False),
        sa.Column("on_ambiguous", sa.Text(), nullable=False),
        sa.Column("ambiguity_wait_s", sa.Integer(), nullable=False),
        sa.Column("give_up_after_s", sa.Integer(), nullable=False),
        sa.Column("on_delay", sa.Text(), nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("on_ambiguous IN ('resend', 'wait')", name=op.f("ck_environment_on_ambiguous")),
        sa.CheckConstraint("on_delay IN ('wait', 'resend')", name=op.f("ck_environment_on_delay")),
        sa.ForeignKeyConstraint(
            ["account_id"], ["account.id"], name=op.f("fk_environment_account_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_environment")),
        sa.UniqueConstraint("account_id", "name", name=op.f("uq_environment_account_id_name")),
    )
    op.create_index(
        op.f("ix_environment_account_id_create_time_id"),
        "environment",
        ["account_id", "create_time", "id"],
        unique=False,
    )
    op.create_table(
        "member",
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("role IN ('owner', 'admin', 'developer', 'viewer')", name=op.f("ck_member_role")),
        sa.ForeignKeyConstraint(
            ["account_id"], ["account.id"], name=op.f("fk_member_account_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name=op.f("fk_member_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("account_id", "user_id", name=op.f("pk_member")),
    )
    op.create_index(op.f("ix_member_user_id"), "member", ["user_id"], unique=False)
    op.create_table(
        "provider_account",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("credentials", sa.LargeBinary(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["account.id"], name=op.f("fk_provider_account_account_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_provider_account")),
        sa.UniqueConstraint("account_id", "name", name=op.f("uq_provider_account_account_id_name")),
    )
    op.create_index(
        op.f("ix_provider_account_account_id_create_time_id"),
        "provider_account",
        ["account_id", "create_time", "id"],
        unique=False,
    )
    op.create_table(
        "suppression",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "reason IN ('bounce', 'complaint', 'unsubscribe', 'manual')", name=op.f("ck_suppression_reason")
        ),
        sa.ForeignKeyConstraint(
            ["account_id"], ["account.id"], name=op.f("fk_suppression_account_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_suppression")),
        sa.UniqueConstraint("account_id", "address", name=op.f("uq_suppression_account_id_address")),
    )
    op.create_index(
        op.f("ix_suppression_account_id_create_time_id"),
        "suppression",
        ["account_id", "create_time", "id"],
        unique=False,
    )
    op.create_table(
        "api_key",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("environment_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("hint", sa.Text(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("last_used_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoke_time", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["environment_id"], ["environment.id"], name=op.f("fk_api_key_environment_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_key")),
        sa.UniqueConstraint("hash", name=op.f("uq_api_key_hash")),
    )
    op.create_index(
        op.f("ix_api_key_environment_id_create_time_id"),
        "api_key",
        ["environment_id", "create_time", "id"],
        unique=False,
    )
    op.create_table(
        "breaker",
        sa.Column("provider_account_id", sa.Uuid(), nullable=False),
        sa.Column("domain", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("opened", sa.Integer(), nullable=False),
        sa.Column("retry_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.CheckConstraint("state IN ('closed', 'open', 'half_open')", name=op.f("ck_breaker_state")),
        sa.ForeignKeyConstraint(
            ["provider_account_id"],
            ["provider_account.id"],
            name=op.f("fk_breaker_provider_account_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("provider_account_id", "domain", name=op.f("pk_breaker")),
    )
    op.create_table(
        "delay",
        sa.Column("provider_account_id", sa.Uuid(), nullable=False),
        sa.Column("domain", sa.Text(), nullable=False),
        sa.Column("deliveries", sa.Integer(), nullable=False),
        sa.Column("mean_s", sa.Double(), nullable=False),
        sa.Column("deviation_s", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["provider_account_id"],
            ["provider_account.id"],
            name=op.f("fk_delay_provider_account_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("provider_account_id", "domain", name=op.f("pk_delay")),
    )
    op.create_table(
        "email",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("environment_id", sa.Uuid(), nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("due_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lease", sa.Integer(), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("content", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("has_attachments", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["environment_id"], ["environment.id"], name=op.f("fk_email_environment_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_email")),
    )
    op.create_index(
        "ix_email_due_time",
        "email",
        ["due_time"],
        unique=False,
        postgresql_where=sa.text("due_time IS NOT NULL"),
    )
    op.create_index(
        op.f("ix_email_environment_id_create_time_id"),
        "email",
        ["environment_id", "create_time", "id"],
        unique=False,
    )
    op.create_table(
        "inbound",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("provider_account_id", sa.Uuid(), nullable=True),
        sa.Column("token", sa.Text(), nullable=True),
        sa.Column("recipient", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("due_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("error", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["provider_account_id"],
            ["provider_account.id"],
            name=op.f("fk_inbound_provider_account_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_inbound")),
        sa.UniqueConstraint(
            "provider_account_id", "token", name=op.f("uq_inbound_provider_account_id_token")
        ),
    )
    op.create_index(
        "ix_inbound_due_time",
        "inbound",
        ["due_time"],
        unique=False,
        postgresql_where=sa.text("due_time IS NOT NULL"),
    )
    op.create_table(
        "route",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("environment_id", sa.Uuid(), nullable=False),
        sa.Column("provider_account_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("weight", sa.Integer(), nullable=False),
        sa.Column("disabled", sa.Boolean(), nullable=False),
        sa.Column("max_per_second", sa.Integer(), nullable=True),
        sa.Column("max_per_day", sa.Integer(), nullable=True),
        sa.Column("authenticated", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["environment_id"], ["environment.id"], name=op.f("fk_route_environment_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["provider_account_id"], ["provider_account.id"], name=op.f("fk_route_provider_account_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_route")),
        sa.UniqueConstraint(
            "environment_id", "provider_account_id", name=op.f("uq_route_environment_id_provider_account_id")
        ),
    )
    op.create_index(op.f("ix_route_provider_account_id"), "route", ["provider_account_id"], unique=False)
    op.create_table(
        "attachment",
        sa.Column("email_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("filename", sa.Text(), nullable=False),
        sa.Column("content_type", sa.Text(), nullable=False),
        sa.Column("content_id", sa.Text(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["email_id"], ["email.id"], name=op.f("fk_attachment_email_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("email_id", "position", name=op.f("pk_attachment")),
    )
    op.create_table(
        "attempt",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("email_id", sa.Uuid(), nullable=False),
        sa.Column("provider_account_id", sa.Uuid(), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("start_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("end_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("candidates", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.ForeignKeyConstraint(
            ["email_id"], ["email.id"], name=op.f("fk_attempt_email_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["provider_account_id"], ["provider_account.id"], name=op.f("fk_attempt_provider_account_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_attempt")),
    )
    op.create_index(op.f("ix_attempt_email_id"), "attempt", ["email_id"], unique=False)
    op.create_index(
        op.f("ix_attempt_provider_account_id_start_time"),
        "attempt",
        ["provider_account_id", "start_time"],
        unique=False,
    )
    op.create_table(
        "provider_event",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("provider_account_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("recipient", sa.Text(), nullable=False),
        sa.Column("email_id", sa.Uuid(), nullable=True),
        sa.Column("event", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("match_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("create_time", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "kind IN ('accepted', 'deferred', 'delivered', 'bounced', 'dropped', 'complained', 'opened', 'clicked', 'unsubscribed', 'other')",
            name=op.f("ck_provider_event_kind"),
        ),
        sa.ForeignKeyConstraint(
            ["email_id"], ["email.id"], name=op.f("fk_provider_event_email_id"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["provider_account_id"],
            ["provider_account.id"],
            name=op.f("fk_provider_event_provider_account_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_provider_event")),
        sa.UniqueConstraint(
            "provider_account_id", "key", name=op.f("uq_provider_event_provider_account_id_key")
        ),
    )
    op.create_index(op.f("ix_provider_event_email_id"), "provider_event", ["email_id"], unique=False)
    op.create_index(
        "ix_provider_event_match_time",
        "provider_event",
        ["match_time"],
        unique=False,
        postgresql_where=sa.text("match_time IS NOT NULL"),
    )
    op.create_table(
        "recipient",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("email_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("update_time", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("kind IN ('to', 'cc', 'bcc')", name=op.f("ck_recipient_kind")),
        sa.CheckConstraint(
            "state IN ('queued', 'sending', 'sent', 'deferred', 'delivered', 'bounced', 'failed', 'suppressed', 'canceled')",
            name=op.f("ck_recipient_state"),
        ),
        sa.ForeignKeyConstraint(
            ["email_id"], ["email.id"], name=op.f("fk_recipient_email_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_recipient")),
    )
    op.create_index(op.f("ix_recipient_email_id"), "recipient", ["email_id"], unique=False)
    op.create_table(
        "event",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("email_id", sa.Uuid(), nullable=False),
        sa.Column("recipient_id", sa.BigInteger(), nullable=True),
        sa.Column("attempt_id", sa.Uuid(), nullable=True),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("time", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("detail", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.ForeignKeyConstraint(
            ["attempt_id"], ["attempt.id"], name=op.f("fk_event_attempt_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["email_id"], ["email.id"], name=op.f("fk_event_email_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["recipient_id"], ["recipient.id"], name=op.f("fk_event_recipient_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_event")),
    )
    op.create_index(op.f("ix_event_email_id_id"), "event", ["email_id", "id"], unique=False)
    op.create_table(
        "ledger",
        sa.Column("attempt_id", sa.Uuid(), nullable=False),
        sa.Column("recipient_id", sa.BigInteger(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("provider_message_id", sa.Text(), nullable=False),
        sa.Column("fate", sa.Text(), nullable=True),
        sa.Column("action", sa.Text(), nullable=True),
        sa.CheckConstraint("fate IN ('deferred', 'delivered', 'bounced')", name=op.f("ck_ledger_fate")),
        sa.CheckConstraint(
            "outcome IN ('accepted', 'not_sent', 'refused', 'ambiguous')", name=op.f("ck_ledger_outcome")
        ),
        sa.ForeignKeyConstraint(
            ["attempt_id"], ["attempt.id"], name=op.f("fk_ledger_attempt_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["recipient_id"], ["recipient.id"], name=op.f("fk_ledger_recipient_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("attempt_id", "recipient_id", name=op.f("pk_ledger")),
    )
    op.create_index(
        "ix_ledger_provider_message_id",
        "ledger",
        ["provider_message_id"],
        unique=False,
        postgresql_where=sa.text("provider_message_id <> ''"),
    )
    op.create_index(op.f("ix_ledger_recipient_id"), "ledger", ["recipient_id"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_ledger_recipient_id"), table_name="ledger")
    op.drop_index(
        "ix_ledger_provider_message_id",
        table_name="ledger",
        postgresql_where=sa.text("provider_message_id <> ''"),
    )
    op.drop_table("ledger")
    op.drop_index(op.f("ix_event_email_id_id"), table_name="event")
    op.drop_table("event")
    op.drop_index(op.f("ix_recipient_email_id"), table_name="recipient")
    op.drop_table("recipient")
    op.drop_index(
        "ix_provider_event_match_time",
        table_name="provider_event",
        postgresql_where=sa.text("match_time IS NOT NULL"),
    )
    op.drop_index(op.f("ix_provider_event_email_id"), table_name="provider_event")
    op.drop_table("provider_event")
    op.drop_index(op.f("ix_attempt_provider_account_id_start_time"), table_name="attempt")
    op.drop_index(op.f("ix_attempt_email_id"), table_name="attempt")
    op.drop_table("attempt")
    op.drop_table("attachment")
    op.drop_index(op.f("ix_route_provider_account_id"), table_name="route")
    op.drop_table("route")
    op.drop_index(
        "ix_inbound_due_time", table_name="inbound", postgresql_where=sa.text("due_time IS NOT NULL")
    )
    op.drop_table("inbound")
    op.drop_index(op.f("ix_email_environment_id_create_time_id"), table_name="email")
    op.drop_index("ix_email_due_time", table_name="email", postgresql_where=sa.text("due_time IS NOT NULL"))
    op.drop_table("email")
    op.drop_table("delay")
    op.drop_table("breaker")
    op.drop_index(op.f("ix_api_key_environment_id_create_time_id"), table_name="api_key")
    op.drop_table("api_key")
    op.drop_index(op.f("ix_suppression_account_id_create_time_id"), table_name="suppression")
    op.drop_table("suppression")
    op.drop_index(op.f("ix_provider_account_account_id_create_time_id"), table_name="provider_account")
    op.drop_table("provider_account")
    op.drop_index(op.f("ix_member_user_id"), table_name="member")
    op.drop_table("member")
    op.drop_index(op.f("ix_environment_account_id_create_time_id"), table_name="environment")
    op.drop_table("environment")
    op.drop_index("uq_alert_open", table_name="alert", postgresql_where=sa.text("resolve_time IS NULL"))
    op.drop_index(op.f("ix_alert_account_id_create_time_id"), table_name="alert")
    op.drop_table("alert")
    op.drop_table("user")
    op.drop_index(op.f("ix_account_create_time_id"), table_name="account")
    op.drop_table("account")
