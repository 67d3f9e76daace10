"""Tokens that one mailbox host prints, each with a known meaning.

A token survives translation and rewording, so these rules come before all phrases.
"""

from __future__ import annotations

from ..rule import Rule, any_of
from ..vocabulary import Action, Cause

_GOOGLE = (
    Rule(
        "google-no-such-user",
        Cause.RECIPIENT,
        0.97,
        "Gmail's help link says that the recipient does not exist or is disabled.",
        action=Action.SUPPRESS,
        words=any_of(r"p=(?:nosuchuser|disableduser|inactiveuser|baduser)"),
    ),
    Rule(
        "google-recipient-limit",
        Cause.RECIPIENT,
        0.97,
        "Gmail's help link says that the recipient is out of storage or receives too fast.",
        words=any_of(r"p=(?:overquota|receiving(?:rate|limit))"),
    ),
    Rule(
        "google-send-as",
        Cause.PROVIDER,
        0.9,
        "Gmail, used as the provider, has a broken 'send mail as' set-up.",
        words=any_of(r"p=customfromdenied|'send mail as' (?:feature|account)"),
    ),
    Rule(
        "google-sending-domain-reputation",
        Cause.SENDER_DOMAIN,
        0.95,
        "Gmail distrusts the sending domain, whichever IP it comes from.",
        words=any_of(r"reputation of the sending domain"),
    ),
    Rule(
        "google-content",
        Cause.MESSAGE,
        0.95,
        "Gmail finds the content, a link or an attachment suspicious.",
        words=any_of(
            r"suspicious due to the nature of the content|nature of the content and/or the links",
            r"potential security issue|illegal attachment",
        ),
    ),
    Rule(
        "google-group",
        Cause.RECIPIENT,
        0.9,
        "The Google group does not exist or does not let this sender post.",
        words=any_of(r"groups\.google\.com/support|google groups?\b"),
    ),
    Rule(
        "google-admin-rule",
        Cause.RECIPIENT,
        0.9,
        "A rule of the recipient's own Google administrator refused it.",
        words=any_of(r"\bgcdp\b"),
    ),
    Rule(
        "google-unsolicited",
        Cause.MESSAGE,
        0.85,
        "Gmail judged this message unsolicited.",
        words=any_of(r"message is.{0,20} likely unsolicited|p=unsolicitedmessageerror|answer[/=]69585"),
    ),
)

_MICROSOFT = (
    Rule(
        "microsoft-blocked-network",
        Cause.PROVIDER,
        0.97,
        "Microsoft blocks the sending IP or its network.",
        words=any_of(
            r"\((?:s[37]\d{2,3}|sc-00\d|dy-00\d)\)|\b(?:sc|dy)-00\d\b",
            r"part of their network is on our block list|traffic not accepted from this ip",
            r"access denied, banned send(?:ing|er)",
        ),
    ),
    Rule(
        "microsoft-reputation",
        Cause.PROVIDER,
        0.9,
        "Microsoft limits the sending IP for its reputation.",
        words=any_of(r"\b(?:rp|ou)-00\d\b"),
    ),
    Rule(
        "microsoft-outbound-abuse",
        Cause.PROVIDER,
        0.95,
        "Microsoft, used as the provider, has stopped this account from sending.",
        words=any_of(
            r"bad outbound sender|tenant has exceeded threshold|unregistered domain",
            r"sendasdenied|permissions to send as this sender",
        ),
    ),
    Rule(
        "microsoft-may-not-write",
        Cause.RECIPIENT,
        0.95,
        "The recipient's own settings refuse this sender.",
        words=any_of(
            r"resolver\.rst\.(?:auth|notauth|restrict|sendernot|recipient)|resolver\.grp",
            r"rejected-by-recipient|delivery not authorized",
        ),
    ),
    Rule(
        "microsoft-no-such-recipient",
        Cause.RECIPIENT,
        0.97,
        "Exchange looked the recipient up and did not find it.",
        action=Action.SUPPRESS,
        words=any_of(r"recip(?:ient)?notfound|resolver\.adr\.(?:ex)?recip"),
    ),
    Rule(
        "microsoft-mailbox-quota",
        Cause.RECIPIENT,
        0.97,
        "Exchange reports that the mailbox is full.",
        words=any_of(r"shutoffquota|quotaexceeded"),
    ),
    Rule(
        "microsoft-recipient-throttled",
        Cause.RECIPIENT,
        0.95,
        "This recipient receives too much at once.",
        permanent=False,
        words=any_of(r"recipient thread limit"),
    ),
    Rule(
        "microsoft-edge-directory",
        Cause.RECIPIENT,
        0.85,
        "Microsoft's edge refuses recipients that are not in the tenant's directory.",
        words=any_of(r"recipient address(?:es)? rejected ?: access denied", r"tenantattribution"),
    ),
    Rule(
        "microsoft-remote-network",
        Cause.TRANSIENT,
        0.85,
        "Microsoft could not reach or lost the receiving server.",
        words=any_of(r"\[message=.{0,40}(?:socket|tls|reset|timed? ?out)", r"winsock error"),
    ),
)

