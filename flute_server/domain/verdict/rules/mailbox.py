"""The recipient is at fault: the mailbox is full, closed, moved or not there."""

from __future__ import annotations

from ..rule import Rule, any_of, temporary, without
from ..vocabulary import Action, Cause

_BOX = (
    r"(?:mail ?box|mail ?account|e-?mail ?account|account|user(?:'s)?|recipient(?:'s)?|inbox"
    r"|mail ?folder|mail ?drop|address|e-?mail(?: address| id)?|alias|login|subscriber|customer"
    r"|addressee)"
)
_CLOSED = (
    r"(?:disabled|suspend(?:ed)?\b|inactiv|deactivated|de-activated|locked|frozen|blocked|closed"
    r"|terminated|discontinued|expired|not (?:been )?activ|isn't active|removed|deleted|cancell?ed"
    r"|dormant|hibernat|retired|archiv|abandoned|no longer (?:active|available|in use|valid|exist"
    r"|accept|used?|here|work|on (?:this )?server|receiv|monitored))"
)
_NOT_THERE = (
    r"(?:not found|(?:not|n't|never) (?:currently )?exist|no longer exist|non-?exist|unavailable"
    r"|not (?:an? )?(?:valid|known|registered|recogni[sz]ed|here|found|available|listed|deliverable"
    r"|correct|our)|invalid|undeliverable|unroutable|isn't|wrong|incorrect|misspel|mistyp)"
)
_CANNOT = r"(?:can(?:no|')t|could not|couldn't|unable to|failed to|cannot)"

