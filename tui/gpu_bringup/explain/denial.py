"""Is what a sign matches only spoken of: denied ("no Xid 79 seen"), or looked for (``grep 'Xid 79'``)?

A log states a fault by printing its message. People, check lists and scripts name the same message to
say that it isn't there, and such a line is no evidence for it.
"""

from __future__ import annotations

import re

# Words between a negation and what it denies.
_FILLER = (
    r"(?:(?:any|a|an|the|more|new|other|further|such|known|recent|single|sign|trace|evidence|mention|"
    r"indication|nvidia|nvrm|gpu|kernel)s?:?\s+(?:of\s+)?){0,3}"
)
_DENIED_BEFORE = re.compile(
    r"(?:\b(?:no|without|neither|nor|never(?:\s+(?:had|got|saw|seen))?|kein\w*|ohne|aucune?|sans|sin|"
    r"nessun\w*|senza|sem|nenhum\w*)\s+"
    r"|(?:\bnot|n['’]t)\s+(?:see|find|have|show|report|log|contain|get|be)?\s*"
    r"|(?:^|[(:,;]\s*)(?:0|zero)\s+"
    r"|(?:没有|未发现|未见|无)\s*)" + _FILLER + r"['\"`(]?$",
    re.IGNORECASE,
)
_LOOKED_FOR = re.compile(
    r"\b(?:[ef]?grep|zgrep|rg|journalctl|dmesg)\b[^|;]*['\"][^'\"]*$|\bgrep\s[^|;]*$"
)
_DENIED_AFTER = re.compile(
    r"^['\"`)]?(?:\s+(?:errors?|events?|messages?|entr(?:y|ies)|faults?|lines?|codes?))?"
    r"(?:\s*(?::|=|->|→|–|\.{2,})\s*(?:none|nil|no|0|nothing|clean|absent|never|keine?r?|aucune?|无|没有)\s*(?:[.;,)]|$)"
    r"|\s*(?::|=)?\s*(?:(?:was|were|is|are|has|have)\s+)?(?:not|never)\s+(?:been\s+)?"
    r"(?:seen|observed|reported|logged)\b)",
    re.IGNORECASE,
)
# A bare code says nothing by itself, so that more can be taken for talk about it.
_CODE = re.compile(r"\bXid\W{1,3}\d+$", re.IGNORECASE)
_CODE_BEFORE = re.compile(
    r"\b(?:if|when(?:ever)?|unless|should|in case of|such as|e\.g\.|for example|like)\b[^.:;]{0,40}$",
    re.IGNORECASE,
)
_CODE_AFTER = re.compile(
    r"^['\"`)]?\s*(?::|=)?\s*(?:(?:was|were|is|are)\s+)?(?:not|never)\s+"
    r"(?:there|found|detected|present|in\b)",
    re.IGNORECASE,
)
# Advice and memories name a message without stating it.
_RECALLED = re.compile(
    r"\b(?:if|when(?:ever)?|once|should) (?:you|we|one|someone|anybody) (?:ever |still )?"
    r"(?:see|get|find|meet|hit|saw|got)s?\b[^.;]{0,40}$"
    r"|\bhow (?:we|i|to|you) (?:once |then )?(?:fix|solv|mend|repair|handl|got|get|react)\w*\b[^.;]{0,60}$"
    r"|\b(?:runbook|playbook|cheat ?sheet|known issues?|faq)\b[^.;]{0,60}$",
    re.IGNORECASE,
)
_REACH = 120
"""Characters around a match that are looked at."""


def is_denied(text: str, start: int, end: int) -> bool:
    """Does the line say of ``text[start:end]`` that it isn't there, or only search for it?"""
    before, after = text[max(0, start - _REACH) : start], text[end : end + _REACH]
    if _DENIED_BEFORE.search(before) or _LOOKED_FOR.search(before) or _DENIED_AFTER.match(after):
        return True
    if _RECALLED.search(before):
        return True
    if not _CODE.search(text[start:end]):
        return False
    return bool(_CODE_BEFORE.search(before) or _CODE_AFTER.match(after))


def first_stated(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    """The first match that the line states and does not deny; None: there is none."""
    for match in pattern.finditer(text):
        if not is_denied(text, match.start(), match.end()):
            return match
    return None
