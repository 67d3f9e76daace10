"""The check of a domain's records in the running system, against a DNS server of the test's own."""

from __future__ import annotations

import base64
import time

import pytest
from flute.v1 import domain_check_service_pb2 as pb
from flute.v1 import provider_account_service_pb2

from flute_server.config import Config, ConfigError
from flute_server.domain.authentication.book import Answer, Question, RecordType
from flute_server.local.client import RpcFailed
from flute_server.resolver import LONGEST_S, Resolver
from tests.integration.test_cli import Flute
from tests.name_server import NameServer, Zone
from tests.stack import DOMAIN, Stack, Tenant

KEY = f"v=DKIM1; k=rsa; p={base64.b64encode(bytes(294)).decode()}"  # longer than one string of a TXT record
ZONE: Zone = {
    (DOMAIN, "TXT"): ["google-site-verification=x", "v=spf1 include:spf.host.example ~all"],
    ("spf.host.example", "TXT"): ["v=spf1 include:mailgun.org a -all"],
    ("mailgun.org", "TXT"): ["v=spf1 ip4:192.0.2.0/24 ~all"],
    (DOMAIN, "MX"): ["10 mx.host.example."],
    (f"_dmarc.{DOMAIN}", "TXT"): ["v=DMARC1; p=reject; rua=mailto:d@flutemail.io"],
    (f"s1._domainkey.{DOMAIN}", "CNAME"): ["s1.domainkey.u1.wl2.sendgrid.net."],
    ("s1.domainkey.u1.wl2.sendgrid.net", "TXT"): [KEY],
    (f"pm1._domainkey.{DOMAIN}", "TXT"): [KEY],
    (f"pm-bounces.{DOMAIN}", "CNAME"): ["pm.mtasv.net."],
}


def check(stack: Stack, tenant: Tenant) -> pb.CheckDomainResponse:
    request = pb.CheckDomainRequest(environment_id=tenant.environment_id)
    return stack.client.call(stack.client.domain_checks.CheckDomain, request)


def told(found: pb.CheckDomainResponse) -> list[tuple[str, str, str]]:
    kinds, statuses = pb.DomainCheckKind, pb.DomainCheckStatus
    return [
        (
            row.provider_account,
            kinds.Name(row.kind).removeprefix("DOMAIN_CHECK_KIND_"),
            statuses.Name(row.status).removeprefix("DOMAIN_CHECK_STATUS_"),
        )
        for row in found.checks
    ]


def set_credential(stack: Stack, tenant: Tenant, slug: str, **credentials: str) -> None:
    account = provider_account_service_pb2.ProviderAccount(
        id=tenant.provider_accounts[slug], credentials=credentials
    )
    request = provider_account_service_pb2.UpdateProviderAccountRequest(provider_account=account)
    stack.client.call(stack.client.provider_accounts.UpdateProviderAccount, request)


def test_what_dns_says_is_judged(stack: Stack, names: NameServer):
    names.reset(ZONE)
    tenant = stack.tenant("sendgrid", "postmark")
    set_credential(stack, tenant, "postmark", dkim_selector="pm1")
    found = check(stack, tenant)
    assert told(found) == [
        ("", "SPF", "OK"),
        ("", "DMARC", "OK"),
        ("", "MX", "OK"),
        ("sendgrid", "DKIM", "OK"),
        ("sendgrid", "DKIM", "MISSING"),
        ("sendgrid", "RETURN_PATH", "UNKNOWN"),
        ("sendgrid", "SPF", "OK"),
        ("postmark", "DKIM", "OK"),
        ("postmark", "RETURN_PATH", "OK"),
        ("postmark", "SPF", "OK"),
    ]
    assert found.domain == DOMAIN
    assert found.summary == "1 record missing or wrong, 1 record not known."
    spf, *_ = found.checks
    assert spf.text == "takes 3 of at most 10 DNS lookups"
    assert list(spf.found) == ["v=spf1 include:spf.host.example ~all"]
    missing = found.checks[4]
    assert (missing.host, missing.type) == (f"s2._domainkey.{DOMAIN}", "CNAME")
    assert missing.expected == "s2.domainkey.u<number>.wl<number>.sendgrid.net"
    assert "DMARC asks receivers to reject such mail" in missing.text
    assert missing.provider_account_id == tenant.provider_accounts["sendgrid"]


