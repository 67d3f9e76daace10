"""Flute's own mail, as it is written down; workers send it (sending/system_mail.py)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from flask import current_app
from sqlalchemy import func, select

from flute_server.admin.mail_texts import Mail
from flute_server.admin.paging import page
from flute_server.config import Config
from flute_server.models import SystemMail, db
from flute_server.vault import vault

# Of no use any more after that, if nothing in it ends earlier: there was no route for it all the time.
KEPT = timedelta(days=7)


def config() -> Config:
    """The installation's settings."""
    found: Config = current_app.config["FLUTE"]
    return found


def is_configured() -> bool:
    """Whether mail leaves at all."""
    return config().system_smtp is not None


def link(kind: str, token: str) -> str:
    """Where a mail leads. kind: confirm, reset or invitation.

    It is a path alone while FLUTE_PUBLIC_URL is not set.
    """
    return f"{config().public_url}/{kind}/{token}"


def page_link(path: str) -> str:
    """The address of a page."""
    return f"{config().public_url}{path}"


def queue(recipient: str, mail: Mail, good_for: timedelta = KEPT) -> None:
    """Write a mail down, in the session's transaction: it leaves exactly if that is committed.

    good_for: how long what it says is true, after which it is not worth sending.
    """
    content = {"subject": mail.subject, "text": mail.text(), "html": mail.html()}
    db.session.add(
        SystemMail(
            kind=mail.kind,
            recipient=recipient,
            content=vault(config().secret_keys).seal(content),
            expire_time=datetime.now(UTC) + good_for,
        )
    )


def opened(row: SystemMail) -> dict[str, str]:
    """Subject, text and html of a mail."""
    return vault(config().secret_keys).open(row.content)


def list_page(size: int, token: str) -> tuple[list[SystemMail], str]:
    """What waits to leave, oldest first."""
    return page(select(SystemMail), SystemMail, size, token)


def standing() -> tuple[int, datetime | None, str]:
    """How many mails wait, since when, and what the mail server said last to one of them."""
    count, oldest = db.session.execute(select(func.count(), func.min(SystemMail.create_time))).one()
    said = select(SystemMail.last_error).where(SystemMail.last_error != "")
    return count, oldest, db.session.scalar(said.order_by(SystemMail.next_try_time.desc()).limit(1)) or ""
