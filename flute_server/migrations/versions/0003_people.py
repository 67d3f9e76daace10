"""People"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("account", _time("delete_time", nullable=True))
    op.create_index(
        "ix_account_delete_time",
        "account",
        ["delete_time"],
        postgresql_where=sa.text("delete_time IS NOT NULL"),
    )
    _users()
    _sessions()
    _invitations()
    _user_tokens()
    _sign_ups()
    _system_mail()


def _id() -> sa.Column[object]:
    return sa.Column("id", sa.Uuid(), nullable=False)


def _text(name: str, default: str | None = None) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), server_default=default, nullable=False)


def _hash(name: str = "hash") -> sa.Column[bytes]:
    return sa.Column(name, sa.LargeBinary(), nullable=False)


def _now(name: str = "create_time") -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False)


def _time(name: str = "expire_time", *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _index(table: str, *columns: str) -> None:
    op.create_index(op.f(f"ix_{table}_{'_'.join(columns)}"), table, list(columns), unique=False)


def _users() -> None:
    op.add_column(
        "user", sa.Column("operator", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    )
    op.add_column("user", _text("name", ""))
    op.add_column("user", _time("confirm_time", nullable=True))
    for name in ("totp", "totp_pending"):
        op.add_column("user", sa.Column(name, sa.LargeBinary(), nullable=True))
    op.add_column("user", sa.Column("totp_step", sa.BigInteger(), nullable=True))
    # Whoever was there before was made by the operator, who knew the address.
    op.execute('UPDATE "user" SET confirm_time = create_time')
    _index("user", "create_time", "id")
    op.create_table(
        "recovery_code",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        _hash(),
        sa.ForeignKeyConstraint(
            ["user_id"], ["user.id"], name=op.f("fk_recovery_code_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", "hash", name=op.f("pk_recovery_code")),
    )


def _sessions() -> None:
    op.create_table(
        "session",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=True),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("user_agent", sa.Text(), nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column(
            "last_used_time", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.Column("expire_time", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["account.id"], name=op.f("fk_session_account_id"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["user.id"], name=op.f("fk_session_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_session")),
        sa.UniqueConstraint("hash", name=op.f("uq_session_hash")),
    )
    for column in ("user_id", "account_id", "expire_time"):
        op.create_index(op.f(f"ix_session_{column}"), "session", [column], unique=False)


def _invitations() -> None:
    op.create_table(
        "invitation",
        _id(),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        *(_text(name) for name in ("email", "role", "inviter")),
        _hash(),
        _hash("mail_hash"),
        _now(),
        _time(),
        sa.CheckConstraint(
            "role IN ('owner', 'admin', 'developer', 'viewer')", name=op.f("ck_invitation_role")
        ),
        sa.ForeignKeyConstraint(
            ["account_id"], ["account.id"], name=op.f("fk_invitation_account_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_invitation")),
        sa.UniqueConstraint("account_id", "email", name=op.f("uq_invitation_account_id_email")),
        sa.UniqueConstraint("hash", name=op.f("uq_invitation_hash")),
        sa.UniqueConstraint("mail_hash", name=op.f("uq_invitation_mail_hash")),
    )
    _index("invitation", "account_id", "create_time", "id")


def _user_tokens() -> None:
    op.create_table(
        "user_token",
        _id(),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        _text("kind"),
        _hash(),
        _text("email", ""),
        sa.Column("tries", sa.Integer(), server_default="0", nullable=False),
        _now(),
        _time(),
        sa.CheckConstraint(
            "kind IN ('confirm', 'change', 'reset', 'challenge')", name=op.f("ck_user_token_kind")
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["user.id"], name=op.f("fk_user_token_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_user_token")),
        sa.UniqueConstraint("hash", name=op.f("uq_user_token_hash")),
    )
    _index("user_token", "user_id", "kind", "create_time")
    _index("user_token", "expire_time")


def _sign_ups() -> None:
    op.create_table(
        "sign_up",
        _id(),
        *(_text(name) for name in ("email", "name", "account_name", "password_hash")),
        _hash(),
        _now(),
        _time(),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sign_up")),
        sa.UniqueConstraint("hash", name=op.f("uq_sign_up_hash")),
    )
    _index("sign_up", "expire_time")


def _system_mail() -> None:
    op.create_table(
        "system_mail",
        _id(),
        _text("kind"),
        _text("recipient"),
        _hash("content"),
        sa.Column("tries", sa.Integer(), server_default="0", nullable=False),
        _text("last_error", ""),
        _now(),
        _now("next_try_time"),
        _time("give_up_time", nullable=True),
        _time(),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_system_mail")),
    )
    _index("system_mail", "next_try_time")
    _index("system_mail", "create_time", "id")
    _index("system_mail", "expire_time")


def downgrade() -> None:
    for table in ("system_mail", "sign_up", "user_token", "invitation", "session", "recovery_code"):
        op.drop_table(table)
    op.drop_index(op.f("ix_user_create_time_id"), "user")
    for column in ("totp_step", "totp_pending", "totp", "confirm_time", "name", "operator"):
        op.drop_column("user", column)
    op.drop_index("ix_account_delete_time", "account")
    op.drop_column("account", "delete_time")