_YAHOO = (
    Rule(
        "yahoo-permanently-deferred",
        Cause.PROVIDER,
        0.97,
        "Yahoo has shut this IP out for good, although it answers 4xx.",
        permanent=True,
        words=any_of(
            r"\[ts(?:03|s09|s11)\]|permanently deferred|retrying will not succeed",
        ),
    ),
    Rule(
        "yahoo-deferred",
        Cause.PROVIDER,
        0.95,
        "Yahoo defers the sending IP for its volume or complaints.",
        words=any_of(
            r"\[tss?0[1-8]\]|\[gl0\d\]|\[ipts0\d\]|\bvs\d-(?:ip|mf)\b",
            r"temporarily deferred due to|connections will not be accepted from",
        ),
    ),
    Rule(
        "yahoo-blocked",
        Cause.PROVIDER,
        0.97,
        "Yahoo refuses the IP because of a block list.",
        words=any_of(r"\[bl\d\d\]"),
    ),
    Rule(
        "aol-block-code",
        Cause.PROVIDER,
        0.9,
        "AOL's code for a refused host or network.",
        words=any_of(r"\b(?:rtr|dyn|rly|dny|hvu|con):[a-z]\d\b"),
    ),
    Rule(
        "yahoo-no-account",
        Cause.RECIPIENT,
        0.97,
        "Yahoo has no such account, or has closed it.",
        action=Action.SUPPRESS,
        words=any_of(r"delivery error: dd (?!.{0,80}quota)", r"554\.30"),
    ),
)

