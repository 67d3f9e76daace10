"""What each provider needs in DNS, in one table: SPF, DKIM, return path.

Sources: the providers' own set-up pages (SendGrid "Domain authentication", Postmark "DKIM" and "Return-Path",
SparkPost "Sending domains", Mailgun "Domain verification"). None of the four HTTP providers but Mailgun needs
an SPF include at the FROM domain: receivers look at the domain that bounces return to.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from flute_server.domain.authentication.setup import DnsSetup

SENDGRID = DnsSetup(
    include="sendgrid.net",
    selectors=("s1", "s2"),
    every_selector=True,
    key_target=".sendgrid.net",
    key_value="{selector}.domainkey.u<number>.wl<number>.sendgrid.net",
    return_target=".sendgrid.net",
    return_value="u<number>.wl<number>.sendgrid.net",
    where="SendGrid shows the record under Settings > Sender Authentication > Authenticate Your Domain",
    return_where="of the records under Settings > Sender Authentication it is the one that begins with em; "
    "set what stands before the domain, for example em1234, as the return path of this provider account",
)
POSTMARK = DnsSetup(
    include="spf.mtasv.net",
    key_value="k=rsa;p=<the key that Postmark shows>",
    return_label="pm-bounces",
    return_target=".mtasv.net",
    return_value="pm.mtasv.net",
    where="Postmark shows it under Sender Signatures > your domain > DNS Settings, for example 20260131pm; "
    "set it as the DKIM selector of this provider account",
)
SPARKPOST = DnsSetup(
    include="sparkpostmail.com",
    key_value="v=DKIM1; k=rsa; h=sha256; p=<the key that SparkPost shows>",
    return_label="bounces",
    return_target="sparkpostmail.com",
    return_value="sparkpostmail.com",
    where="SparkPost shows it under Configuration > Domains > your domain, for example scph0126; set it as "
    "the DKIM selector of this provider account",
)
MAILGUN = DnsSetup(
    include="mailgun.org",
    include_needed=True,
    # Those that Mailgun gave domains over the years; which one, it shows.
    selectors=("mx", "pic", "mta", "k1", "smtp", "mailo", "krs", "email", "s1", "pdk1", "pdk2"),
    key_value="k=rsa; p=<the key that Mailgun shows>",
    where="Mailgun shows the record under Send > Sending > Domain settings > DNS records",
)
GOOGLE = DnsSetup(
    include="_spf.google.com",
    include_needed=True,
    selectors=("google",),
    key_value="v=DKIM1; k=rsa; p=<the key that Google shows>",
    where="Google shows the record in the Admin console under Apps > Google Workspace > Gmail > "
    "Authenticate email",
)
OTHER_SMTP = DnsSetup(
    key_value="v=DKIM1; k=rsa; p=<the public key>",
    where="whoever runs the SMTP server knows; set it as the DKIM selector of this provider account",
)

_BY_SLUG = {"sendgrid": SENDGRID, "postmark": POSTMARK, "sparkpost": SPARKPOST, "mailgun": MAILGUN}
# SMTP servers of providers that are known; what comes before does not matter.
_BY_SERVER = {
    "sendgrid.net": SENDGRID,
    "postmarkapp.com": POSTMARK,
    "sparkpostmail.com": SPARKPOST,
    "mailgun.org": MAILGUN,
    "gmail.com": GOOGLE,
    "google.com": GOOGLE,
}
# What may stand before a domain: one or more labels.
_LABELS = re.compile(
    r"(?=.{1,100}\Z)[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*", re.I
)


def dns_setup(slug: str, credentials: Mapping[str, str]) -> DnsSetup:
    """What an account of this kind needs; nothing where that is not known. Uses no secret."""
    setup = _by_server(credentials) if slug == "smtp" else _BY_SLUG.get(slug, DnsSetup())
    if slug == "mailgun":
        setup = replace(setup, domain=credentials.get("domain", "").lower())
    if selector := credentials.get("dkim_selector", "").lower():
        # Whatever the provider usually does: this one was told, and its key may be a record of either kind.
        setup = replace(setup, selectors=(selector,), every_selector=False)
        if setup.key_target and selector not in SENDGRID.selectors:
            setup = replace(setup, key_target="", key_value="k=rsa; t=s; p=<the key that SendGrid shows>")
    if label := credentials.get("return_path", "").lower():
        setup = replace(setup, return_label=label)
    if slug == "sparkpost" and ".eu." in credentials.get("base_url", ""):
        setup = replace(setup, return_value="eu.sparkpostmail.com")
    return replace(setup, bounce_domain=credentials.get("bounce_domain", "").lower())


def _by_server(credentials: Mapping[str, str]) -> DnsSetup:
    host = credentials.get("host", "").lower()
    for end, setup in _BY_SERVER.items():
        if host == end or host.endswith(f".{end}"):
            domain = credentials.get("username", "").rpartition("@")[2].lower()
            # Mailgun's SMTP user is postmaster@ the sending domain.
            return replace(setup, domain=domain) if setup is MAILGUN else setup
    return OTHER_SMTP


def is_label(text: str) -> bool:
    """Whether a text can stand before a domain in a host's name."""
    return _LABELS.fullmatch(text) is not None
