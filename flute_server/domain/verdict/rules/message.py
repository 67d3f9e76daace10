"""The message is at fault: size, virus, attachment, headers, content."""

from __future__ import annotations

from ..evidence import Stage
from ..rule import Rule, any_of, at, without
from ..vocabulary import Cause

_THING = r"(?:message|mail|e-?mail|content|data|transaction|it)s?"

# Tried before the sending host's rules, whose words ("blacklisted") some of these texts share.
MESSAGE_PARTS: tuple[Rule, ...] = (
    Rule(
        "listed-link",
        Cause.MESSAGE,
        0.93,
        "A link in the message is on a block list.",
        words=any_of(
            r"uribl|surbl|ivmuri|(?:black|block)[- ]?listed (?:url|uri|link|web)",
            r"(?:url|uri|link|hyperlink|web ?site)s? .{0,30}(?:in|inside|within) "
            r"(?:the |your |this )?(?:message|e-?mail|body|content)",
            r"(?:contain|includ)\w{0,4} .{0,40}\b(?:urls?|uris?|links?|blacklisted domain)\b",
            r"(?:bad|malicious|phish\w*|spammy|suspicious) (?:url|uri|link)",
        ),
    ),
    Rule(
        "virus",
        Cause.MESSAGE,
        0.95,
        "A scanner found a virus, malware or phishing in the message.",
        when=without(r"(?:virus|malware)(?:es)? (?:sent |coming |originating )?from (?:your|this|the)"),
        words=any_of(
            r"virus(?! ?(?:scan(?:ner)?|filter|check) (?:is )?(?:unavail|down|fail|error))",
            r"malware|trojan|\bworm\b|phish|clamav|eicar|\bheuristics\.|ransomware",
            r"(?:infected|malicious) (?:file|attachment|message|e-?mail|content)",
        ),
    ),
    Rule(
        "attachment",
        Cause.MESSAGE,
        0.93,
        "The receiver does not take this kind of attachment.",
        words=any_of(
            r"attach(?:ment|ed)|banned (?:file|content|name|extension)|executable files?|embedded image",
            r"(?:file|extension|executable|zip|archive|macro|compressed|image)s? .{0,30}"
            r"(?:not (?:allowed|accepted|permitted)|block|banned|prohibit|forbid|reject)",
            r"pi[eè]ce jointe|anhang|adjunto|allegato",
        ),
    ),
    Rule(
        "malformed",
        Cause.MESSAGE,
        0.9,
        "The message's headers or structure break the rules.",
        words=any_of(
            r"duplicated? (?:header|message-?id|from|subject|field)",
            r"(?:multiple|more than one|too many|several) (?:addresses in )?['\"]?(?:from|to|subject|date"
            r"|message-id|sender|header)\b",
            r"(?:missing|invalid|illegal|malformed|bad|incorrect|no|improper|broken|wrong|corrupt\w*"
            r"|without|valid|lacks?) (?:or \w+ )?(?:the |an? )?(?:valid )?(?:message |mail |rfc\d* )?"
            r"['\"]?(?:header|message-?id|subject|mime|date:|from:|to:|content-type|date header)",
            r"header.{0,40}(?:missing|invalid|malformed|not (?:valid|allowed|present|rfc|compliant"
            r"|accept)|too (?:long|large|big)|syntax|violat|contain|error|corrupt)",
            r"rfc ?-?(?:2822|5322|822|2045|2047)|not (?:rfc[- ]?)?(?:\d+ )?compliant|non-?compliant",
            r"8[- ]?bit|bare (?:lf|cr|line|new)|barelinefeed|lone (?:cr|lf)|stray (?:newline|lf|cr)",
            r"line (?:is )?too long|lines? longer than|line (?:length|limit)|smtp smuggl",
            r"\bmime\b|charset|character set|non-?ascii|us-ascii|smtputf8|message/partial",
            r"null (?:byte|char)|\bnul\b|contains? control|(?:empty|blank|no) (?:message body|subject)",
            r"(?:not|n't) conform|pars(?:e|ing) (?:error|fail)|unparsable|improperly formatted",
            r"mass[- ]mailer|invalid data",
        ),
    ),
    Rule(
        "too-large",
        Cause.MESSAGE,
        0.93,
        "The message is larger than the receiver takes.",
        when=without(r"mailbox (?:has |is |size|quota)|error writing|quota|space"),
        words=any_of(
            r"(?:message|mail|file|content|data|body|size|attachment|it|item)s?(?: \w+){0,2} "
            r"(?:is |are |was )?too (?:big|large|long)\b|too (?:big|large) (?:message|mail|for)",
            r"(?:message|mail|content|data|fixed|body|inbound|submission)[- ]?(?:file )?(?:size|length)",
            r"size (?:limit|exceed|restriction|of the message)|(?:limit|exceed)\w{0,4} (?:the )?"
            r"(?:\w+ ){0,3}(?:size|length|\d+ ?[kmg]b)",
            r"max(?:imum|\.)? (?:allowed |permitted |message |mail )*size|larger than|over ?sized?\b",
            r"toolarge|sizelimit|ex+c?e+d\w* the maximum size",
            r"(?:taille|gr[oö][sß]+e|tama[nñ]o|dimensione).{0,30}"
            r"(?:d[eé]pass|[uü]ber|supera|exced|trop)",
            r"trop (?:gros|volumineux)|zu gro(?:ss|ß)|demasiado grande|troppo grande",
        ),
    ),
    Rule(
        "spam-judged",
        Cause.MESSAGE,
        0.88,
        "A filter judged this very message to be spam.",
        # A text that names a list or a reputation blames the IP, even when it says "spam".
        when=without(
            r"\brbl|dnsbl|spamhaus|spamcop|sorbs|barracudacentral|cloudmark",
            r"(?:black|block) ?-?list|reputation|\bptr\b|reverse|originating from",
            r"your (?:ip|host|server)|spam incident",
        ),
        words=any_of(
            _THING + r".{0,40}(?:classified|identified|detected|flagged|considered|recogni[sz]ed"
            r"|determined|tagged|treated|rejected|blocked|regarded|judged) "
            r"(?:as|to be|for being|by) .{0,12}(?:spam|junk|unsolicited|bulk)",
            r"spam (?:score|points|content|filter(?:ing)?|message|check|detect\w*|engine|rating|level"
            r"|threshold|rejected)|spam ?assassin|spamprofiler",
            r"(?:is|like|be|probably|probable|as|suspected|\d%) spam\b|identified spam",
            r"this (?:message|mail|e-?mail) (?:is|was) .{0,20}spam",
        ),
    ),
)

