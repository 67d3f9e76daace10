"""The recipient's side refuses this sender, or this much mail. Other providers meet the same.

Tried before the sending host's rules: the same words ("too many", "blocked", "not allowed")
with the recipient as their subject.
"""

from __future__ import annotations

from ..evidence import Stage
from ..rule import Rule, any_of, at, both, without
from ..vocabulary import Action, Cause

_ABOUT_SENDER = without(r"\bsender|mail from|return[- ]path|originator|\byour (?:account|ip|host)")


PLAINLY_RECIPIENT: tuple[Rule, ...] = (
    Rule(
        "user-plainly-unknown",
        Cause.RECIPIENT,
        0.95,
        "There is no such mailbox.",
        action=Action.SUPPRESS,
        when=both(_ABOUT_SENDER, at(Stage.UNKNOWN, Stage.RCPT, Stage.DATA)),
        words=any_of(
            r"(?<!many )(?:user|recipient|mailbox|addressee) (?:<addr> )?(?:is )?"
            r"(?:unknown|not found|does not exist|doesn't exist|not known)",
            r"(?<!many )unknown (?:user|recipient|mailbox|local[- ]part)\b",
            r"no such (?:user|recipient|mailbox)|no mailbox here",
        ),
    ),
    Rule(
        "mailbox-plainly-full",
        Cause.RECIPIENT,
        0.95,
        "The mailbox is full.",
        words=any_of(
            r"(?:mailbox|inbox|account|user|mail ?folder|maildir).{0,20} (?:is |are |over)?"
            r"(?:full|over ?quota)\b|full mailbox|mailbox_full",
            r"over (?:the |its |disk |storage )?(?:allowed )?quota",
            r"(?:mailbox|inbox|account|mail ?folder|mail ?box) (?:has |is |would )?"
            r"(?:exceed|reached|over(?! a))",
            r"mailbox (?:size|storage|quota).{0,20}(?:exceed|reach|limit)",
            r"(?:number of|too many) messages (?:in|on|for) (?:the |this |your )?"
            r"(?:recipient's )?(?:mailbox|folder|inbox|server)",
            r"exceeded (?:the |its |his |her |their )?(?:mailbox|storage|disk)",
            r"error writing message|(?:updat|append|writ).{0,60}mailbox.{0,80}too large",
        ),
    ),
    Rule(
        "account-plainly-closed",
        Cause.RECIPIENT,
        0.93,
        "The recipient's account is disabled, suspended or closed.",
        action=Action.SUPPRESS,
        when=both(_ABOUT_SENDER, without(r"temporar\w+ ")),
        words=any_of(
            r"\b(?:user(?:'s)?|recipient(?:'s)?|mailbox|mail ?account|e-?mail account|this account"
            r"|the account|that you tried to reach) (?:<addr> )?(?:account |address |mailbox )?"
            r"(?:is |has been |was )(?:currently |permanently )?(?:disabled|suspended|inactive"
            r"|deactivated|locked|frozen|blocked|closed|terminated|discontinued|expired|deleted"
            r"|removed)",
        ),
    ),
)

RESTRICTIONS: tuple[Rule, ...] = (
    Rule(
        "recipient-rate",
        Cause.RECIPIENT,
        0.92,
        "This recipient receives too much at once; no provider changes that.",
        permanent=False,
        words=any_of(
            r"receiving (?:mail|e-?mail|messages?) (?:too|at a rate)",
            r"trying to (?:contact|reach) is receiving",
            r"(?:mailbox|recipient|user|account) .{0,40}(?:received|receiving|gets?|has) too (?:many|much)",
            r"(?:recipient|mailbox|user)(?:'s)? (?:\w+ )?(?:rate|receiving|inbound|incoming)[ -]limit",
            r"exceed\w* receiving limits?",
            r"(?:too many|too much|limit).{0,50}(?:to|for) (?:this|the|that)"
            r" (?:recipient|user|mailbox|address)",
        ),
    ),
    Rule(
        "recipient-blocks-sender",
        Cause.RECIPIENT,
        0.92,
        "The recipient's own list or rule refuses this sender.",
        words=any_of(
            r"(?:recipient|user|addressee|owner|mailbox)(?:'s)?(?: id)?(?: has| is| have)? ?"
            r"(?:block|reject|refus|restrict|black ?list|not accept)\w* (?:to (?:receive|accept) )?"
            r"(?:mail|messages?|e-?mails?|you|your|the sender|this|any|sms)",
            r"(?:block|reject|refus|den|filter|restrict)\w* (?:by|due to|because of)"
            r" (?:the |this |a |an )?(?:recipient|user|addressee|owner|customer)(?:'s)?\b",
            r"recipient(?:'s)? (?:preference|polic|rule|setting|allow|safe|black|block|filter|reject)",
            r"(?:user|recipient)(?:'s)? (?:personal )?(?:black|block|deny|white|allow) ?list",
            r"mailbox rule|challenge[- ]response|user reject|account is protected|restricted sms",
            r"sender not on (?:the )?(?:recipient|white|allow|approved)",
        ),
    ),
    Rule(
        "sender-may-not-post",
        Cause.RECIPIENT,
        0.9,
        "A list, group or restricted address that this sender may not write to.",
        words=any_of(
            r"permission to (?:post|send|submit|write|e-?mail)",
            r"not (?:allowed|permitted|authori[sz]ed) to (?:post|submit|write)",
            r"(?:may not|cannot|can't|not (?:allowed|permitted|authori[sz]ed) to) (?:send|mail|e-?mail"
            r"|deliver|access)(?: \w+){0,2} (?:to )?(?:<addr>|(?:this|the|that) (?:group|list|recipient"
            r"|user|address|mailbox|alias|account|name))",
            r"members?[- ]only|only (?:members|subscribers|registered|internal|local users|authenticated)",
            r"only accept(?:s|ing)? (?:mail|messages?|e-?mails?)|not (?:an? )?(?:list )?(?:member|subscribe)",
            r"moderat(?:ed|or|ion)|mailing list|distribution (?:list|group)|\blistserv\b",
            r"(?:closed|private|restricted) (?:list|group|mailing)|badrcptto",
            r"not accept (?:any )?(?:mail|messages?|e-?mails?) from (?:external|outside|the internet"
            r"|anonymous|unknown|unauth)|accept.{0,30}from (?:authenticated|internal) (?:users|senders)",
            r"(?:restricted|internal)[- ](?:recipient|address|user|use)|local user only|internal only",
            r"authenticat.{0,60}(?:to|in) (?:this|the) (?:group|list|recipient)",
            r"dieser gruppe|ce groupe|este grupo|questo gruppo|グループ",
        ),
    ),
)
