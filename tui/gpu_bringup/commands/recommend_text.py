"""A recommendation, a judged combination and the table of candidates, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpu_bringup.commands.output import columns, paint, show, wrap
from gpu_bringup.model.target import Reason, Recommendation, Verdict

if TYPE_CHECKING:
    from gpu_bringup.engine import Explained
    from gpu_bringup.model.target import Target
    from gpu_bringup.recommend.pins import Pinned
    from gpu_bringup.recommend.table import Row, Table

_MARKS = {
    Verdict.OK: ("ok", "green"),
    Verdict.VIOLATED: ("AGAINST", "red"),
    Verdict.UNKNOWN: ("unknown", "cyan"),
}
_CELLS = {
    "ok": (".", "green"),
    "unknown": ("?", "cyan"),
    "warns": ("!", "yellow"),
    "blocks": ("X", "red"),
    "silent": (" ", "dim"),
}
_LEGEND = ". kept  ? not known  ! speaks against it  X rules it out  blank: doesn't apply"
_HEADS = (
    "o open, p proprietary; /d distribution, /n NVIDIA's repository, /l local, /- none; * prebuilt"
)
_WIDE = 120
"""Columns from which on candidates are named in the head of the table."""
_HEAD = 11
"""Width of a candidate in the wide table."""


def _print_reason(reason: Reason) -> None:
    word, colour = _MARKS[reason.verdict]
    if reason.verdict is Verdict.VIOLATED and not reason.blocking:
        word, colour = "against", "yellow"
    show(f"  {paint(f'{word:<8}', colour)} {reason.rule}")
    show(wrap(reason.detail, 11))
    for source in reason.sources[:2]:
        show(paint(f"           {source}", "dim"))


def _print_target(target: Target) -> None:
    driver = target.driver
    show(f"  GPUs     {', '.join(target.gpus) or 'none named'}")
    show(f"  kernel   {', '.join(target.kernels) or 'none named'} (kept)")
    show(f"  driver   {driver.version}, branch R{driver.branch}, {driver.flavour.value} modules")
    show(f"  CUDA     {target.cuda or 'none known'}")
    packages = ", ".join(target.package_names)
    show(wrap(f"source   {target.source_kind or 'none known'}{': ' * bool(packages)}{packages}", 2))
    if target.extras:
        show(f"  extras   {', '.join(target.extras)}")


def print_recommendation(recommendation: Recommendation, *, brief: bool = False) -> None:
    """The recommendation: what, why, what else and why not (not, where ``brief``: a table follows)."""
    chosen = recommendation.chosen
    if chosen is None:
        show(paint("Nothing can be recommended.", "bold", "red"))
        for reason in recommendation.refusal:
            _print_reason(reason)
    else:
        show(paint(f"Profile {recommendation.profile}", "bold"))
        _print_target(chosen.target)
        if not brief:
            show()
            show(paint("Why", "bold"))
            for reason in chosen.reasons:
                _print_reason(reason)
    for note in recommendation.notes:
        show(paint(wrap(f"! {note}", 0), "yellow"))
    if recommendation.alternatives and not brief:
        show()
        show(paint("Other candidates", "bold"))
        for assessment, why in recommendation.alternatives:
            driver = assessment.target.driver
            built = ", prebuilt" if assessment.target.package.route == "prebuilt" else ""
            source = (assessment.target.source_kind or "no source") + built
            show(f"  {driver.version} {driver.flavour.value} ({source})")
            show(wrap(why, 6))


def print_pinned(pinned: Pinned) -> None:
    """A judged combination: what it is, everything that it breaks, the nearest good choice."""
    recommendation = pinned.recommendation
    words = ", ".join(f"{key} {value}" for key, value in pinned.pins.items())
    sound = recommendation.status == "recommended"
    show(
        paint(f"{words}: {'sound' if sound else 'not sound'}", "bold", "green" if sound else "red")
    )
    if recommendation.chosen is None:
        for reason in recommendation.refusal:
            _print_reason(reason)
    else:
        _print_target(recommendation.chosen.target)
        can = {True: "yes", False: "no", None: "not known; a trial build shows"}
        show(f"  can be installed here: {can[pinned.installable]}")
        show()
        if pinned.breaks:
            show(paint("What it breaks", "bold"))
            for reason in pinned.breaks:
                _print_reason(reason)
        _print_rest(recommendation.chosen.reasons)
    _print_nearest(pinned)


def _print_rest(reasons: tuple[Reason, ...]) -> None:
    """What isn't known in full, what is kept by its name."""
    unknown = [reason for reason in reasons if reason.verdict is Verdict.UNKNOWN]
    if unknown:
        show(paint("What isn't known", "bold"))
        for reason in unknown:
            _print_reason(reason)
    broken = {reason.rule for reason in reasons if reason.verdict is not Verdict.OK}
    kept = dict.fromkeys(reason.rule for reason in reasons if reason.rule not in broken)
    if kept:
        show(wrap(f"Kept: {', '.join(kept)} (--json has them in words)", 2))


