"""The public API"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from flute_server.models.base import Xid8

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


_KINDS = "kind IN ('provider_account', 'sender_domain', 'review'{})"
_STATES = (
    "state IN ({}'queued', 'sending', 'sent', 'deferred', 'delivered', 'bounced', 'failed', 'suppressed', "
    "'canceled')"
)
_CONDITIONS = (
    ("alert", "ck_alert_kind", _KINDS.format(", 'webhook'")),
    ("recipient", "ck_recipient_state", _STATES.format("'scheduled', ")),
)
_CONDITIONS_BEFORE = (
    ("alert", "ck_alert_kind", _KINDS.format("")),
    ("recipient", "ck_recipient_state", _STATES.format("")),
)

# What mail that was accepted before can be found by; see flute_server/domain/terms.py.
_TERMS = """
UPDATE email SET terms = ARRAY(
    SELECT 'to:' || lower(address) FROM recipient WHERE email_id = email.id
    UNION SELECT 'tag:' || tag FROM jsonb_array_elements_text(coalesce(content->'tags', '[]')) AS tag
    UNION SELECT 'meta:' || key || '=' || left(value, 200) FROM jsonb_each_text(coalesce(content->'metadata', '{}'))
    UNION SELECT 'word:' || word[1] FROM regexp_matches(lower(content->>'subject'), '\\w+', 'g') AS word
)
"""


def _fill_in() -> None:
    """Give rows that are there what new columns require."""
    for table in ("attempt", "recipient"):
        op.execute(
            f"UPDATE {table} SET environment_id = email.environment_id, email_time = email.create_time "
            f"FROM email WHERE email.id = {table}.email_id"
        )
        op.alter_column(table, "environment_id", nullable=False)
        op.alter_column(table, "email_time", nullable=False)
    op.execute(
        "UPDATE event SET environment_id = email.environment_id FROM email WHERE email.id = event.email_id"
    )
    op.alter_column("event", "environment_id", nullable=False)
    op.execute(_TERMS)


def upgrade() -> None:
    op.create_table(
        "follower",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("xid", Xid8(), nullable=False),
        sa.Column("event_id", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_follower")),
    )
    op.create_table(
        "audit_entry",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["account.id"], name=op.f("fk_audit_entry_account_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_entry")),
    )
    op.create_index(
        op.f("ix_audit_entry_account_id_create_time_id"),
        "audit_entry",
        ["account_id", "create_time", "id"],
        unique=False,
    )
    op.create_table(
        "idempotency_key",
        sa.Column("environment_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("answer", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["environment_id"],
            ["environment.id"],
            name=op.f("fk_idempotency_key_environment_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("environment_id", "key", name=op.f("pk_idempotency_key")),
    )
    op.create_index(op.f("ix_idempotency_key_create_time"), "idempotency_key", ["create_time"], unique=False)
    op.create_table(
        "tally",
        sa.Column("environment_id", sa.Uuid(), nullable=False),
        sa.Column("dimension", sa.Text(), nullable=False),
        sa.Column("grain", sa.Text(), nullable=False),
        sa.Column("start", sa.DateTime(timezone=True), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "dimension IN ('all', 'provider_account', 'tag', 'domain')", name=op.f("ck_tally_dimension")
        ),
        sa.CheckConstraint("grain IN ('hour', 'day')", name=op.f("ck_tally_grain")),
        sa.ForeignKeyConstraint(
            ["environment_id"], ["environment.id"], name=op.f("fk_tally_environment_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint(
            "environment_id", "dimension", "grain", "start", "key", "type", name=op.f("pk_tally")
        ),
    )
    op.create_table(
        "timing",
        sa.Column("environment_id", sa.Uuid(), nullable=False),
        sa.Column("dimension", sa.Text(), nullable=False),
        sa.Column("grain", sa.Text(), nullable=False),
        sa.Column("start", sa.DateTime(timezone=True), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("measure", sa.Text(), nullable=False),
        sa.Column("bucket", sa.Integer(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "dimension IN ('all', 'provider_account', 'tag', 'domain')", name=op.f("ck_timing_dimension")
        ),
        sa.CheckConstraint("grain IN ('hour', 'day')", name=op.f("ck_timing_grain")),
        sa.CheckConstraint("measure IN ('send', 'deliver')", name=op.f("ck_timing_measure")),
        sa.ForeignKeyConstraint(
            ["environment_id"], ["environment.id"], name=op.f("fk_timing_environment_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint(
            "environment_id",
            "dimension",
            "grain",
            "start",
            "key",
            "measure",
            "bucket",
            name=op.f("pk_timing"),
        ),
    )
    op.create_table(
        "webhook_endpoint",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("environment_id", sa.Uuid(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("event_types", postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("previous_secret", sa.LargeBinary(), nullable=True),
        sa.Column("previous_secret_expire_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("paused", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("pause_reason", sa.Text(), nullable=False),
        sa.Column("failing_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("retry_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("xid", Xid8(), server_default=sa.text("pg_current_xact_id()"), nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["environment_id"],
            ["environment.id"],
            name=op.f("fk_webhook_endpoint_environment_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_endpoint")),
    )
    op.create_index(
        op.f("ix_webhook_endpoint_environment_id_create_time_id"),
        "webhook_endpoint",
        ["environment_id", "create_time", "id"],
        unique=False,
    )
    op.create_table(
        "webhook_delivery",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("endpoint_id", sa.Uuid(), nullable=False),
        sa.Column("event_id", sa.BigInteger(), nullable=False),
        sa.Column("email_id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.Text(), server_default="pending", nullable=False),
        sa.Column("tries", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("due_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lease", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "state IN ('pending', 'delivered', 'failed')", name=op.f("ck_webhook_delivery_state")
        ),
        sa.ForeignKeyConstraint(
            ["endpoint_id"],
            ["webhook_endpoint.id"],
            name=op.f("fk_webhook_delivery_endpoint_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["event_id"], ["event.id"], name=op.f("fk_webhook_delivery_event_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_delivery")),
        sa.UniqueConstraint("endpoint_id", "event_id", name=op.f("uq_webhook_delivery_endpoint_id_event_id")),
    )
    op.create_index(
        "ix_webhook_delivery_due",
        "webhook_delivery",
        ["endpoint_id", "due_time", "event_id"],
        unique=False,
        postgresql_where=sa.text("due_time IS NOT NULL"),
    )
    op.create_index(
        op.f("ix_webhook_delivery_endpoint_id_state_event_id"),
        "webhook_delivery",
        ["endpoint_id", "state", "event_id"],
        unique=False,
    )
    op.create_index(op.f("ix_webhook_delivery_event_id"), "webhook_delivery", ["event_id"], unique=False)
    op.create_index(
        "ix_webhook_delivery_waiting",
        "webhook_delivery",
        ["endpoint_id", "email_id", "event_id"],
        unique=False,
        postgresql_where=sa.text("due_time IS NOT NULL"),
    )
    op.create_table(
        "webhook_try",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("delivery_id", sa.Uuid(), nullable=False),
        sa.Column("start_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("duration_ms", sa.Integer(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["delivery_id"],
            ["webhook_delivery.id"],
            name=op.f("fk_webhook_try_delivery_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_try")),
    )
    op.create_index(op.f("ix_webhook_try_delivery_id_id"), "webhook_try", ["delivery_id", "id"], unique=False)
    op.add_column("api_key", sa.Column("expire_time", sa.DateTime(timezone=True), nullable=True))
    op.add_column("api_key", sa.Column("kind", sa.Text(), server_default="live", nullable=False))
    op.add_column(
        "api_key",
        sa.Column(
            "scopes", postgresql.ARRAY(sa.Text()), server_default=sa.text("'{send,read}'"), nullable=False
        ),
    )
    op.add_column("api_key", sa.Column("rate_per_second", sa.Integer(), nullable=True))
    op.add_column("api_key", sa.Column("rate_burst", sa.Integer(), nullable=True))
    op.add_column(
        "attempt", sa.Column("simulated", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    )
    op.add_column("attempt", sa.Column("environment_id", sa.Uuid(), nullable=True))
    op.add_column("attempt", sa.Column("email_time", sa.DateTime(timezone=True), nullable=True))
    op.add_column("email", sa.Column("send_time", sa.DateTime(timezone=True), nullable=True))
    op.add_column("email", sa.Column("test", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.add_column("email", sa.Column("resent_from", sa.Uuid(), nullable=True))
    op.add_column(
        "email",
        sa.Column("terms", postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
    )
    op.add_column("environment", sa.Column("rate_per_second", sa.Integer(), nullable=True))
    op.add_column("environment", sa.Column("rate_burst", sa.Integer(), nullable=True))
    op.add_column("environment", sa.Column("monthly_quota", sa.BigInteger(), nullable=True))
    op.add_column(
        "environment",
        sa.Column("one_click_unsubscribe", sa.Boolean(), server_default=sa.text("false"), nullable=False),
    )
    op.add_column("event", sa.Column("environment_id", sa.Uuid(), nullable=True))
    op.add_column(
        "event", sa.Column("xid", Xid8(), server_default=sa.text("pg_current_xact_id()"), nullable=False)
    )
    op.add_column("recipient", sa.Column("environment_id", sa.Uuid(), nullable=True))
    op.add_column("recipient", sa.Column("email_time", sa.DateTime(timezone=True), nullable=True))
    _fill_in()
    op.create_index(
        "ix_attempt_listing",
        "attempt",
        ["environment_id", "provider_account_id", "email_time", "email_id"],
        unique=False,
    )
    op.create_index(
        "ix_email_terms",
        "email",
        ["terms"],
        unique=False,
        postgresql_using="gin",
        postgresql_with={"gin_pending_list_limit": "256"},
    )
    op.create_index(
        op.f("ix_event_environment_id_xid_id"), "event", ["environment_id", "xid", "id"], unique=False
    )
    op.create_index(op.f("ix_event_xid_id"), "event", ["xid", "id"], unique=False)
    op.create_index(op.f("ix_event_time"), "event", ["time"], unique=False, postgresql_using="brin")
    op.create_index(
        "ix_recipient_listing",
        "recipient",
        ["environment_id", "state", "email_time", "email_id"],
        unique=False,
    )
    for table, constraint, condition in _CONDITIONS:
        op.drop_constraint(op.f(constraint), table, type_="check")
        op.create_check_constraint(op.f(constraint), table, condition)


def downgrade() -> None:
    op.execute("UPDATE recipient SET state = 'queued' WHERE state = 'scheduled'")
    op.execute("DELETE FROM alert WHERE kind = 'webhook'")
    for table, constraint, condition in _CONDITIONS_BEFORE:
        op.drop_constraint(op.f(constraint), table, type_="check")
        op.create_check_constraint(op.f(constraint), table, condition)
    op.drop_index("ix_recipient_listing", table_name="recipient")
    op.drop_column("recipient", "email_time")
    op.drop_column("recipient", "environment_id")
    op.drop_index(op.f("ix_event_time"), table_name="event", postgresql_using="brin")
    op.drop_index(op.f("ix_event_xid_id"), table_name="event")
    op.drop_index(op.f("ix_event_environment_id_xid_id"), table_name="event")
    op.drop_column("event", "xid")
    op.drop_column("event", "environment_id")
    op.drop_column("environment", "one_click_unsubscribe")
    op.drop_column("environment", "monthly_quota")
    op.drop_column("environment", "rate_burst")
    op.drop_column("environment", "rate_per_second")
    op.drop_index(
        "ix_email_terms",
        table_name="email",
        postgresql_using="gin",
        postgresql_with={"gin_pending_list_limit": "256"},
    )
    op.drop_column("email", "terms")
    op.drop_column("email", "resent_from")
    op.drop_column("email", "test")
    op.drop_column("email", "send_time")
    op.drop_index("ix_attempt_listing", table_name="attempt")
    op.drop_column("attempt", "email_time")
    op.drop_column("attempt", "environment_id")
    op.drop_column("attempt", "simulated")
    op.drop_column("api_key", "rate_burst")
    op.drop_column("api_key", "rate_per_second")
    op.drop_column("api_key", "scopes")
    op.drop_column("api_key", "kind")
    op.drop_column("api_key", "expire_time")
    op.drop_index(op.f("ix_webhook_try_delivery_id_id"), table_name="webhook_try")
    op.drop_table("webhook_try")
    op.drop_index(
        "ix_webhook_delivery_waiting",
        table_name="webhook_delivery",
        postgresql_where=sa.text("due_time IS NOT NULL"),
    )
    op.drop_index(op.f("ix_webhook_delivery_event_id"), table_name="webhook_delivery")
    op.drop_index(op.f("ix_webhook_delivery_endpoint_id_state_event_id"), table_name="webhook_delivery")
    op.drop_index(
        "ix_webhook_delivery_due",
        table_name="webhook_delivery",
        postgresql_where=sa.text("due_time IS NOT NULL"),
    )
    op.drop_table("webhook_delivery")
    op.drop_index(op.f("ix_webhook_endpoint_environment_id_create_time_id"), table_name="webhook_endpoint")
    op.drop_table("webhook_endpoint")
    op.drop_table("timing")
    op.drop_table("tally")
    op.drop_index(op.f("ix_idempotency_key_create_time"), table_name="idempotency_key")
    op.drop_table("idempotency_key")
    op.drop_index(op.f("ix_audit_entry_account_id_create_time_id"), table_name="audit_entry")
    op.drop_table("audit_entry")
    op.drop_table("follower")
