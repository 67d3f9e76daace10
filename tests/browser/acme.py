"""Acme: an account that looks as if people had used it for a while. For pictures; nothing tests it."""

from __future__ import annotations

import html
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from flute.v1.account_service_pb2 import CreateAccountRequest
from flute.v1.api_key_service_pb2 import CreateApiKeyRequest
from flute.v1.drill_service_pb2 import CreateDrillRequest, EndDrillRequest
from flute.v1.environment_service_pb2 import CreateEnvironmentRequest, Environment
from flute.v1.provider_account_service_pb2 import CreateProviderAccountRequest, ProviderAccount
from flute.v1.route_service_pb2 import CreateRouteRequest, Route
from flute.v1.suppression_service_pb2 import (
    SUPPRESSION_REASON_COMPLAINT,
    SUPPRESSION_REASON_MANUAL,
    SUPPRESSION_REASON_UNSUBSCRIBE,
    CreateSuppressionRequest,
    Suppression,
)
from flute.v1.webhook_service_pb2 import CreateWebhookEndpointRequest, WebhookEndpoint
from google.protobuf.duration_pb2 import Duration

from tests.browser.figures import Past
from tests.browser.town import PASSWORD
from tests.stack import Stack, Tenant, until

OWNER = "ada@acme.example"
NEWCOMER = "lin@northwind.example"
PROVIDERS = {"sendgrid": "SendGrid", "postmark": "Postmark", "sparkpost": "SparkPost", "smtp": "Own relay"}
# Subject, to whom, tag; the newest last.
MAILS = (
    ("Your receipt for order 10482", "mia.keller@northwind.example", "receipt"),
    ("Your order 10482 is on its way", "mia.keller@northwind.example", "shipping"),
    ("Confirm your email address", "jonas.weber@contoso.example", "sign-up"),
    ("Welcome to Acme, Jonas", "jonas.weber@contoso.example", "sign-up"),
    ("Your invoice for November", "accounts@fabrikam.example", "invoice"),
    ("Your receipt for order 10485", "priya.nair@contoso.example", "receipt"),
    ("Reset your password", "tom.ek@northwind.example", "sign-in"),
    ("A new sign-in from Lisbon", "tom.ek@northwind.example", "sign-in"),
    ("Your order 10471 was delivered", "lena.schulz@fabrikam.example", "shipping"),
)
DRILLED = (
    ("Your receipt for order 10491", "ravi.menon@contoso.example", "receipt"),
    ("Your receipt for order 10492", "sofia.rossi@northwind.example", "receipt"),
    ("Your order 10485 is on its way", "priya.nair@contoso.example", "shipping"),
    ("A new sign-in from Bergen", "noah.berg@fabrikam.example", "sign-in"),
    ("Confirm your email address", "ines.costa@contoso.example", "sign-up"),
    ("Your order 10488 was delivered", "emma.lind@northwind.example", "shipping"),
)
FAILED_OVER = (
    ("Your receipt for order 10497", "emma.lind@northwind.example", "receipt"),
    ("Your order 10492 is on its way", "sofia.rossi@northwind.example", "shipping"),
)
BLOCKED = "550 5.7.1 Service unavailable, client host blocked using a blocklist"
TOP_STORY = ("Your invoice for order 10498", "amir.haddad@contoso.example", "invoice")

_NEWEST_FIRST = """
SELECT id, EXISTS (
    SELECT FROM recipient r JOIN diversion d ON d.recipient_id = r.id WHERE r.email_id = email.id
)
FROM email ORDER BY create_time DESC
"""
_DRILL_TIMES = """
UPDATE drill SET create_time = first, end_time = first + interval '30 min'
FROM (
    SELECT d.drill_id, min(r.email_time) - interval '1 min' AS first
    FROM diversion d JOIN recipient r ON r.id = d.recipient_id GROUP BY 1
) begun
WHERE drill_id = drill.id
"""


