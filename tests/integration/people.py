"""People as web lets them in: a browser with a session, and the mail that they get."""

from __future__ import annotations

import itertools
import re
import secrets
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import psycopg
import pyotp
import pytest
from flute.v1 import account_service_pb2, member_service_pb2, person_service_pb2, session_service_pb2
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from flute_server.local.client import Client
from tests.rpc import details
from tests.stack import Stack, until

PERSON, SESSION, MEMBER = person_service_pb2, session_service_pb2, member_service_pb2
PASSWORD = "correct horse battery"
_numbers = itertools.count(1)


def new_email() -> str:
    return f"{secrets.token_hex(5)}@people.example"


def new_address() -> str:
    """A client that nobody has met: what one does is no hindrance to another."""
    number = next(_numbers)
    return f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


def other_redis(url: str, number: int) -> str:
    """Another of its 16 databases: no worker of other tests takes our jobs, and limits are our own."""
    return f"{url.removesuffix('/0').partition('?')[0]}?db={number}"


@contextmanager
def refused(reason: str, *fields: str) -> Any:
    """The call inside is refused for this reason, naming these fields if any are given."""
    with pytest.raises(grpc.RpcError) as caught:
        yield caught
    found, wrong = details(caught.value)
    assert found == reason, caught.value
    assert not fields or wrong == list(fields)


def retry_after(error: grpc.RpcError) -> float:
    """After how many seconds the caller may come again."""
    assert isinstance(error, grpc.Call)
    status, info = rpc_status.from_call(error), error_details_pb2.RetryInfo()
    assert status is not None
    assert any(packed.Unpack(info) for packed in status.details)
    return float(info.retry_delay.ToTimedelta().total_seconds())


@dataclass
class Browser:
    """Somebody at web. secret: of their authenticator app; used: codes that they have typed."""

    people: People
    email: str = field(default_factory=new_email)
    address: str = field(default_factory=new_address)
    token: str = ""
    secret: str = ""
    used: set[str] = field(default_factory=set)

    @property
    def client(self) -> Client:
        return self.people.client

    def call(self, method: Callable[..., Any], request: Any) -> Any:
        metadata = [("x-client-address", self.address), ("x-client-agent", "Firefox")]
        if self.token:
            metadata.append(("authorization", f"Bearer {self.token}"))
        return method(request, metadata=metadata, timeout=60)

    def sign_up(self, **fields: Any) -> Any:
        given = {"email": self.email, "password": PASSWORD, "name": "Ada", "account_name": "Acme", **fields}
        return self.call(self.client.persons.SignUp, PERSON.SignUpRequest(**given))

    def log_in(self, password: str = PASSWORD) -> str:
        """The challenge, if one is asked; else the session is in hand."""
        request = SESSION.LogInRequest(email=self.email, password=password)
        answer = self.call(self.client.sessions.LogIn, request)
        self.token = answer.session_token or self.token
        return str(answer.challenge_token)

    def complete(self, challenge: str, code: str) -> None:
        request = SESSION.CompleteLogInRequest(challenge_token=challenge, code=code)
        self.token = self.call(self.client.sessions.CompleteLogIn, request).session_token

    def confirm(self, token: str, password: str = PASSWORD) -> Any:
        request = PERSON.ConfirmEmailRequest(token=token, password=password)
        return self.call(self.client.persons.ConfirmEmail, request)

    def me(self) -> Any:
        return self.call(self.client.persons.GetMe, PERSON.GetMeRequest())

    def reset(self, token: str, password: str) -> Any:
        request = PERSON.ResetPasswordRequest(token=token, new_password=password)
        return self.call(self.client.persons.ResetPassword, request)

    def code(self) -> str:
        """What the app shows, or will: the first that was not typed yet."""
        app = pyotp.TOTP(self.secret)
        for step in (0, 1, -1):
            code = app.at(time.time() + 30 * step)
            if code not in self.used:
                self.used.add(code)
                return code
        raise AssertionError("no code is left")

    def enable_totp(self) -> list[str]:
        """Turn the second factor on; the recovery codes."""
        begun = self.call(self.client.persons.BeginTotp, PERSON.BeginTotpRequest(password=PASSWORD))
        self.secret = begun.secret
        request = PERSON.EnableTotpRequest(code=self.code())
        return list(self.call(self.client.persons.EnableTotp, request).codes)

    def invite(self, email: str, role: int = 1) -> Any:
        request = MEMBER.CreateInvitationRequest(email=email, role=role)  # type: ignore[arg-type]
        return self.call(self.client.members.CreateInvitation, request)

    def accept(self, token: str) -> Any:
        return self.call(self.client.members.AcceptInvitation, MEMBER.AcceptInvitationRequest(token=token))

    def members(self) -> dict[str, Any]:
        answer = self.call(self.client.members.ListMembers, MEMBER.ListMembersRequest())
        return {row.email: row for row in answer.members}

    def mail(self, kind: str, nth: int = 1) -> str:
        """The token in the nth mail that leads to /kind/TOKEN, as soon as it is in the inbox."""
        return self.people.tokens(self.email, kind, nth)[nth - 1]


@dataclass
class People:
    """The running system."""

    stack: Stack
    first: Browser | None = None

    @property
    def client(self) -> Client:
        return self.stack.client

    def operator(self) -> Browser:
        """Who signed up first."""
        if self.first is None:
            self.first = Browser(self)
            self.first.token = self.first.sign_up().session_token
            self.first.confirm(self.first.mail("confirm"))
        return self.first

    def person(self) -> Browser:
        """Somebody with an account of their own, logged in, whom the service made: it takes no mail."""
        self.operator()
        browser = Browser(self)
        request = account_service_pb2.CreateAccountRequest(
            name="Acme", owner_email=browser.email, owner_password=PASSWORD
        )
        self.client.call(self.client.accounts.CreateAccount, request)
        browser.log_in()
        return browser

    def member(self, owner: Browser, role: int, *, proven: bool = True) -> Browser:
        """Somebody who joined the owner's account, logged in there; not proven: before this sent mail."""
        browser = Browser(self)
        self.come_by(browser, owner.invite(browser.email, role).link)
        if not proven:
            self.sql('UPDATE "user" SET confirm_time = NULL WHERE email = %s', browser.email)
        return browser

    def come_by(self, browser: Browser, link: str) -> None:
        """Sign up with an invitation, as if the link that was shown were the one that was mailed."""
        swap = "UPDATE invitation SET hash = mail_hash, mail_hash = hash WHERE email = %s"
        self.sql(swap, browser.email)
        browser.token = browser.sign_up(invitation_token=link.rpartition("/")[2]).session_token

    def mails(self, email: str) -> list[dict[str, Any]]:
        return [mail for mail in self.stack.sandbox.inbox(to=email) if mail["provider"] == "smtp"]

    def tokens(self, email: str, kind: str, least: int = 1) -> list[str]:
        """Of the links in somebody's mail, oldest first."""

        def found() -> list[str] | None:
            links = [
                match[1]
                for mail in self.mails(email)
                if (match := re.search(rf"/{kind}/([\w-]+)", str(mail)))
            ]
            return links if len(links) >= least else None

        return list(until(found, f"mail to {email} that leads to /{kind}/"))

    def sql(self, query: str, *values: Any) -> list[Any]:
        with psycopg.connect(self.stack.services.database_url, autocommit=True) as database:
            done = database.execute(query.encode(), values)
            return done.fetchall() if done.description else []