def _print_nearest(pinned: Pinned) -> None:
    nearest = pinned.nearest.chosen if pinned.nearest is not None else None
    if nearest is None:
        if pinned.recommendation.status != "recommended":
            show()
            show("No good choice is near: nothing could be recommended without these pins either.")
        return
    given_up = ", ".join(pinned.given_up)
    show()
    show(paint("The nearest good choice" + f" (gives up: {given_up})" * bool(given_up), "bold"))
    _print_target(nearest.target)


def print_table(table: Table) -> None:
    """Candidates by rules; names in the head where the terminal is wide, else letters."""
    if not table.rows:
        return
    show()
    show(paint("Candidates and rules", "bold"))
    room = columns()
    if room >= _WIDE and 21 + _HEAD * len(table.rows) <= room:
        versions = (row.assessment.target.driver.version for row in table.rows)
        show("  " + " " * 19 + "".join(f"{version:>{_HEAD}}" for version in versions))
        _print_grid(table, [_kind(row) for row in table.rows], _HEAD)
        show(paint(f"  {_HEADS}", "dim"))
    else:
        letters = [_letter(number) for number in range(len(table.rows))]
        for letter, row in zip(letters, table.rows, strict=True):
            show(f"  {letter:<2} {row.name}{'   the choice' if row.chosen else ''}")
        show()
        _print_grid(table, letters, 3)
    show(paint(f"  {_LEGEND}", "dim"))


def _letter(number: int) -> str:
    """A, B, … Z, AA, AB, …"""
    more, rest = divmod(number, 26)
    return (_letter(more - 1) if more else "") + chr(ord("A") + rest)


def _kind(row: Row) -> str:
    """ "o/d*": open modules from the distribution, prebuilt (see ``_HEADS``)."""
    target = row.assessment.target
    source = {"distribution": "d", "nvidia-repository": "n", "local": "l"}
    built = "*" if target.package.route == "prebuilt" else " "
    return f"{target.driver.flavour.value[0]}/{source.get(target.source_kind, '-')}{built}"


def _print_grid(table: Table, heads: list[str], width: int) -> None:
    show("  " + " " * 19 + "".join(f"{head:>{width}}" for head in heads).rstrip())
    for number, rule in enumerate(table.rules):
        cells = ""
        for row in table.rows:
            mark, colour = _CELLS[row.verdicts[number]]
            cells += " " * (width - 1) + (paint(mark, colour) if mark.strip() else mark)
        show(f"  {rule:<19}{cells.rstrip()}")


def print_changes(explained: Explained, recommendation: Recommendation) -> None:
    """What would lead to another choice, each alone."""
    if recommendation.chosen is None:
        return
    show()
    show(paint("What would change its mind (each alone)", "bold"))
    if any(reason.rule == "already-installed" for reason in recommendation.chosen.reasons):
        show(wrap("Were nothing installed here, and then:", 2))
    for change in explained.changes:
        show(wrap(change.sentence, 2))
    if not explained.changes:
        show(
            "  Nothing that was tried: scenario, source, framework, Secure Boot, kernel, day, GPU."
        )
