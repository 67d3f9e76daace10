"""What Flute's own mails say, as text and as simple HTML."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

# What an address in a name would look like to a mail program, which makes a link of it.
_LINKISH = re.compile(r"https?:|//|www\.", re.IGNORECASE)
_LONGEST_NAME = 60

_HTML = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{subject}</title></head>
<body style="margin:0;padding:24px;background:#f5f5f4;color:#1c1917;font:16px/1.5 sans-serif">
<div style="max-width:32em;margin:0 auto;padding:24px;background:#fff;border-radius:8px">
{body}
</div></body></html>
"""
_P = '<p style="margin:0 0 16px">{}</p>'
_A = (
    '<p style="margin:0 0 16px"><a href="{url}" style="display:inline-block;padding:10px 18px;'
    'background:#1d4ed8;color:#fff;border-radius:6px;text-decoration:none">{label}</a></p>'
    '<p style="margin:0 0 16px;font-size:13px;word-break:break-all">{url}</p>'
)


@dataclass(frozen=True, slots=True)
class Mail:
    """kind: what it is about, for the operator; before, after: paragraphs around the link."""

    kind: str
    subject: str
    before: Sequence[str]
    link: str = ""
    label: str = ""
    after: Sequence[str] = ()

    def text(self) -> str:
        """The plain text."""
        middle = (f"{self.label}:\n{self.link}",) if self.link else ()
        return "\n\n".join((*self.before, *middle, *self.after)) + "\n"

    def html(self) -> str:
        """The same as HTML."""
        link = (_A.format(url=escape(self.link), label=escape(self.label)),) if self.link else ()
        before, after = ([_P.format(escape(text)) for text in texts] for texts in (self.before, self.after))
        return _HTML.format(subject=escape(self.subject), body="\n".join((*before, *link, *after)))


def name(given: str) -> str:
    """A name that somebody chose, in a mail to somebody else: no place for a link or a story."""
    clean = " ".join(_LINKISH.sub(" ", given).split())
    return clean if len(clean) <= _LONGEST_NAME else f"{clean[:_LONGEST_NAME]}…"


def confirm(link: str) -> Mail:
    """After a sign-up, or when somebody asks for it again."""
    return Mail(
        "confirm",
        "Confirm your address for Flute",
        ("Somebody, hopefully you, signed up to Flute with this address.",),
        link,
        "Confirm the address",
        (
            "It asks for the password that you chose. The link is good for 7 days.",
            "If it was not you, do nothing: nobody can use it, and without it nothing happens.",
        ),
    )


def change(link: str, old: str) -> Mail:
    """To a new address."""
    return Mail(
        "confirm",
        "Confirm your new address for Flute",
        (f"Somebody, hopefully you, wants to log in to Flute with this address instead of {old}.",),
        link,
        "Confirm the new address",
        (
            "It asks for your password, and is good for 7 days.",
            "If it was not you, do nothing: nobody can use it.",
        ),
    )


def changing(new: str) -> Mail:
    """To the old address, when a change begins."""
    return Mail(
        "email_changed",
        "Your address for Flute is about to change",
        (
            f"Your address for logging in to Flute becomes {new} as soon as that address is confirmed.",
            "If it was not you, somebody knows your password: log in and change it at once, which ends all"
            " other sessions and takes the change back.",
        ),
    )


def taken(log_in: str, *, invited: bool) -> Mail:
    """To somebody who signs up twice; invited: to join an account."""
    join = ("To join the account that invites you, log in and then open the invitation again.",)
    return Mail(
        "taken",
        "You can log in to Flute already",
        ("Somebody, hopefully you, signed up to Flute with this address, which has a log-in already.",),
        log_in,
        "Log in",
        (
            *(join if invited else ()),
            "If you forgot the password, reset it there. If it was not you, do nothing.",
        ),
    )


def reset(link: str) -> Mail:
    """To somebody who forgot the password."""
    return Mail(
        "reset",
        "Reset your password for Flute",
        ("Somebody, hopefully you, asked to reset your password for Flute.",),
        link,
        "Choose a new password",
        ("The link is good once, for an hour. If it was not you, do nothing: your password stays as it is.",),
    )


def invitation(link: str, inviter: str, account_name: str, role: str) -> Mail:
    """To somebody who is asked to join."""
    account = name(account_name)
    return Mail(
        "invitation",
        f"Join {account} at Flute",
        (f"{name(inviter)} invites you to join the account “{account}” at Flute as {role}.",),
        link,
        "Join",
        ("The link is good for 7 days. If you do not know them, do nothing.",),
    )


def alert(link: str, account_name: str, text: str) -> Mail:
    """To those who run an account, when something waits for them."""
    return Mail(
        "alert",
        f"{name(account_name)}: something needs you at Flute",
        (f"In the account “{name(account_name)}”:", text),
        link,
        "See what to do",
        ("You get this once; Flute shows it until it is dealt with.",),
    )


def webhook_paused(link: str, account_name: str, text: str) -> Mail:
    """To those who run an account, when an endpoint of theirs takes no calls any more."""
    return Mail(
        "webhook_paused",
        f"{name(account_name)}: a webhook endpoint was paused",
        (f"In the account “{name(account_name)}”:", text),
        link,
        "See the endpoint's calls",
        ("You get this once, until it is unpaused.",),
    )