MESSAGE: tuple[Rule, ...] = (
    Rule(
        "spam-content",
        Cause.MESSAGE,
        0.85,
        "A filter judged the message to be spam; a second provider would carry the same text.",
        words=any_of(
            r"\bspam|\bunsolicited|\bjunk\b|\bube\b|\buce\b|bulk (?:e-?mail|message)|\bbayes",
            r"(?:looks?|seems?|appears?) (?:like|to be|as) (?:spam|unsolicited|bulk|advert)",
            r"(?:identified|classified|detected|considered|tagged|flagged|marked|filtered)"
            r" (?:as|to be|by)",
            r"\bscored?\b.{0,30}(?:exceed|high|above|over|threshold)",
            r"pourriel|ind[eé]sirable|unerw[uü]nscht|垃圾邮件|迷惑メール",
        ),
    ),
    Rule(
        "content-refused",
        Cause.MESSAGE,
        0.83,
        "The receiver refuses the content.",
        words=any_of(
            r"content.{0,40}(?:reject|denied|refus|block|not (?:accept|allow|permit)|filter|polic"
            r"|restrict|unaccept|violat|prohibit|suspicious|inappropriate)",
            r"(?:reject|denied|refus|block|filter|polic|prohibit|undesirable|inappropriate"
            r"|unacceptable|forbidden|objectionable|dangerous|suspicious|due to)\w{0,4} .{0,20}content",
            r"message filter(?:ed)?|content[- ]filter|blocked by (?:our|the|a) filter|mail rejet",
            r"(?:word|phrase|text|pattern|keyword|subject|body).{0,30}"
            r"(?:not allowed|forbidden|prohibited|block|reject|banned)",
            r"(?:forbidden|banned|prohibited|blocked|bad) (?:word|phrase|text|subject)",
            r"(?:suspicious|fraudulent|offensive|dangerous) (?:message|e-?mail)",
            r"header_checks|body_checks|message (?:has been |was |is )?(?:quarantined|discarded)",
        ),
    ),
    Rule(
        "message-policy",
        Cause.MESSAGE,
        0.7,
        "A policy of the receiver's refuses the message.",
        when=at(Stage.DATA, Stage.UNKNOWN),
        words=any_of(
            r"\bpolic(?:y|ies)\b|security (?:reason|rule|check)|organi[sz]ational settings",
            _THING + r" (?:was |is )?(?:against|violat\w+|in breach)",
        ),
    ),
)