def test_the_command_prints_what_to_add(stack: Stack, names: NameServer):
    flute, tenant = Flute(stack), stack.tenant("postmark")
    done = flute("environment", "check", tenant.environment_id)
    assert done.exit_code == 1
    lines = done.output.splitlines()
    assert lines[0] == f"{DOMAIN}: 1 record missing or wrong, 3 records could be better, 1 record not known."
    assert "The domain as a whole" in lines
    assert "should be: TXT v=DMARC1; p=none; rua=mailto:dmarc@flutemail.io" in done.output
    assert "should be: CNAME pm.mtasv.net" in done.output
    names.reset({**ZONE, (f"pm2._domainkey.{DOMAIN}", "TXT"): [KEY]})
    set_credential(stack, tenant, "postmark", dkim_selector="pm2")
    done = flute("environment", "check", tenant.environment_id)
    assert (done.exit_code, done.output.splitlines()[0]) == (0, f"{DOMAIN}: All is well with {DOMAIN}.")
    rows = flute.json("environment", "check", tenant.environment_id)["checks"]
    assert {row["status"] for row in rows} == {"ok"}


@pytest.mark.parametrize("way", ["silent", "broken"])
def test_a_dns_that_is_away_is_told_soon(stack: Stack, names: NameServer, way: str):
    setattr(names, way, True)
    tenant = stack.tenant("sendgrid", "mailgun")
    begin = time.monotonic()
    found = check(stack, tenant)
    assert time.monotonic() - begin < LONGEST_S + 10
    assert found.summary.startswith("DNS does not answer, so nothing is known of flutemail.io")
    assert {status for account, _, status in told(found) if not account} == {"UNKNOWN"}
    # What should be there is told all the same, but for SPF: that depends on what is there.
    assert [bool(row.expected) for row in found.checks if row.kind == pb.DOMAIN_CHECK_KIND_DKIM] == [True] * 3


def test_records_that_lead_on_and_on_are_not_followed_for_ever(stack: Stack, names: NameServer):
    names.reset({(f"h{n}.example", "TXT"): [f"v=spf1 include:h{n + 1}.example -all"] for n in range(100)})
    names.zone[DOMAIN, "TXT"] = ["v=spf1 include:h0.example -all"]
    tenant = stack.tenant("sendgrid")
    assert told(check(stack, tenant))[0] == ("", "SPF", "WRONG")
    assert len([host for host, _ in names.asked if host.startswith("h")]) <= 12


def test_an_environment_that_is_none(stack: Stack):
    with pytest.raises(RpcFailed, match="there is no environment 'x'"):
        stack.client.call(stack.client.domain_checks.CheckDomain, pb.CheckDomainRequest(environment_id="x"))


def test_a_selector_is_checked_before_it_is_kept(stack: Stack):
    tenant = stack.tenant("postmark")
    with pytest.raises(RpcFailed, match="dkim_selector is the part of a host name before the domain"):
        set_credential(stack, tenant, "postmark", dkim_selector="a b")


def test_the_resolver_tells_no_record_from_no_answer(names: NameServer):
    names.reset(ZONE)
    resolver = Resolver(names.address)

    def ask(host: str, type_: RecordType) -> Answer:
        question = Question(host, type_)
        return resolver.ask([question], time.monotonic() + 5)[question]

    assert ask(f"s1._domainkey.{DOMAIN}", RecordType.TXT) == Answer((KEY,))
    assert ask(DOMAIN, RecordType.MX) == Answer(("mx.host.example",))
    assert ask("nowhere.example", RecordType.TXT) == ask(DOMAIN, RecordType.CNAME) == Answer()
    assert ask(f"{'x' * 64}.example", RecordType.TXT).fault.startswith("LabelTooLong")
    assert ask("a..example", RecordType.TXT).fault.startswith("EmptyLabel")
    names.broken = True
    assert ask(DOMAIN, RecordType.MX).fault == "the DNS server says that it cannot find out"
    late = Question(DOMAIN, RecordType.TXT)
    assert resolver.ask([late], time.monotonic())[late].fault == "no time was left"


ENV = {"DATABASE_URL": "x", "REDIS_URL": "x", "FLUTE_SECRET_KEYS": "x", "FLUTE_SERVICE_TOKEN": "x"}


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("", ""),
        ("9.9.9.9", "9.9.9.9:53"),
        ("127.0.0.1:5353", "127.0.0.1:5353"),
        ("::1", "[::1]:53"),
        ("[2001:db8::1]:5353", "[2001:db8::1]:5353"),
    ],
)
def test_the_dns_server_is_named_by_its_address(given: str, kept: str):
    assert Config.from_env({**ENV, "FLUTE_DNS_SERVER": given}).dns_server == kept
    assert not Resolver(kept or "127.0.0.1:1").trouble


@pytest.mark.parametrize("given", ["dns.example", "1.2.3", "1.2.3.4:0", "1.2.3.4:99999", "[::1", "1.2.3.4:x"])
def test_what_is_no_address_stops_the_start(given: str):
    with pytest.raises(ConfigError, match="FLUTE_DNS_SERVER"):
        Config.from_env({**ENV, "FLUTE_DNS_SERVER": given})
