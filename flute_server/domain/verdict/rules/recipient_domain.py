"""The recipient's domain is at fault: not there, takes no mail, mis-set, looping."""

from __future__ import annotations

from ..rule import Rule, any_of, both, temporary, without
from ..vocabulary import Action, Cause

_CANNOT = r"(?:can(?:no|')t|could not|couldn't|unable to|failed to|cannot)"

RECIPIENT_DOMAIN: tuple[Rule, ...] = (
    Rule(
        "relay-not-served",
        Cause.RECIPIENT,
        0.82,
        "The receiving server does not serve this domain: its MX points to the wrong place.",
        words=any_of(
            r"relay(?:ing)? (?:access )?(?:is |was |has been )?(?:denied|not (?:permitted|allowed"
            r"|authori[sz]ed|enabled)|prohibited|refused|rejected|disabled|forbidden)|relaying",
            r"(?:unable to|not (?:permitted|allowed|authori[sz]ed) to|can(?:no|')t|will not|won't"
            r"|do(?:es)? not|don't|doesn't|refuse to|no) relay|(?:denies|reject\w*|unauthori[sz]ed) relay",
            r"open relay",
            r"allowed rcpthosts|relay check|not a gateway|specified domain is not allowed",
            r"not (?:in )?(?:a |one of )?(?:our |my |the |this )?(?:local|relay|hosted|virtual) domain",
            r"(?:not|n't) handle mail|non-local e-mail address|non-accepted domain",
            r"domain.{0,30}not (?:hosted|served|handled|accepted|local|configured)",
        ),
    ),
    Rule(
        "mail-loop",
        Cause.RECIPIENT,
        0.9,
        "The recipient's servers pass the message round in a loop; any provider would meet it.",
        action=Action.STOP,
        words=any_of(
            r"(?:too many|maximum|max|exceed\w*|count).{0,15}\bhops?\b|\bhops? (?:count|limit)",
            r"\bloop(?:s|ing)?\b|too many received|delivered-to|points? back to",
            r"points to (?:the )?local host|best-preference mx",
        ),
    ),
    Rule(
        "domain-lookup-pending",
        Cause.TRANSIENT,
        0.8,
        "The name server did not answer for the recipient's domain.",
        permanent=False,
        words=any_of(
            r"host not found, try again|host lookup did not complete|servfail|could not contact dns",
            r"name lookup failure|lookup failed temporarily",
            r"(?:temporary|transient).{0,30}(?:dns|name|lookup|resol|mx)",
            r"(?:dns|name ?server|lookup|resol\w+).{0,30}(?:timed? ?out|temporar|try again)",
        ),
    ),
    Rule(
        "dns-trouble",
        Cause.TRANSIENT,
        0.75,
        "The receiver could not ask the name server just now.",
        permanent=False,
        when=both(temporary, without(r"norecords|nxdomain|null mx|no relevant answers")),
        words=any_of(r"dns (?:query|lookup|error|fail)"),
    ),
    Rule(
        "domain-takes-no-mail",
        Cause.RECIPIENT,
        0.93,
        "The recipient's domain takes no mail.",
        action=Action.SUPPRESS,
        words=any_of(
            r"null ?mx|(?:does ?n.t|does not|do not) (?:accept|receive|handle) (?:any )?(?:e-?)?mail\b"
            r"(?! from| at this time| until)",
            r"no mail (?:exchang|server|host|accepted here)|mail exchanger or ip address",
            r"(?:no|missing|invalid|empty|lack\w*|without).{0,12}(?:\bmx\b|mail exchange)",
            r"\bmx\b.{0,30}(?:not (?:found|exist)|non-existent|invalid|illegal|empty)",
            r"indicated no smtp service",
        ),
    ),
    Rule(
        "domain-unknown",
        Cause.RECIPIENT,
        0.9,
        "The recipient's domain does not exist.",
        action=Action.SUPPRESS,
        words=any_of(
            r"(?:host|domain|site|<recipient-domain>)(?: name)? ?(?:<host> ?)?(?:is )?"
            r"(?:unknown|not found|invalid|does not exist|doesn't exist|not exist"
            r"|(?:cannot|could not) be (?:found|resolved)|not reachable|not (?:be )?resolv)",
            r"(?:unknown|invalid|no such|bad|illegal|non-?existent|unrout\w+|malformed) (?:destination )?"
            r"(?:mail )?(?:host|domain|site|destination system|system)|nxdomain|no route (?:for|found)",
            _CANNOT + r" (?:be )?(?:find|found|locate|resolve|route|look ?up)\w* .{0,30}(?:domain|host)",
            r"name or service not known|nodename nor servname|dns (?:query|lookup) failed|dns error",
            r"no (?:dns|a) records?|no address associated|host or domain name|norecords",
            r"name service error|domain name (?:has )?(?:expired|wrong)",
            r"dns records? .{0,40}could not be found",
            r"domaine?.{0,20}(?:inconnu|inexist|invalide|unbekannt|existiert nicht)",
            r"dominio.{0,20}(?:desconocid|sconosciut|no existe|non esiste)",
        ),
    ),
)
