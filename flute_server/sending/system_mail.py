"""Sending Flute's own mail, through the route that the operator set: never a tenant's provider.

A mail is in the database until it has left: claimed with a lease, sent, deleted. What dies in between leaves
the mail to be sent again when the lease is over, with the same Message-ID: rather twice than never.
"""

from __future__ import annotations

import logging
import threading
from datetime import timedelta
from email.utils import parseaddr

from flask import Flask
from sqlalchemy import Row
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from flute_server.config import Config, ConfigError, Relay
from flute_server.domain.message import Address, Handoff, Message, Recipient, RecipientKind
from flute_server.domain.outcome import ErrorKind, Reply
from flute_server.models import autocommit
from flute_server.providers.base import Network
from flute_server.providers.smtp import Smtp
from flute_server.vault import vault

log = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0
TROUBLE_PAUSE_S = 5.0
LEASE = timedelta(minutes=2)
GIVE_UP_AFTER = timedelta(days=1)
FIRST_PAUSE = timedelta(seconds=15)
LONGEST_PAUSE = timedelta(hours=1)
PORTION = 20
# How often to say in the log that mail waits for a route, and to forget what is over.
TIDY_EVERY_LOOKS = 600
NO_ROUTE = (
    "%s mails of Flute's own (confirmations, resets, invitations, alerts) wait and nothing sends them: set"
    " FLUTE_SYSTEM_SMTP and FLUTE_SYSTEM_FROM; `flute user mail` shows their links"
)
# What no later try would mend.
HOPELESS = frozenset({ErrorKind.RECIPIENT, ErrorKind.MESSAGE})

_CLAIM = """
UPDATE system_mail SET next_try_time = now() + %(lease)s, tries = tries + 1,
    give_up_time = coalesce(give_up_time, now() + %(give_up_after)s)
WHERE id IN (
    SELECT id FROM system_mail WHERE next_try_time <= now() AND expire_time > now()
    ORDER BY next_try_time LIMIT %(most)s FOR UPDATE SKIP LOCKED
)
RETURNING id, kind, recipient, content, tries, give_up_time <= now() + %(next)s AS last
"""
_LEFT = "DELETE FROM system_mail WHERE id = %(id)s"
_FAILED = """
UPDATE system_mail SET last_error = %(error)s, next_try_time = now() + %(pause)s
WHERE id = %(id)s AND tries = %(tries)s
"""
_TIDY = (
    "DELETE FROM system_mail WHERE expire_time <= now()",
    "DELETE FROM sign_up WHERE expire_time <= now()",
    "DELETE FROM user_token WHERE expire_time <= now()",
    "DELETE FROM session WHERE expire_time <= now()",
    "DELETE FROM invitation WHERE expire_time <= now() - interval '30 days'",
)


class Postman:
    """Sends what waits, in one process; any number of processes may have one."""

    def __init__(self, app: Flask) -> None:
        config: Config = app.config["FLUTE"]
        self._app = app
        self._vault = vault(config.secret_keys)
        self._sender = Address(*reversed(parseaddr(config.system_from)))
        self._route = _connect(config, config.system_smtp) if config.system_smtp else None
        self._looks = 0

    def run(self, stop: threading.Event) -> None:
        """Send until told to stop; trouble is said once."""
        away, pause = False, LOOK_EVERY_S
        while not stop.wait(pause):
            try:
                sent = self.turn()
                away, pause = False, 0.0 if sent == PORTION else LOOK_EVERY_S
            except (DBAPIError, PoolTimeoutError) as error:
                if not away:
                    log.warning("system mail waits for the database: %s", str(error).splitlines()[0])
                away, pause = True, TROUBLE_PAUSE_S
            except Exception:
                if not away:
                    log.exception("system mail failed unforeseen, trying on")
                away, pause = True, TROUBLE_PAUSE_S
        self.close()

    def close(self) -> None:
        """End the connection to the mail server."""
        if self._route:
            self._route.close()

    def turn(self) -> int:
        """Send what is due, a portion of it; how many were tried."""
        with self._app.app_context():
            if self._looks % TIDY_EVERY_LOOKS == 0:
                self._tidy()
            self._looks += 1
            if self._route is None:
                return 0
            rows = _claim()
            for row in rows:
                _settle(row, self._send(self._route, row))
            return len(rows)

    def _send(self, route: Smtp, row: Row[tuple[object, ...]]) -> Reply:
        try:
            content = self._vault.open(row.content)
        except ConfigError as error:  # the operator may find the key yet, and other mail must not wait for it
            return Reply(ErrorKind.SERVER, text=str(error))
        message = Message(
            sender=self._sender,
            to=(Address(row.recipient),),
            subject=content["subject"],
            text=content["text"],
            html=content["html"],
            headers=(("Auto-Submitted", "auto-generated"),),
        )
        recipient = Recipient("1", message.to[0], RecipientKind.TO)
        # The id makes the Message-ID, so that a mail sent twice is seen to be one.
        handoff = Handoff(str(row.id), str(row.id), message, (recipient,))
        return route.send(handoff).of(recipient.id)

    def _tidy(self) -> None:
        with autocommit() as connection:
            for statement in _TIDY:
                connection.exec_driver_sql(statement)
            if self._route is None:
                waiting = connection.exec_driver_sql("SELECT count(*) FROM system_mail").scalar_one()
                if waiting:
                    log.warning(NO_ROUTE, waiting)


def _connect(config: Config, relay: Relay) -> Smtp:
    credentials = Smtp.validate(
        {
            "host": relay.host,
            "port": str(relay.port),
            "security": relay.security,
            "username": relay.username,
            "password": relay.password,
        }
    )
    # The operator may well have a relay in the own network, and no tenant has a say in it.
    network = Network(config.connect_timeout_s, config.read_timeout_s, allow_private=True, max_connections=1)
    return Smtp(credentials, network)


def _claim() -> list[Row[tuple[object, ...]]]:
    values = {"lease": LEASE, "give_up_after": GIVE_UP_AFTER, "most": PORTION, "next": FIRST_PAUSE}
    with autocommit() as connection:
        return list(connection.exec_driver_sql(_CLAIM, values))


def _settle(row: Row[tuple[object, ...]], reply: Reply) -> None:
    """Delete what has left or never will; the rest waits longer each time."""
    over = reply.kind in HOPELESS or row.last
    if reply.accepted or over:
        if not reply.accepted:
            log.warning("a system mail (%s) was given up after %s tries: %s", row.kind, row.tries, reply.text)
        with autocommit() as connection:
            connection.exec_driver_sql(_LEFT, {"id": row.id})
        return
    if row.tries == 1:
        log.warning("a system mail (%s) could not be sent, trying on: %s", row.kind, reply.text)
    pause = min(FIRST_PAUSE * 2 ** min(row.tries - 1, 12), LONGEST_PAUSE)
    values = {"id": row.id, "tries": row.tries, "error": reply.text[:1000], "pause": pause}
    with autocommit() as connection:
        connection.exec_driver_sql(_FAILED, values)
