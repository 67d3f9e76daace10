"""What came back of a mail goes with its content"""

from __future__ import annotations

import base64
import re
import uuid

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

# The attempt in a signed return path, see flute_server/domain/verp.py. That it was signed is proven already.
_RETURN_PATH = re.compile(r"bounce\+([a-z2-7]{26})\.[a-z2-7]{2,13}\.[a-z2-7]{16}@", re.IGNORECASE | re.ASCII)
_BOUNCES = "SELECT id, recipient FROM inbound WHERE provider_account_id IS NULL AND due_time IS NULL"
_FILE = "UPDATE inbound SET email_id = a.email_id FROM attempt a WHERE a.id = :attempt AND inbound.id = :id"
# Of a webhook each event is kept by itself.
_READ = """
UPDATE inbound SET body = '' WHERE provider_account_id IS NOT NULL AND due_time IS NULL AND error = ''
"""
_REMOVE = (
    """
DELETE FROM inbound USING email m WHERE m.id = inbound.email_id AND m.content ? 'removed_after_days'
""",
    """
UPDATE provider_event p SET event = p.event - 'raw'
FROM email m WHERE m.id = p.email_id AND m.content ? 'removed_after_days'
""",
)


def upgrade() -> None:
    op.add_column("inbound", sa.Column("email_id", sa.Uuid(), nullable=True))
    op.create_foreign_key(
        op.f("fk_inbound_email_id"), "inbound", "email", ["email_id"], ["id"], ondelete="CASCADE"
    )
    op.create_index(
        "ix_inbound_email_id", "inbound", ["email_id"], postgresql_where=sa.text("email_id IS NOT NULL")
    )
    connection = op.get_bind()
    for id_, recipient in connection.execute(sa.text(_BOUNCES)).all():
        if found := _RETURN_PATH.match(recipient):
            attempt = uuid.UUID(bytes=base64.b32decode(found[1].upper() + "======"))
            connection.execute(sa.text(_FILE), {"attempt": attempt, "id": id_})
    for statement in (_READ, *_REMOVE):
        connection.exec_driver_sql(statement)


def downgrade() -> None:
    op.drop_index("ix_inbound_email_id", "inbound")
    op.drop_constraint(op.f("fk_inbound_email_id"), "inbound", type_="foreignkey")
    op.drop_column("inbound", "email_id")
