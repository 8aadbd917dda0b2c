"""``gpu-bringup check --next-boot`` and ``--ledger``: the two tables and their verdicts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gpu_bringup import engine
from gpu_bringup.commands.output import beside, columns, paint, print_json, show, wrap
from gpu_bringup.commands.wish import look
from gpu_bringup.errors import ExitCode
from gpu_bringup.ladder.words import listed
from gpu_bringup.model.unknown import Unknown
from gpu_bringup.next_boot import COLUMNS, NextBoot

if TYPE_CHECKING:
    import argparse

    from gpu_bringup.commands.wish import Asked
    from gpu_bringup.ladder.ledger import Component, Ledger

_TITLES = {"unblocked": "other drivers"}
_COLOURS = {"ok": "green", "bad": "red", "unknown": "cyan", "not-needed": "dim"}
_VERDICTS = {"yes": ("green", "bold"), "no": ("red", "bold"), "unknown": ("cyan", "bold")}


def run_asked(arguments: argparse.Namespace) -> int:
    """Print the table that was asked for.

    Returns:
        0: the next boot has a working driver (--next-boot), all versions agree (--ledger); 1: not so,
        or it isn't known.
    """
    asked = look(arguments)
    as_json = bool(getattr(arguments, "json", False))
    if getattr(arguments, "next_boot", False):
        return _next_boot(asked, as_json)
    return _ledger(asked, as_json)


# --- the next boot ---------------------------------------------------------------------------------


def _next_boot(asked: Asked, as_json: bool) -> int:
    found = engine.next_boot(asked.host, asked.facts, asked.catalogue)
    if as_json:
        print_json(found.to_json())
    else:
        print_next_boot(found)
    return ExitCode.OK if found.verdict == "yes" else ExitCode.FAILED


def roles(row: Any) -> str:
    """ "running, default" and the like; empty: none of them."""
    words = [
        word
        for word, is_so in (
            ("next boot only", row.once),
            ("default", row.default is True),
            ("running", row.running),
        )
        if is_so
    ]
    return ", ".join(words)


def next_boot_lines(found: NextBoot, width: int) -> list[tuple[str, list[tuple[str, str]]]]:
    """The table as lines of (text, [(cell, state)]): a line a kernel, cells padded to fit ``width``."""
    heads = ["kernel", *(_TITLES.get(name, name) for name in COLUMNS)]
    table = [[f"{row.release}", *(row.cell(name).text for name in COLUMNS)] for row in found.rows]
    widths = [max([len(heads[at]), *(len(line[at]) for line in table)]) for at in range(len(heads))]
    if sum(widths) + 2 * len(widths) > width:
        return []
    lines = [("", [(head.ljust(size), "dim") for head, size in zip(heads, widths, strict=True)])]
    for row, line in zip(found.rows, table, strict=True):
        states = ["", *(row.cell(name).state for name in COLUMNS)]
        cells = [
            (text.ljust(size), state)
            for text, size, state in zip(line, widths, states, strict=True)
        ]
        lines.append((roles(row), cells))
    return lines


def print_next_boot(found: NextBoot) -> None:
    """The table, then the verdict in a sentence."""
    lines = next_boot_lines(found, columns() - 2) if found.rows else []
    for words, cells in lines:
        painted = [
            paint(text, _COLOURS.get(state, state)) if state else text for text, state in cells
        ]
        show("  " + "  ".join(painted).rstrip())
        if words:
            show(paint(f"    {words}", "dim"))
    for row in found.rows if not lines else ():
        words = roles(row)
        show(paint(f"  {row.release}{f' ({words})' if words else ''}", "bold"))
        for name in COLUMNS:
            cell = row.cell(name)
            head, text = f"    {_TITLES.get(name, name):<14} ", cell.text
            told = beside(head, text)
            show(head + paint(told[len(head) :], _COLOURS[cell.state]))
    if found.rows:
        show()
    show(paint(wrap(found.sentence), *_VERDICTS[found.verdict]))
    if found.advice:
        show(wrap(found.advice))


# --- the ledger ------------------------------------------------------------------------------------


def ledger_json(found: Ledger) -> dict[str, Any]:
    """The document of ``check --ledger --json``."""
    differing = found.differing
    return {
        "schema": 1,
        "verdict": found.verdict,
        "reference": found.reference or None,
        "culprit": found.culprit or None,
        "history": "unknown" if isinstance(found.history, Unknown) else found.history,
        "history_notes": list(found.notes),
        "components": [
            {**item.to_json(), "agrees": _agrees(item, found)} for item in found.components
        ],
        "differing": [item.id for item in differing],
        "unknown": [item.id for item in found.unknown],
    }


def _agrees(item: Component, found: Ledger) -> bool | None:
    if not item.must_agree or not found.reference or not isinstance(item.version, str):
        return None
    return item.version == found.reference


def _ledger(asked: Asked, as_json: bool) -> int:
    found = engine.ledger(asked.host, asked.facts, asked.catalogue)
    if as_json:
        print_json(ledger_json(found))
    else:
        print_ledger(found)
    return ExitCode.OK if found.verdict == "agrees" else ExitCode.FAILED


def _changed_words(item: Component) -> str:
    change = item.change
    if change is None:
        return ""
    versions = (
        f"{change.old} -> {change.new}" if change.old and change.new else change.new or change.old
    )
    return f"{change.when}  {change.package} {change.action} {versions}, by {change.by}"


def _differing(found: Ledger) -> str:
    """Which components are of which version; where there are just two, as two groups."""
    others = found.differing
    versions = {item.version for item in others}
    ours = [item.title for item in found.components if _agrees(item, found) is True]
    if len(versions) == 1 and ours:
        other = others[0].version
        names = listed(dict.fromkeys(item.title for item in others))
        return f"Two versions: {found.reference} ({listed(dict.fromkeys(ours))}) and {other} ({names})."
    names = ", ".join(f"{item.title} {item.version}" for item in others)
    return f"These differ from {found.reference}: {names}."


def _show_unknown(found: Ledger) -> None:
    """What keeps the ledger from saying that all agree, and the command that would tell each."""
    names = listed(f"{item.title} {item.kernel}".strip() for item in found.unknown)
    text = f"Unknown whether all agree: nothing differs from {found.reference}, but not known: {names}."
    show(paint(wrap(text), "cyan", "bold"))
    for item in found.unknown:
        reason = item.version.reason if isinstance(item.version, Unknown) else ""
        show(wrap(f"{item.title} {item.kernel}".strip() + f": {reason}", 2, hang=2))
        if item.learn:
            show(wrap(item.learn, 4, hang=4))
    show(
        wrap(
            "These commands tell it, as root. A record answers only what was asked when it was made: "
            "'gpu-bringup record' makes a new one.",
            2,
        )
    )


def print_ledger(found: Ledger) -> None:
    """A component a line, with the file and the change below it; then the culprit."""
    for item in found.components:
        agrees = _agrees(item, found)
        version = "unknown" if isinstance(item.version, Unknown) else item.version or "none"
        name = f"{item.title} {item.kernel}".strip()
        mark = {True: ("agrees", "green"), False: ("DIFFERS", "red"), None: ("", "dim")}[agrees]
        if len(name) > 42 and len(name) + len(version) + 15 > columns():
            show(f"  {name}")
            name = ""
        show(f"  {name:<42} {version:<24} {paint(mark[0], mark[1])}".rstrip())
        where = item.file + (f" ({item.package})" if item.package else "")
        show(paint(wrap(where, 4), "dim"))
        words = _changed_words(item)
        if words:
            show(paint(wrap(words, 4), "dim"))
    show()
    differing = found.differing
    if found.culprit:
        show(paint(wrap(found.culprit), "red", "bold"))
    elif differing:
        show(paint(wrap(_differing(found)), "red", "bold"))
        show("What changed them stands in no history that could be read.")
    elif found.verdict == "agrees":
        show(paint(wrap(f"All versions that must agree do: {found.reference}."), "green", "bold"))
    elif not found.reference:
        show(paint("No driver version is known here: there is nothing to compare.", "cyan", "bold"))
    else:
        _show_unknown(found)
    if isinstance(found.history, Unknown):
        show(wrap(f"The history of packages could not be read: {found.history.reason}."))
    for note in found.notes if not isinstance(found.history, Unknown) else ():
        show(wrap(f"Of the history: {note}.", hang=2))