@dataclass
class Acme:
    """The account. story: the mail that took two failovers."""

    stack: Stack
    account_id: str = ""
    providers: dict[str, str] = field(default_factory=dict)
    transactional: Tenant = field(init=False)
    marketing: Tenant = field(init=False)
    story: str = ""
    drill: str = ""
    endpoint: str = ""

    @classmethod
    def founded(cls, stack: Stack, hook: str) -> Acme:
        """With everything that the pictures show. hook: where its webhooks go."""
        acme = cls(stack)
        acme._set_up(hook)
        acme._send_all()
        acme._tidy()
        return acme

    # ----- what people set up

    def _set_up(self, hook: str) -> None:
        self.account_id = self._account("Acme", OWNER)
        for slug, name in PROVIDERS.items():
            self.providers[slug] = self._connected(self.account_id, slug, name)
        self.transactional = self._environment(
            "Transactional", "acme.example", "sendgrid", "postmark", "sparkpost"
        )
        self.marketing = self._environment("Marketing", "news.acme.example", "sparkpost", "smtp")
        self.stack.listen(self.transactional, "sendgrid", "postmark", "sparkpost")
        client = self.stack.client
        wanted = WebhookEndpoint(
            environment_id=self.transactional.environment_id, url=hook, description="The shop's order pages"
        )
        made = client.call(
            client.webhooks.CreateWebhookEndpoint, CreateWebhookEndpointRequest(webhook_endpoint=wanted)
        )
        self.endpoint = made.webhook_endpoint.id
        for email, reason, text in (
            ("old.address@fabrikam.example", SUPPRESSION_REASON_MANUAL, "asked us by telephone"),
            ("max.brandt@contoso.example", SUPPRESSION_REASON_COMPLAINT, "marked a mail as spam"),
            ("nora.vik@northwind.example", SUPPRESSION_REASON_UNSUBSCRIBE, "one-click unsubscription"),
        ):
            row = Suppression(account_id=self.account_id, email=email, reason=reason, text=text)
            client.call(client.suppressions.CreateSuppression, CreateSuppressionRequest(suppression=row))
        newcomer = self._account("Northwind", NEWCOMER)
        self._connected(newcomer, "postmark", "Postmark")

    def _account(self, name: str, owner: str) -> str:
        request = CreateAccountRequest(name=name, owner_email=owner, owner_password=PASSWORD)
        return str(self.stack.client.call(self.stack.client.accounts.CreateAccount, request).id)

    def _connected(self, account_id: str, slug: str, name: str) -> str:
        wanted = ProviderAccount(
            account_id=account_id, provider=slug, name=name, credentials=self.stack.credentials(slug)
        )
        service = self.stack.client.provider_accounts
        request = CreateProviderAccountRequest(provider_account=wanted)
        return str(self.stack.client.call(service.CreateProviderAccount, request).id)

    def _environment(self, name: str, domain: str, *slugs: str) -> Tenant:
        client = self.stack.client
        wanted = Environment(account_id=self.account_id, name=name, domain=domain)
        made = client.call(
            client.environments.CreateEnvironment, CreateEnvironmentRequest(environment=wanted)
        )
        for slug in slugs:
            route = Route(environment_id=made.id, provider_account_id=self.providers[slug])
            client.call(client.routes.CreateRoute, CreateRouteRequest(route=route))
        key = CreateApiKeyRequest(environment_id=made.id, name="Shop backend")
        token = client.call(client.api_keys.CreateApiKey, key).access_token
        return Tenant(self.stack, self.account_id, made.id, token, self.providers)

    # ----- mail

    def _send(self, subject: str, to: str, tag: str, **more: Any) -> str:
        name = to.partition("@")[0].partition(".")[0].title()
        text = (
            f"Dear {name},\n\n{subject}. You find everything about it in your account.\n\nThe people of Acme"
        )
        order = {"order": subject.rpartition(" ")[2]} if "order" in subject else {}
        return self.transactional.send(
            subject=subject,
            text=text,
            html="".join(f"<p>{html.escape(line)}</p>" for line in text.split("\n\n")),
            to=[{"email": to}],
            tags=[tag],
            metadata=order,
            **{"from": {"name": "Acme", "email": "hello@acme.example"}},
            **more,
        )

    def _send_all(self) -> None:
        sandbox, wait = self.stack.sandbox, self.transactional.wait
        for mail in MAILS:
            wait(self._send(*mail), "delivered")
        self._hold_drill()
        sandbox.set_mode("sendgrid", "bounce")
        wait(self._send("Your receipt for order 10494", "hanna.olsen@fabrikam.example", "receipt"), "bounced")
        sandbox.set_mode("sendgrid", "ok")
        self._send("Your order 10494 is on its way", "hanna.olsen@fabrikam.example", "shipping")
        tomorrow = (datetime.now(UTC) + timedelta(hours=18)).replace(minute=0, second=0, microsecond=0)
        self._send(
            "Your delivery comes today",
            "mia.keller@northwind.example",
            "shipping",
            send_at=tomorrow.isoformat(),
        )
        sandbox.set_mode("sendgrid", "error", status=503)
        for mail in FAILED_OVER:
            wait(self._send(*mail), "delivered")
        sandbox.set_mode("postmark", "block", text=BLOCKED)
        self.story = self._send(*TOP_STORY)
        wait(self.story, "delivered")
        sandbox.set_mode("sendgrid", "ok")
        sandbox.set_mode("postmark", "defer", seconds=3600)
        wait(
            self._send("Your receipt for order 10499", "lena.schulz@fabrikam.example", "receipt"), "deferred"
        )
        sandbox.set_mode("postmark", "ok")

    def _hold_drill(self) -> None:
        client = self.stack.client
        request = CreateDrillRequest(
            provider_account_id=self.providers["sendgrid"], duration=Duration(seconds=1800)
        )
        self.drill = client.call(client.drills.CreateDrill, request).id
        self.stack.sandbox.set_mode("postmark", "slow", seconds=0.03)  # as if it were farther away
        for mail in DRILLED * 4:
            self.transactional.wait(self._send(*mail), "delivered")
        self.stack.sandbox.set_mode("postmark", "ok")
        client.call(client.drills.EndDrill, EndDrillRequest(id=self.drill))

    # ----- straight in the database: what took weeks

    def _tidy(self) -> None:
        with psycopg.connect(self.stack.services.database_url) as database:
            self._settle(database)
            self._people(database)
            for past in self._pasts():
                past.write(database)
            self._put_back(database)
            database.execute(_DRILL_TIMES)
            database.execute("UPDATE breaker SET retry_at = now() + interval '9 min' WHERE state = 'open'")
            database.execute("UPDATE webhook_endpoint SET url = 'https://shop.acme.example/hooks/flute'")

    def _settle(self, database: psycopg.Connection) -> None:
        """Until webhooks are told and figures are counted."""

        def done() -> bool:
            query = "SELECT count(*) FROM webhook_delivery WHERE state = 'pending'"
            waiting = database.execute(query).fetchone()
            database.rollback()
            return waiting == (0,)

        time.sleep(1)  # one round of the workers, for what was not handed to the webhooks yet
        until(done, "webhooks")

    def _people(self, database: psycopg.Connection) -> None:
        database.execute("""UPDATE "user" SET name = 'Ada Moreau' WHERE email = %s""", [OWNER])
        for email, name, role in (
            ("grace@acme.example", "Grace Lindqvist", "developer"),
            ("sam@acme.example", "Sam Okafor", "viewer"),
        ):
            own = self._account(name, email)
            values = {"name": name, "email": email, "role": role, "account": self.account_id, "own": own}
            database.execute("""UPDATE "user" SET name = %(name)s WHERE email = %(email)s""", values)
            database.execute(
                """UPDATE member SET account_id = %(account)s, role = %(role)s WHERE account_id = %(own)s""",
                values,
            )

    def _pasts(self) -> tuple[Past, ...]:
        ids = self.providers
        shares = {ids["sendgrid"]: 0.97, ids["postmark"]: 0.02, ids["sparkpost"]: 0.01}
        usual = Past(
            self.transactional.environment_id, 900, shares, troubled=ids["sendgrid"], helper=ids["postmark"]
        )
        shares = {ids["sparkpost"]: 0.9, ids["smtp"]: 0.1}
        return usual, Past(self.marketing.environment_id, 240, shares)

    def _put_back(self, database: psycopg.Connection) -> None:
        """The mails came over some hours, not all at once."""
        back = timedelta()
        for number, (id_, drilled) in enumerate(database.execute(_NEWEST_FIRST).fetchall()):
            values = {"id": id_, "back": back}
            back += timedelta(minutes=1 if drilled else 7 + number % 5)
            for table, key, columns in (
                ("email", "id", ("create_time",)),
                ("recipient", "email_id", ("email_time", "update_time")),
                ("attempt", "email_id", ("email_time", "start_time", "end_time")),
                ("event", "email_id", ("time",)),
            ):
                changes = ", ".join(f"{column} = {column} - %(back)s" for column in columns)
                database.execute(f"UPDATE {table} SET {changes} WHERE {key} = %(id)s", values)
