"""The keys that work on a screen now: the bottom line and the help read them from one place."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

from textual.content import Content
from textual.screen import Screen

from gpu_bringup.i18n import tr
from gpu_bringup.ui.words import column, lines

_MOVES = re.compile(r"(cursor|scroll|page)_(up|down|left|right|home|end)\Z|(first|last)\Z")
"""Textual's own actions of lists and texts."""
_OWN_WORDS = re.compile(r"(app|screen)\.|copy_text\Z|help_quit\Z|quit\Z|nothing\Z")
"""Actions of Textual's that the help doesn't list one by one."""
_NAMES = {
    "question_mark": "?", "slash": "/", "escape": "Esc", "enter": "Enter", "left": "Left",
    "right": "Right", "f1": "F1", "end": "End", "home": "Home", "ctrl+c": "Ctrl-C",
    "ctrl+q": "Ctrl-Q",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Hint:
    """What one or more keys do."""

    action: str
    """Name of the action, without its parameters."""
    keys: tuple[str, ...]
    """As Textual names them."""
    shown: str
    """The key as the bottom line names it."""
    text: str
    """What it does, in the operator's language."""
    in_bar: bool


def hints(screen: Screen[Any]) -> list[Hint]:
    """The keys of a screen that do something now, in order; moving in a list or text is left out.

    A screen's ``idle_actions()`` names actions whose key would only say why it does nothing now. A
    widget's ``shown_key(action)`` may name a key anew ("Enter/1-4").
    """
    found: dict[str, Hint] = {}
    idle: frozenset[str] = getattr(screen, "idle_actions", frozenset)()
    for key, active in screen.active_bindings.items():
        binding = active.binding
        action = binding.action.partition("(")[0]
        if not active.enabled or action in idle or not binding.description:
            continue
        if not binding.show and (_MOVES.match(action) or _OWN_WORDS.match(action)):
            continue
        name = getattr(active.node, "shown_key", _no_name)(action)
        shown = name or binding.key_display or _NAMES.get(key, key)
        hint = Hint(action, (key,), shown, tr(binding.description), binding.show)
        known = found.get(binding.description)
        if known is not None:
            # A key that is meant to be shown names the action.
            better = hint if binding.show and not known.in_bar else known
            hint = replace(better, keys=(*known.keys, key))
        found[binding.description] = hint
    return list(found.values())


def keys_text(screen: Screen[Any]) -> Content:
    """Every key that works on a screen, a line each, for its help."""
    rows = []
    for hint in hints(screen):
        names = [hint.shown, *(_NAMES.get(key, key) for key in hint.keys)]
        if "-" in hint.shown:  # a span of keys is not told one by one as well
            names = names[:1]
        told = ", ".join(dict.fromkeys(names))
        rows.append(Content.assemble((column(told, 18), "bold"), hint.text))
    moves = tr("arrows, PgUp, PgDn, Home, End")
    rows.append(Content.assemble((moves, "bold"), "  ", tr("move in the list or the text")))
    return lines(rows)


def _no_name(action: str) -> str:
    return ""