_OPERATORS = (
    Rule(
        "apple-local-policy",
        Cause.MESSAGE,
        0.85,
        "Apple's filter refused the message; it does not tell content from reputation.",
        words=any_of(r"\[(?:cs|hm)\d\d\]"),
    ),
    Rule(
        "apple-recipient-volume",
        Cause.RECIPIENT,
        0.85,
        "Apple defers mail because this recipient receives too much.",
        permanent=False,
        words=any_of(r"deferred due to excessive volume"),
    ),
    Rule(
        "cable-operator-code",
        Cause.PROVIDER,
        0.95,
        "A cable operator's own code for a listed, dynamic or throttled IP.",
        words=any_of(
            r"\b(?:bl|es|rl|pt|cl)0{3,4}[01]\d{0,3}\b|\bipbl[01]{4}\b|\baup#",
            r"\b(?:cdrbl|cxbl|cxsnder|cxthrt|cxcnct|cxmxrt)\b",
        ),
    ),
    Rule(
        "godaddy-ip",
        Cause.PROVIDER,
        0.9,
        "GoDaddy's code for a listed or throttled IP.",
        words=any_of(r"\bib(?:10\d|11\d|212|40\d|60\d|70\d|71\d)\b"),
    ),
    Rule(
        "godaddy-sender",
        Cause.SENDER_DOMAIN,
        0.9,
        "GoDaddy's code for a bad sender address or SPF.",
        words=any_of(r"\bib50[4-8][a-z]?\b"),
    ),
    Rule(
        "t-online-reputation",
        Cause.PROVIDER,
        0.95,
        "T-Online refuses IPs that it does not know or distrusts.",
        words=any_of(r"ask your postmaster for help|\((?:nowl|dul)\)"),
    ),
    Rule(
        "french-recipient-code",
        Cause.RECIPIENT,
        0.95,
        "Orange's or La Poste's code for a refused recipient.",
        words=any_of(r"\b(?:ofr|lpn)\d{0,3}_4(?:1[5-7]|2[4-9])\b"),
    ),
    Rule(
        "french-authentication-code",
        Cause.SENDER_DOMAIN,
        0.85,
        "Orange's or La Poste's code for a refused sender.",
        words=any_of(r"\b(?:ofr|lpn)\d{0,3}_(?:40[1-5]|42[0-3]|516)\b"),
    ),
    Rule(
        "french-content-code",
        Cause.MESSAGE,
        0.9,
        "Orange's or La Poste's code for refused content.",
        words=any_of(r"\b(?:ofr|lpn)\d{0,3}_5(?:0[6-9]|15|19|2\d)\b"),
    ),
    Rule(
        "french-ip-code",
        Cause.PROVIDER,
        0.9,
        "Orange's or La Poste's code for a refused IP or too many connections.",
        words=any_of(r"\b(?:ofr|lpn)\d{0,3}_(?:1[01]\d|51[0-4]|63\d|999)\b"),
    ),
    Rule(
        "nemesis-refused",
        Cause.PROVIDER,
        0.9,
        "GMX and 1&1 refuse the IP before hearing any sender or recipient.",
        words=any_of(r"nemesis esmtp service not available|(?<!indicated )no smtp service"),
    ),
    Rule(
        "chinese-ip-code",
        Cause.PROVIDER,
        0.95,
        "NetEase's, QQ's or Sina's words for a refused or throttled IP.",
        words=any_of(
            r"\bhl:[a-z]{3}|\bdt:rbl|\bwm:bl[iu]|\bmi:(?:cel|dmc|ccl|sfq|ils)\b",
            r"\brp:(?:cel|drc|ccl|trc|qrc)\b|(?:ip|connection|domain|sender) frequency limited",
            r"black ip|rbl deny|suspected spam (?:ip|sender)|ip is (?:hangup|rejected)|invalid ip$",
        ),
    ),
    Rule(
        "chinese-content-code",
        Cause.MESSAGE,
        0.95,
        "NetEase's, QQ's or Sina's words for refused content.",
        words=any_of(r"\bdt:(?:spm|sum)|\bmi:spb|mail content denied|anti-?spam engine"),
    ),
    Rule(
        "qq-recipient",
        Cause.RECIPIENT,
        0.9,
        "QQ's words for a recipient that does not take this mail.",
        words=any_of(r"mailbox unavailable or access denied|mail is rejected by recipients?"),
    ),
    Rule(
        "facebook-recipient",
        Cause.RECIPIENT,
        0.95,
        "Facebook's code for a recipient who does not exist or does not want this mail.",
        words=any_of(r"\brcp-[pt]\d"),
    ),
    Rule(
        "facebook-message",
        Cause.MESSAGE,
        0.9,
        "Facebook's code for a refused message or link.",
        words=any_of(r"\bmsg-p\d|\bpol-p[67]"),
    ),
    Rule(
        "facebook-ip",
        Cause.PROVIDER,
        0.9,
        "Facebook's code for a refused IP or connection.",
        words=any_of(r"\b(?:con|dns|pol|blk)-[pt]\d"),
    ),
    Rule(
        "facebook-internal",
        Cause.TRANSIENT,
        0.9,
        "Facebook's code for a fault of its own.",
        words=any_of(r"\bint-[pt]\d?\b"),
    ),
)

MAILBOX_HOSTS: tuple[Rule, ...] = (*_GOOGLE, *_MICROSOFT, *_YAHOO, *_OPERATORS)