MAILBOX: tuple[Rule, ...] = (
    Rule(
        "mailbox-full",
        Cause.RECIPIENT,
        0.93,
        "The mailbox is full.",
        when=without(r"insufficient system", r"queue"),
        words=any_of(
            r"quota|is full\b|mailbox.{0,40}\bfull\b|\bfull\b.{0,10}(?:mailbox|inbox)",
            r"over (?:its |the )?(?:storage|disk|mailbox|size|allotted|allowed)",
            _BOX + r".{0,40}(?:exceed|over ?(?:limit|drawn|size|flow|quota)|size limit|storage"
            r"|out of (?:space|storage)|no (?:free )?space|not enough (?:room|space))",
            r"(?:exceed|insufficient|not enough|no more|out of|over|lack of|no).{0,20}"
            r"(?:storage|mailbox space|disk space|free space)",
            r"mailbox space|storage (?:limit|allocation|exceed)|allocated space|disk usage",
            r"too much mail data",
            r"\b(?:voll|[uü]berf[uü]llt|pleine|llen[oa]|piena|cheia)\b|заполнен|переполнен",
            r"容量|空间不足|speicherplatz",
        ),
    ),
    Rule(
        "mailbox-moved",
        Cause.RECIPIENT,
        0.88,
        "The recipient has moved to another address.",
        action=Action.SUPPRESS,
        words=any_of(
            r"(?:has|have|was) (?:been )?(?:moved|changed|migrated|relocated|replaced)|moved to",
            r"new (?:e-?mail )?address|no longer on server|not local;? please try",
            r"please (?:try|use) .{0,20}<addr>",
        ),
    ),
    Rule(
        "mailbox-closed-for-now",
        Cause.RECIPIENT,
        0.85,
        "The mailbox is closed for the moment.",
        permanent=False,
        when=without(r"delivery temporarily"),
        words=any_of(r"temporar\w+.{0,20}(?:locked|disabled|suspended|blocked|frozen|inactive|deactivated)"),
    ),
    Rule(
        "mailbox-closed",
        Cause.RECIPIENT,
        0.9,
        "The mailbox is disabled, suspended or closed.",
        action=Action.SUPPRESS,
        words=any_of(
            _BOX + r".{0,45}" + _CLOSED,
            _CLOSED + r" (?:e-?mail |mail )?" + _BOX,
            r"(?:not|n't) (?:currently )?(?:being )?(?:accept|receiv)(?:ing|ed) (?:any )?(?:new )?"
            r"(?:mail|messages|e-?mail)s?\b|no longer accept|not currently being accepted|receiving disabled",
            r"mail (?:service )?(?:for this user )?(?:is )?(?:disabled|suspended)|\[suspend\]|inactivity",
            r"(?:compte|konto|cuenta|conta|bo[iî]te).{0,40}(?:bloqu|suspend|d[eé]sactiv|gesperrt"
            r"|deaktiv|ferm[eé]|disattiv|bloccat|desativ|desabilit|archiv)",
            r"停用|禁用|冻结|停止",
        ),
    ),
    Rule(
        "user-unknown",
        Cause.RECIPIENT,
        0.92,
        "There is no such mailbox.",
        action=Action.SUPPRESS,
        words=any_of(
            r"(?:user|recipient|account|mailbox|addressee|alias|name|login)s? .{0,20}(?:unknown|not known)",
            r"(?:unknown|unrecogni[sz]ed) (?:or (?:illegal|invalid) )?(?:local |virtual |destination "
            r"|e-?mail )*(?:user|recipient|address|account|mailbox|alias|part|name|addressee|person"
            r"|login)|\(unknown user\)|recipient unknown",
            r"(?:no|not|isn't)(?: an?| any)? such (?:user|mailbox|recipient|address|person|account"
            r"|alias|local|e-?mail|name|id|customer|subscriber|destination|object|people)",
            _BOX + r"(?: (?:that )?you (?:tried|are trying) to reach)? ?.{0,50}" + _NOT_THERE,
            r"(?:invalid|bad|wrong|illegal|incorrect|non-?existent|unroutable|unrouteable|malformed"
            r"|undeliverable|unavailable|erroneous) (?:final |destination |e-?mail |mail |rcpt |local "
            r"|to |or \w+ )*(?:delivery )?(?:recipient|user|userid|address|mailbox|account|alias"
            r"|destination|rcpt|addressee)",
            r"not (?:an? )?(?:valid|known|registered|existing|local|current|active) (?:e-?mail |mail "
            r"|gateway |local )*(?:user|recipient|address|mailbox|account|customer|member)",
            r"not (?:our|a) (?:customer|user)|not listed in|nobody|no one by|directory lookup",
            r"\bno (?:mailbox|account|user)\b|name not allowed|recipient name is not recogni[sz]ed",
            r"(?:does ?n.t|does not|don't|not) have (?:an? )?.{0,30}account|address (?:is )?(?:unknown|not )",
            _CANNOT + r" (?:find|locate|look ?up|resolve|verify|validate|identify|match|deliver to"
            r"|be delivered to|route) .{0,25}(?:user|recipient|mailbox|address|account|alias|name)",
            r"(?:check|verify|double-check).{0,30}(?:address|recipient|spelling)",
            r"not in (?:my|our|the) (?:local|list|directory|user|recipient)",
            r"recipient .{0,20}(?:not ok|unresolvable|verify fail|verification fail)",
            r"callout verification failed|need fully[- ]qualified address|there is no (?:one|such)",
            r"not unique|does(?: not|n't) exist|no (?:valid )?recipient|may not follow",
        ),
    ),
    Rule(
        "user-unknown-in-translation",
        Cause.RECIPIENT,
        0.88,
        "There is no such mailbox, says the receiver in its own language.",
        action=Action.SUPPRESS,
        words=any_of(
            r"(?:destinataire|adresse|utilisateur|compte|bo[iî]te).{0,40}"
            r"(?:inconnu|invalid|inexist|n'existe|introuv|erron|refus|rejet)",
            r"(?:empf[aä]nger|adresse|benutzer|postfach|konto).{0,40}"
            r"(?:unbekannt|existiert|nicht|ung[uü]ltig|gibt es)",
            r"(?:usuari[oa]|usu[aá]rio|destinat[aá]rio|direcci[oó]n|endere[cç]o|cuenta|buz[oó]n|casilla)"
            r".{0,40}(?:desconoc|desconhec|n[aã]?o (?:existe|encontr|v[aá]lid)|inexist|inv[aá]lid)",
            r"(?:utente|destinatario|indirizzo|casella).{0,40}"
            r"(?:sconosc|non (?:esiste|trovat|valid)|inesist)",
            r"onbekend|bestaat niet|ok[aä]nd|ukendt|tuntematon|nieznan|nie istnieje|neexistuj|nezn[aá]m",
            r"(?:пользовател|почтов|адрес|ящик).{0,40}(?:не |отсутст)|не (?:существ|найден|існує)",
            r"不存在|无此|無此|找不到|未开通|存在し(?:ません|ない)|見つか(?:りません|らない)",
            r"宛先(?:不明|が)|(?:ユーザ|アドレス|ディレクトリ|リスト).{0,20}(?:ません|不)",
        ),
    ),
    Rule(
        "mailbox-busy",
        Cause.RECIPIENT,
        0.6,
        "The mailbox cannot be used at the moment.",
        permanent=False,
        when=temporary,
        words=any_of(r"mailbox.{0,20}(?:unavailable|busy|locked)"),
    ),
    Rule(
        "local-delivery",
        Cause.RECIPIENT,
        0.75,
        "The receiver's own delivery to this mailbox failed.",
        when=without(r"connect"),
        words=any_of(
            r"procmail|maildir|mail\.local|local (?:delivery|mailer)|vdelivermail|vpopmail|sieve",
            r"deliver(?:y)? (?:program|agent|command)|command (?:died|failed|output|execution)",
            r"\bpipe\b|exit (?:status|code)|(?:died|failed|returned|exited) (?:with )?"
            r"(?:status|code|exit|signal)|x-unix|mailer error|child process",
            r"(?:insufficient|wrong|no) permission|permission denied|/var/(?:spool|mail|vmail)|\.qmail",
            r"(?:error|failure|cannot|can't|could not|unable to).{0,20}(?:open|creat|writ|append|lock|access"
            r"|sav|stor)\w*.{0,30}(?:mailbox|mail ?file|folder|inbox|spool|output|mail ?dir|home)",
            r"vacation program|\.forward|home directory|wrong owner|mailbox (?:is )?corrupt",
            r"wasn't possible to save the message",
        ),
    ),
)
