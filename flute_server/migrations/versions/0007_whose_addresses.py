"""From where people logged in is theirs"""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

# What was written before: "from 192.0.2.1" at the end, and that of a session that was ended before it.
_FORGET = """
UPDATE audit_entry
SET text = regexp_replace(text, '(^|,? )from ([0-9a-fA-F.:]+|an unknown address)(?=,|$)', '', 'g')
WHERE (action LIKE 'session.%' OR action LIKE 'user.%') AND text ~ '(^| )from '
"""


def upgrade() -> None:
    op.execute(_FORGET)


def downgrade() -> None:
    """What was forgotten is not known any more."""
