"""The sending service is at fault: its IPs, host names, volume, encryption or account."""

from __future__ import annotations

from ..evidence import Evidence, Stage
from ..rule import Rule, any_of, at, both, without
from ..vocabulary import Action, Cause

# How receivers name the machine that connects to them.
_HOST = (
    r"(?:(?:your|sending|source|connecting|client|sender'?s?|originating|peer)"
    r" (?:mail |smtp |e-?mail |sending |source )?(?:ip|ips|mta|host|hostname|server|network"
    r"|netblock|isp|system|relay|machine|mailserver|gateway|subnet|remotehost)\b"
    r"|\bthis (?:ip|network|client)\b"  # "this server" would be the receiver itself
    r"|[(\[]?<ip>|\bip[- ]?address\b|\bip\b|\bmail server at\b|\bsending mta\b)"
)
# A refusal a few words later is about the host, unless another subject comes in between.
_SAME_SUBJECT = r"(?:(?!message|content|header|recipient|user|mailbox|attach|address of).){0,60}"
_SHUT_OUT = (
    r"(?:block|black|ban|listed|list\b|den(?:y|ied)|(?<!connection )(?:reject|refus(?!ed to talk))|prohibit"
    r"|not (?:allow|accept|permit|authori|trusted|welcome|white|pass)|abus|spam|restrict|unaccept"
    r"|suspicious|untrusted|infected|compromised|malicious|blocked)"
)
_LIST_NAMES = (
    r"spamhaus|spamcop|sorbs|barracudacentral|barracuda(?:networks|central)?\.(?:com|org)/r",
    r"abuseat|surriel|mailspike|manitu|uceprotect|invaluement|senderscore|senderbase|\bsbrs\b",
    r"talosintel|mail-abuse|abusix|njabl|backscatterer|\bcbl\b|\bxbl\b|\bsbl\b|\bpsbl\b|\bpbl\b",
    r"blocked using (?!.{0,20}(?:content|filter|virus))|\b(?:dns)?rbls?\b|dns-?bls?\b",
)


def _answered(evidence: Evidence) -> bool:
    """The receiver spoke SMTP: the words are its own and not a socket's error."""
    return evidence.first_digit == "5"


