"""Any SMTP server (RFC 5321; providers.md section 5)."""

from __future__ import annotations

import base64
import re
import threading
import time
from collections.abc import Mapping

from flute_server.domain import verp
from flute_server.domain.capability import Capabilities
from flute_server.domain.message import Handoff
from flute_server.domain.outcome import ErrorKind, Reply, SendResult
from flute_server.providers import mime
from flute_server.providers.addressing import ascii_email
from flute_server.providers.advice import advice
from flute_server.providers.base import (
    CredentialCheck,
    CredentialError,
    Field,
    Network,
    Provider,
    dkim_field,
)
from flute_server.providers.failures import Fault, Rule, codes, judge, rule_for
from flute_server.providers.redaction import clip, redactor
from flute_server.providers.smtp_session import Broken, Envelope, Refused, Server, Session, SmtpReply

MAX_MAILS = 100  # a session; many servers end it about there
MAX_IDLE_S = 60.0  # many servers end an idle session after 5 minutes, some after 1

TEMPORARY = range(400, 500)
PERMANENT = range(500, 600)

# What servers call the mail: "queued as X" (Postfix), "id=X" (Exim), "Ok <id>" (SES), "OK ... - gsmtp".
_QUEUE_ID = re.compile(
    r"\bqueued(?: mail)?(?: for delivery)?(?: as|:)? ([\w.<>@=+-]{4,})|\bid=([\w-]+)"
    r"|^(?:2\.\d\.\d )?Ok ([0-9a-f][0-9a-f-]{15,})|([\w.-]{6,}) - gsmtp",
    re.IGNORECASE,
)

_DOMAIN = re.compile(r"(?=.{1,180}\Z)(?:[a-z0-9-]{1,63}\.)+[a-z0-9-]{1,63}", re.IGNORECASE | re.ASCII)

# providers.md 5.4. `field` is the stage, `codes` the enhanced status code (RFC 3463). It is the relay that
# speaks: its 5.7.x is about us and it, so that another provider may well take the mail.
FAILURES = (
    Rule(ErrorKind.REQUEST, field="^utf8"),
    Rule(ErrorKind.TOO_LARGE, field="^size"),
    Rule(
        ErrorKind.RATE,
        status=TEMPORARY,
        says=r"\brate\b|throttl|too (many|fast)|slow down",
        field="^(greeting|hello|login|sender|data|content)",
    ),
    Rule(
        ErrorKind.RATE, codes=codes("4.7.28", "4.7.650"), field="^(greeting|hello|login|sender|data|content)"
    ),
    Rule(ErrorKind.SERVER, status=421),
    Rule(ErrorKind.SERVER, status=TEMPORARY, field="^(greeting|hello|tls|login|sender|data)"),
    Rule(ErrorKind.AUTH, field="^login"),
    Rule(ErrorKind.AUTH, status=530),
    Rule(ErrorKind.AUTH, status=534),
    Rule(ErrorKind.AUTH, status=535),
    Rule(ErrorKind.AUTH, status=538),
    Rule(ErrorKind.AUTH, codes=codes("5.7.8", "5.7.9", "5.7.11")),
    Rule(ErrorKind.SERVER, field="^(greeting|hello|tls)"),
    Rule(
        ErrorKind.AUTH, status=PERMANENT, says=r"relay\w* (access )?(denied|not|prohibited)|not authenticated"
    ),
    Rule(ErrorKind.QUOTA, codes=codes("5.4.5", "4.4.5")),
    Rule(ErrorKind.QUOTA, says=r"(sending|daily|hourly|monthly) (\w+ )?(quota|limit)"),
    Rule(ErrorKind.TEMPORARY, codes=codes("5.2.2", "4.2.2")),  # mailbox full
    Rule(ErrorKind.TOO_LARGE, status=552),
    Rule(ErrorKind.TOO_LARGE, status=523),
    Rule(ErrorKind.TOO_LARGE, codes=codes("5.3.4", "5.2.3")),
    Rule(
        ErrorKind.SENDER, codes=codes("5.1.7", "5.1.8", *(f"5.7.{n}" for n in (20, 21, 22, 23, 25, 26, 27)))
    ),
    Rule(ErrorKind.SENDER, status=501, field="^sender"),
    Rule(ErrorKind.REQUEST, status=range(500, 505), field="^(sender|data)"),
    Rule(ErrorKind.REQUEST, status=555),
    Rule(ErrorKind.SENDER, status=PERMANENT, field="^sender"),
    Rule(
        ErrorKind.TEMPORARY, status=TEMPORARY
    ),  # of a recipient, or of the mail as a whole: greylisted, busy
    Rule(ErrorKind.RECIPIENT, codes=codes("5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10", "5.2.1", "5.4.1")),
    Rule(ErrorKind.TEMPORARY, codes=codes("5.4.4", "5.4.6", "5.4.7")),
    Rule(ErrorKind.REQUEST, codes=codes("5.7.0", "5.7.1")),
    Rule(ErrorKind.REQUEST, says=r"spam|block(ed|list)|blacklist|policy|reputation"),
    Rule(ErrorKind.RECIPIENT, status=501, field="^recipient"),
    Rule(ErrorKind.REQUEST, status=range(500, 505), field="^recipient"),
    Rule(ErrorKind.RECIPIENT, status=PERMANENT, field="^recipient"),
    Rule(ErrorKind.MESSAGE, codes=codes(*(f"5.6.{n}" for n in range(10)))),
    Rule(ErrorKind.REQUEST),  # 554 and the like at the end, without more: another provider may take it
)


