"""The order of events outlives a move to another PostgreSQL"""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

# The number is that of flute_server/sending/succession.py, which replaces the function after a restore.
_FUNCTION = """
CREATE FUNCTION event_order(transaction xid8) RETURNS xid8 LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (transaction::text::bigint + 0)::text::xid8
"""


def upgrade() -> None:
    op.execute(_FUNCTION)
    for table in ("event", "webhook_endpoint"):
        op.execute(f"ALTER TABLE {table} ALTER COLUMN xid SET DEFAULT event_order(pg_current_xact_id())")


def downgrade() -> None:
    for table in ("event", "webhook_endpoint"):
        op.execute(f"ALTER TABLE {table} ALTER COLUMN xid SET DEFAULT pg_current_xact_id()")
    op.execute("DROP FUNCTION event_order(xid8)")
