"""What receiving servers say: made up in the manner of the big ones, so that no two say it alike."""

from __future__ import annotations

from collections.abc import Mapping

from flute_server.sandbox.events import Happening, Letter

# The played providers send from here (RFC 5737: an address of nobody's).
SENDING_IP = "192.0.2.25"
RECEIVING_IP = "198.51.100.7"

HOSTS: Mapping[str, str] = {
    "gmail.com": "google",
    "googlemail.com": "google",
    "outlook.com": "microsoft",
    "hotmail.com": "microsoft",
    "live.com": "microsoft",
    "yahoo.com": "yahoo",
    "aol.com": "yahoo",
    "gmx.net": "gmx",
    "gmx.de": "gmx",
    "web.de": "gmx",
}
BLOCKED: Mapping[str, str] = {
    "google": "550 5.7.1 [{ip}] refused: this message came from an address with a very low reputation of the"
    " sending IP. gsmtp",
    "microsoft": "550 5.7.1 Mail from [{ip}] was not taken: its network is on our block list (S3150).",
    "yahoo": "553 5.7.1 [BL21] Connections from {ip} are not accepted while it is on the Spamhaus list",
    "gmx": "554 No SMTP service: the IP address {ip} is block listed",
    "": "550 5.7.1 Service refused; client host [{ip}] blocked using zen.blocklist.invalid",
}
BOUNCED: Mapping[str, str] = {
    "google": "550 5.1.1 The account that you wrote to does not exist, p=NoSuchUser. gsmtp",
    "microsoft": "550 5.1.10 RESOLVER.ADR.RecipientNotFound; nobody of that name in this directory",
    "yahoo": "550 5.1.1 delivery error: dd This user doesn't have a {domain} account",
    "gmx": "550 Requested action not taken: mailbox unavailable",
    "": "550 5.1.1 <{recipient}>: Recipient address rejected: no such user here",
}
DEFERRED: Mapping[str, str] = {
    "google": "451 4.3.0 Mail server busy for a moment, please try again later. gsmtp",
    "microsoft": "451 4.7.500 Server busy. Please try again later from [{ip}].",
    "": "451 4.7.1 <{recipient}>: Recipient address deferred: greylisted, try again later",
}
DELIVERED: Mapping[str, str] = {
    "google": "250 2.0.0 OK 1795000000 a1-20020a gsmtp",
    "": "250 2.0.0 OK: queued at the receiver",
}
SUPPRESSED: Mapping[str, str] = {"": "554 5.7.1 recipient address suppressed due to customer policy"}
COMPLAINED: Mapping[str, str] = {"": "The recipient marked the message as unsolicited"}

TEXTS: Mapping[Happening, Mapping[str, str]] = {
    Happening.BLOCKED: BLOCKED,
    Happening.BOUNCED: BOUNCED,
    Happening.DEFERRED: DEFERRED,
    Happening.DELIVERED: DELIVERED,
    Happening.SUPPRESSED: SUPPRESSED,
    Happening.COMPLAINED: COMPLAINED,
}


def usual_text(kind: Happening, letter: Letter) -> str:
    """What the letter's receiver says when this happens."""
    texts = TEXTS.get(kind)
    if texts is None:
        return ""
    text = texts.get(HOSTS.get(letter.domain, ""), texts[""])
    return text.format(ip=SENDING_IP, domain=letter.domain, recipient=letter.recipient)


def receiving_host(letter: Letter) -> str:
    return f"mx.{letter.domain}"