class Smtp(Provider):
    """Sessions are kept and reused; a mail that fails at the start of a kept one is tried on a fresh one."""

    slug = "smtp"
    name = "SMTP"
    about = "Any mail server that takes mail by SMTP: your own, Amazon SES, or another service."
    fields = (
        Field("host", "Server"),
        Field("port", "Port", required=False, default="587", help="587 with starttls, 465 with tls."),
        Field(
            "security",
            "Encryption",
            required=False,
            default="starttls",
            choices=("starttls", "tls", "none"),
            help="none sends the password readable: only on a network of your own.",
        ),
        Field("username", "User name", required=False, help="Leave empty when the server wants no login."),
        Field("password", "Password", secret=True, required=False),
        Field("ehlo_name", "Our name in EHLO", required=False, help="Only if the server insists on one."),
        Field(
            "bounce_domain",
            "Domain for bounces",
            required=False,
            help="A domain whose MX leads to `flute bounces`, best one below the FROM domain (for SPF and "
            "DMARC). Empty: bounces go to the sender, and Flute does not see them.",
        ),
        dkim_field("default"),
    )
    capabilities = Capabilities(
        max_bytes=50 * 1024 * 1024,  # the server's own SIZE is asked when connected
        max_recipients=100,  # what every server must take (RFC 5321 section 4.5.3.1.8)
        forbidden_headers=mime.OWN_HEADERS | {"return-path", "sender"},
        forbidden_header_prefixes=("content-", "resent-"),
        internationalized_sender=True,
        internationalized_recipient=True,
        tracking=False,
        separates_envelope=True,
        names_copies=True,
    )

    def __init__(self, credentials: Mapping[str, str], network: Network) -> None:
        super().__init__(credentials, network)
        given = self.credentials
        self._server = Server(
            given["host"],
            int(given["port"]),
            given["security"],
            given["username"],
            given["password"],
            given["ehlo_name"],
            network.connect_timeout_s,
            network.read_timeout_s,
            network.allow_private,
            network.ca_file,
        )
        login = base64.b64encode(f"\0{given['username']}\0{given['password']}".encode()).decode()
        self._redact = redactor([given["password"], login] if given["password"] else [])
        self._idle: list[Session] = []
        self._lock = threading.Lock()

    @classmethod
    def validate(cls, credentials: Mapping[str, str]) -> dict[str, str]:
        values = super().validate(credentials)
        if not re.fullmatch(r"[\w.:\[\]-]{1,253}", values["host"]):
            raise CredentialError("host", "host is a host name or an IP address, without a scheme or a port")
        if not values["port"].isdecimal() or not 0 < int(values["port"]) < 65536:
            raise CredentialError("port", "port is a number from 1 to 65535")
        if bool(values["username"]) != bool(values["password"]):
            missing = "password" if values["username"] else "username"
            raise CredentialError(missing, "user name and password are needed both or not at all")
        if not re.fullmatch(r"[\w.:\[\]-]*", values["ehlo_name"], re.ASCII):
            raise CredentialError("ehlo_name", "ehlo_name is a host name")
        if values["bounce_domain"] and not _DOMAIN.fullmatch(values["bounce_domain"]):
            raise CredentialError("bounce_domain", "bounce_domain is a domain such as bounces.example.org")
        return values

    def send(self, handoff: Handoff) -> SendResult:
        try:
            envelope = _envelope(handoff, time.time(), self._return_path(handoff))
        except mime.UnsafeHeader as error:
            return SendResult(Reply(ErrorKind.MESSAGE, text=clip(str(error))))
        try:
            reply, refused = self._transact(envelope)
        except Refused as error:
            return judge(FAILURES, [self._fault(error.reply)], handoff)
        except Broken as error:
            return SendResult(self._broken(error))
        return self._result(reply, refused, handoff)

    def check(self) -> CredentialCheck:
        """Connect, secure, log in and leave."""
        session = Session(self._server)
        try:
            session.open()
        except (Refused, Broken) as error:
            kind = ErrorKind.AUTH if isinstance(error, Refused) else ErrorKind.UNREACHABLE
            text = clip(self._redact(str(error)))
            refused = isinstance(error, Refused) and self._is_about_login(error.reply)
            return CredentialCheck(ok=False, text=text, advice=advice(kind, text), refused=refused)
        session.close()
        return CredentialCheck(ok=True, text=f"{self._server.host} accepts these credentials")

    def close(self) -> None:
        with self._lock:
            sessions, self._idle = self._idle, []
        for session in sessions:
            session.close()

    def _return_path(self, handoff: Handoff) -> str:
        """Where bounces go, an address that none but us can make; empty: to the sender itself."""
        domain, secret = self.credentials["bounce_domain"], self.network.bounce_secret
        if not domain or not secret:
            return ""
        ids = {recipient.id for recipient in handoff.recipients}
        return verp.return_path(secret, handoff.attempt_id, ids.pop() if len(ids) == 1 else verp.ALL, domain)

    def _transact(self, envelope: Envelope) -> tuple[SmtpReply, dict[str, SmtpReply]]:
        session = self._kept()
        if session is not None:
            try:
                return self._use(session, envelope)
            except (Refused, Broken) as error:
                if not _stale(error):
                    raise
        fresh = Session(self._server)
        fresh.open()
        return self._use(fresh, envelope)

    def _use(self, session: Session, envelope: Envelope) -> tuple[SmtpReply, dict[str, SmtpReply]]:
        """One mail; afterwards the session is kept if it is certainly in order."""
        usable = False
        try:
            reply, refused = session.transact(envelope)
            usable = reply.positive or session.reset()
        except Refused as error:
            usable = error.reply.code not in {0, 421} and session.reset()
            raise
        finally:
            self._keep(session, usable=usable)
        return reply, refused

    def _kept(self) -> Session | None:
        """The session used last; the others get old and are dropped, so the pool shrinks when load does."""
        now = time.monotonic()
        with self._lock:
            old = [s for s in self._idle if now - s.used_at >= MAX_IDLE_S]
            self._idle = [s for s in self._idle if now - s.used_at < MAX_IDLE_S]
            session = self._idle.pop() if self._idle else None
        for stale in old:
            stale.close()
        return session

    def _keep(self, session: Session, *, usable: bool) -> None:
        if usable and session.mails < MAX_MAILS:
            with self._lock:
                if len(self._idle) < self.network.max_connections:
                    self._idle.append(session)
                    return
        session.close()

    def _result(self, reply: SmtpReply, refused: dict[str, SmtpReply], handoff: Handoff) -> SendResult:
        exceptions = {
            recipient.id: self._reply(refused[address])
            for recipient in handoff.recipients
            if (address := ascii_email(recipient.address.email)) in refused
        }
        return SendResult(self._reply(reply), exceptions)

    def _reply(self, said: SmtpReply) -> Reply:
        fault = self._fault(said)
        if not said.positive:
            kind = rule_for(FAILURES, fault).kind
            return Reply(kind, str(said.code), code=said.enhanced, text=clip(fault.text))
        match = _QUEUE_ID.search(said.text)
        queue_id = next(filter(None, match.groups()), "") if match else ""
        return Reply(None, str(said.code), said.enhanced, clip(fault.text), queue_id.strip("<>"))

    def _fault(self, said: SmtpReply) -> Fault:
        return Fault(said.code, code=said.enhanced, text=self._redact(said.text), field=said.stage)

    def _is_about_login(self, said: SmtpReply) -> bool:
        return rule_for(FAILURES, self._fault(said)).kind is ErrorKind.AUTH

    def _broken(self, error: Broken) -> Reply:
        """providers.md 5.3: before the final dot left, nothing was handed over."""
        text = clip(self._redact(str(error)))
        if error.committed:
            return Reply(ErrorKind.AMBIGUOUS, text=f"the mail went out, but no reply came: {text}")
        opening = error.stage in {"connect", "greeting", "hello", "tls", "login"}
        return Reply(ErrorKind.UNREACHABLE if opening else ErrorKind.SERVER, text=text)


def _stale(error: Refused | Broken) -> bool:
    """A kept session that the server has ended meanwhile: seen at its first command, before any harm."""
    if isinstance(error, Broken):
        return error.stage == "sender" and not error.committed
    return error.reply.stage == "sender" and error.reply.code == 421


def _envelope(handoff: Handoff, now: float, return_path: str) -> Envelope:
    content = mime.build(handoff, now)
    sender = return_path or ascii_email(handoff.message.sender.email)
    recipients = tuple(dict.fromkeys(ascii_email(r.address.email) for r in handoff.recipients))
    for address in (sender, *recipients):
        if any(c in address for c in "\r\n\0<> "):
            raise mime.UnsafeHeader("an address holds a character that it cannot have")
    utf8 = not (content.isascii() and sender.isascii() and all(map(str.isascii, recipients)))
    return Envelope(sender, recipients, content, utf8, handoff.attempt_id if return_path else "")