# Tried before the sender's rules: "no valid sender domain ... fix reverse DNS" is about the host.
HOST_IDENTITY: tuple[Rule, ...] = (
    Rule(
        "too-many-invalid-recipients",
        Cause.PROVIDER,
        0.88,
        "Too many unknown recipients came from this IP; resending would repeat the offence.",
        action=Action.STOP,
        words=any_of(
            r"too many (?:invalid|unknown|bad|non-?existent|failed|undeliverable)"
            r" (?:recipients?|users?|addresses)",
            r"excessive (?:unknown|invalid) recipients|directory harvest|dictionary attack",
        ),
    ),
    Rule(
        "reverse-dns",
        Cause.PROVIDER,
        0.95,
        "The sending IP lacks a proper reverse DNS name.",
        words=any_of(
            r"reverse[- ]?(?:dns|name|lookup|record|host|mapping|ip|resol|address|path dns)",
            r"\bptr\b|\brdns\b|fcrdns|forward[- ]confirmed|in-addr",
            r"cannot find your (?:reverse )?(?:host)?name|unresolvable relay|no reverse",
            r"(?:could ?n.t|could not|can(?:no|')t|unable to|fail(?:ed|ure)?)(?: to)? (?:find|resolve"
            r"|get|look ?up|verify).{0,30}(?:your (?:ip|host|server|name)|client|<ip>|connecting)",
            r"(?:ip|client|host|<ip>\]?).{0,30}(?:has no|have no|no|without|missing|lacks)"
            r" (?:a )?(?:valid )?(?:dns|host ?name|name|rdns)\b",
            r"dns (?:entry|name|record) (?:for|of) (?:your|the connecting|<ip>|client)",
            r"failure in dns look-?up|name of your (?:server|host)|hostname verification",
            r"(?:requires?|must have|needs?) (?:a )?(?:valid )?(?:dns name|hostname)",
            r"may not be (?:a )?mail exchanger",
        ),
    ),
    Rule(
        "helo-refused",
        Cause.PROVIDER,
        0.9,
        "The receiver refuses the name with which the sending host greeted.",
        when=without(r"in reply to|after (?:helo|ehlo)"),
        words=any_of(
            r"\b(?:helo|ehlo)\b.{0,60}(?:reject|invalid|refus|den|not|mismatch|fail|forged|fqdn"
            r"|bad|unaccept|error)",
            r"(?:invalid|bad|forged|bogus|improper|unqualified) (?:helo|ehlo)|helohost",
            r"need fully[- ]qualified hostname|bad (?:mail )?server name",
        ),
    ),
    Rule(
        "named-block-list",
        Cause.PROVIDER,
        0.95,
        "A public block list of IP addresses names the sending host.",
        when=without(r"\bdbl\b|domain|rhsbl|mail ?from|\burls?\b|\blinks?\b|uribl|surbl"),
        words=any_of(*_LIST_NAMES),
    ),
    Rule(
        "open-relay",
        Cause.PROVIDER,
        0.85,
        "The receiver takes the sending host for an open relay, a bot or an intruder.",
        words=any_of(
            r"(?<!not an )open[- ]?(?:relay|proxy)|insecure (?:mail )?relay|botnet|zombie|intrusion",
            r"compromised (?:host|server|machine)",
        ),
    ),
    Rule(
        "sending-ip-refused",
        Cause.PROVIDER,
        0.93,
        "The receiver names the sending IP and refuses it.",
        when=without(r"\bspf\b|\bdmarc\b|\bdkim\b|spam (?:filter|score)"),
        words=any_of(
            r"messages? from \[?<ip>\]? (?:weren't|were not|was not|is|are|has been|have been)",
            r"(?:mail|e-?mail|messages?|connections?) from \[?<ip>\]? (?:was |is |are |were |has been )?"
            r"(?:currently )?(?:block|reject|refus|den|not (?:accept|allow))",
            r"(?:your|sending|sender'?s?|client|source) ip(?: address)?:? ?[(\[]?(?:<ip>[)\]]?)?"
            r" ?(?:is |has been |was )(?:currently |temporarily )?(?:block|black|ban|list|den|reject)",
            r"banned sending ip|(?:blocked|banned|blacklisted|bad|rejected) (?:sender )?ip\b",
            r"ip (?:address )?(?:is |has been )?(?:blocked|black ?-?listed|banned|block listed)",
        ),
    ),
)

