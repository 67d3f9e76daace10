"""With which invitation somebody joins when they have proven their address"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("sign_up", sa.Column("invitation_id", sa.Uuid(), nullable=True))
    op.create_foreign_key(
        op.f("fk_sign_up_invitation_id"),
        "sign_up",
        "invitation",
        ["invitation_id"],
        ["id"],
        ondelete="CASCADE",
    )
    op.create_index(op.f("ix_sign_up_invitation_id"), "sign_up", ["invitation_id"])


def downgrade() -> None:
    op.drop_column("sign_up", "invitation_id")