SENDING_HOST: tuple[Rule, ...] = (
    Rule(
        "dynamic-address",
        Cause.PROVIDER,
        0.9,
        "The receiver takes the sending IP for a dynamic or residential one.",
        words=any_of(
            r"dynamic(?:ally)?(?:[- ](?:assigned|allocated))? ?/?(?:residential )?"
            r"(?:ip|address|range|pool|host|block)",
            r"residential|dial-?up|generic (?:rdns|host)|\bdul\b|end[- ]user (?:ip|address)",
            r"direct(?:-| )to(?:-| )mx|please (?:use|send).{0,40}(?:your|an?) (?:isp|provider)",
        ),
    ),
    Rule(
        "credentials",
        Cause.PROVIDER,
        0.88,
        "The provider (or a relay behind it) wants credentials that were missing or wrong.",
        words=any_of(
            r"auth(?:entication)?\b.{0,20}(?:required|needed|fail|unsuccessful|invalid|error"
            r"|not enabled|credentials|first|must|denied|disabled)",
            r"(?:requires?|turn on|enable) (?:smtp )?auth(?:entication)?\b",
            r"(?:must|need to|please|have to|should|don't|did not) (?:be )?(?:first )?"
            r"(?:authenticate|log ?in|authori[sz]e)",
            r"(?:not|never|without) (?:been )?(?:properly )?(?:authenticated|logged in)",
            r"(?:invalid|wrong|bad|incorrect|expired|revoked).{0,20}"
            r"(?:login|password|credential|api[- ]?key|token)",
            r"password not accepted|login (?:failed|denied|invalid)|\bsasl\b",
            r"pop[- ]before[- ]smtp|check your (?:pop|mail) (?:before|first)",
        ),
    ),
    Rule(
        "provider-account",
        Cause.PROVIDER,
        0.88,
        "The account at the provider is suspended, over its limit or not set up.",
        words=any_of(
            r"your (?:sending |provider )?account.{0,40}(?:suspend|disabl|block|lock|review|not)",
            r"(?:sending|relay|outbound|outgoing|daily|hourly|monthly).{0,20}"
            r"(?:quota|limit|allowance)\b",
            r"(?:quota|limit|credits?).{0,30}your (?:account|plan)|upgrade your|maximum credits",
            r"reached (?:a|the|your) .{0,20}limit for sending|sending (?:is |has been )?"
            r"(?:paused|suspended|disabled|blocked)",
            r"not (?:allowed|permitted|authori[sz]ed) to send (?:mail|e-?mail|messages?)\b"
            r"(?! to (?:this|the|that|<addr>))",
            r"relay.{0,60}(?:authenticat|log ?in|check your|credential)",
            r"max(?:imum)? (?:e-?mails|messages|defers and failures) per (?:hour|day|minute)",
        ),
    ),
    Rule(
        "encryption-required",
        Cause.PROVIDER,
        0.85,
        "The two servers could not agree on encryption; another provider's servers may.",
        words=any_of(
            r"starttls|encryption (?:needed|required)|insecure connection",
            r"\btls\b.{0,40}(?:required|not (?:offered|available|supported)|must|need|fail"
            r"|mandatory|policy)",
            r"(?:require|without|must (?:use|issue)|need|demand).{0,30}\b(?:tls|ssl|encrypt)",
            r"(?:tls|ssl) (?:handshake|negotiation|connection|session)",
        ),
    ),
    Rule(
        "rate-limit",
        Cause.PROVIDER,
        0.88,
        "Too much came from this sender or IP in a short time.",
        when=without(r"mailbox|inbox"),
        words=any_of(
            r"too many (?:concurrent |simultaneous |open |active |parallel |smtp |new |recent )*"
            r"(?:connection|session|message|e?-?mail|request|error|transaction|command)",
            r"too many recipients? (?:from|received this|this)",
            r"too (?:quickly|fast|frequent)|too much (?:mail|e-?mail|traffic|spam) from|slow(?:ing)? down",
            r"rate[- ]?(?:limit|control|exceed)|limit(?:ed)? rate|throttl|frequency",
            r"(?:sending|message|delivery|mail|connection|submission) rate",
            r"(?:exceed|over|reach|above|maximum|limit).{0,60}(?:\brate\b|connections?|sessions?"
            r"|per (?:hour|minute|day|second|connection|session|ip)|hourly|threshold|volume"
            r"|messages (?:for|in|from))",
            r"(?:connections?|concurrency|mail|volume|traffic) (?:limit|threshold)",
            r"max (?:connections|messages)|(?:unusual|excessive) (?:rate|volume|traffic|amount"
            r"|connection|number)",
            r"(?:received|sent|sending) too many|trop de (?:connexion|message)|zu viele",
            r"try again slower|mails? (?:in|within) (?:a )?short",
            r"(?:messages|mails?) (?:per|an|in an?|each) (?:hour|minute|day)",
        ),
    ),
    Rule(
        "too-many-recipients",
        Cause.PROVIDER,
        0.7,
        "Too many recipients in one transaction: the batch has to be split.",
        permanent=False,
        words=any_of(r"too many recipients|recipients? (?:limit|count)|(?:number of|maximum) recipients"),
    ),
    Rule(
        "block-list",
        Cause.PROVIDER,
        0.9,
        "A block list names the sending host.",
        words=any_of(
            *_LIST_NAMES,
            r"blocked by (?:<host>|<receiver>|<recipient-domain>|rbl|ldap)|real-?time black",
            r"listed (?:in|at|by|on|with) (?:<host>|<ip>|an? |the |our |rbl|dns)",
            r"(?:black|block|deny|reject|ban|bad)[- ]?(?:list|holes)(?:ed|ing|s)?\b"
            r"(?!.{0,10}(?:url|link|word|recipient|attach))",
        ),
    ),
    Rule(
        "reputation",
        Cause.PROVIDER,
        0.88,
        "The sending IP has a poor reputation.",
        words=any_of(
            r"(?<!url )(?<!link )(?<!domain )(?<!content )(?<!message )reputation|sender ?score",
        ),
    ),
    Rule(
        "spam-source",
        Cause.PROVIDER,
        0.87,
        "The receiver calls the sending host a source of spam or abuse.",
        words=any_of(
            r"(?:spam|unsolicited|abuse|junk|complaints?|virus(?:es)?|malware).{0,40}"
            r"(?:from|by|originat\w+|at|on) (?:your|this (?:ip|host|network)|the ip|\[?<ip>)",
            r"(?:known|suspected|source|sources?|origin) (?:of )?(?:spam|abuse|uce|ube)",
            r"spammers?\b|spamming|spam incident|incident de spam",
            r"block(?:ed)? for (?:abuse|spam)|abusive|due to (?:abuse|spam|user) ?complaints",
            r"blocked due to abuse|too many spams?",
        ),
    ),
    Rule(
        "host-refused",
        Cause.PROVIDER,
        0.85,
        "The receiver refuses the sending IP, host or network.",
        words=any_of(
            r"client host (?:rejected|blocked|refused|denied|<|\[)",
            r"(?:unauthori[sz]ed|rejected|bad|banned) (?:client )?(?:host|ip|interface|mta)\b",
            _HOST + _SAME_SUBJECT + _SHUT_OUT,
            r"(?:block|ban|den(?:y|ied)|reject|refus|prohibit|restrict)(?:ed|ing|s)?"
            + _SAME_SUBJECT
            + r"(?:(?:your|client|this|connecting|sending) (?:ip|host|server|network|isp|mail server"
            r"|mta)|(?:ip|host|server|network|from|address)? ?[(\[]?<ip>)",
            r"(?:not|n't)(?: currently)? accept(?:ing|ed)?.{0,30}(?:mail|messages?|connections?"
            r"|e-?mails?) from (?:your|this|the|servers?|hosts?) ?(?:ip|host|server|network|isp"
            r"|country|system|mail|without|with)?",
            r"(?:you are|you're|host is|server is|client is) (?:not (?:allowed|permitted|authori[sz]ed"
            r"|welcome)|forbidden|banned|prohibited) (?:to|from) (?:connect|use this|talk|access)",
            r"not (?:allowed|permitted|authori[sz]ed) to (?:connect|use this)",
            r"connection (?:is )?(?:not allowed|denied|rejected|prohibited|blocked)",
            r"connections? (?:from .{0,40}(?:reject|refus|den|block|not)|not accepted)",
            r"access (?:from|for) (?:your|this|<ip>|\[<ip>).{0,40}(?:den|block|reject)",
            r"no access from|has not passed validation|email blocked by",
            r"(?:geo(?:graphic)?|country|region)(?:ip)?.{0,30}(?:block|restrict|den|not)",
            r"not (?:in|on) (?:our |the )?white-?list|submit messages to this e-mail system",
        ),
    ),
    Rule(
        "connection-refused-in-words",
        Cause.PROVIDER,
        0.8,
        "The receiver answered, and refused the connection: it is about the IP.",
        when=both(_answered, without(r"deferred|<receiver>: connection")),
        words=any_of(r"connection (?:is |was )?(?:refused|rejected|denied)"),
    ),
    Rule(
        "shut-out-at-connect",
        Cause.PROVIDER,
        0.85,
        "Refused before sender and recipient were named, so it is about the IP.",
        when=at(Stage.CONNECT),
        words=any_of(
            r"block|black|spam|abuse|polic|reput|den(?:y|ied)|reject|refus|prohibit|ban",
            r"not (?:accept|allow|permit|authori|welcome)|go away|no (?:smtp )?service|restrict",
        ),
    ),
    Rule(
        "host-not-accepting",
        Cause.PROVIDER,
        0.7,
        "The receiver's servers refuse to talk to this IP.",
        words=any_of(r"esmtp not accepting|not accepting connections"),
    ),
)
