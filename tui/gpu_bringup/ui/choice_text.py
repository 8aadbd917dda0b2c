"""The recommendation in words: what, why, what else and why not. Pure."""

from __future__ import annotations

from textual.content import Content

from gpu_bringup.engine import Explained
from gpu_bringup.i18n import tr
from gpu_bringup.model.catalogue import Catalogue
from gpu_bringup.model.target import Assessment, Reason, Recommendation, Verdict
from gpu_bringup.ui.details import Detail, Item
from gpu_bringup.ui.guide_text import guide_detail
from gpu_bringup.ui.words import (
    BAD,
    MUTED,
    OK,
    VERDICT_STYLES,
    WARN,
    column,
    lines,
    paragraphs,
    section,
    verdict_word,
)


def target_card(recommendation: Recommendation) -> Content:
    """The choice, its notes loudly below it."""
    chosen = recommendation.chosen
    notes = [Content.styled(f"! {note}", f"bold {WARN}") for note in recommendation.notes]
    if chosen is None:
        refused = [Content.styled(tr("Nothing can be recommended for this host."), BAD)]
        refused += [Content(reason.detail) for reason in recommendation.refusal]
        return lines([*refused, *notes])
    target = chosen.target
    driver = target.driver
    rows = [
        (
            tr("Driver"),
            tr("{version}, branch R{branch}, {flavour} modules").format(
                version=driver.version, branch=driver.branch, flavour=driver.flavour.value
            ),
        ),
        (tr("Kernel"), ", ".join(target.kernels) + tr(" (kept)")),
        (tr("CUDA"), target.cuda or tr("none named")),
        (tr("Source"), f"{target.source_kind}: {' '.join(target.package_names)}"),
    ]
    if target.extras:
        rows.append((tr("Also"), ", ".join(target.extras)))
    return lines(
        [
            *(Content.assemble((column(name, 9), MUTED), (text, "bold")) for name, text in rows),
            *notes,
        ]
    )


def reason_items(recommendation: Recommendation, catalogue: Catalogue) -> list[Item]:
    """A line a rule, what a guide named, then a line an alternative."""
    chosen = recommendation.chosen
    reasons = chosen.reasons if chosen is not None else recommendation.refusal
    items = [Item("h-why", Content(tr("Why")))]
    items += [
        Item(f"r{index}", _reason_line(reason), _reason_detail(reason, catalogue))
        for index, reason in enumerate(reasons)
    ]
    items += _guide_items(recommendation, catalogue)
    if recommendation.trials:
        items.append(Item("h-trials", Content(tr("Proven by trial builds on this host"))))
        items += [
            Item(f"t{index}", Content(text), Detail(tr("Trial build"), Content(text)))
            for index, text in enumerate(recommendation.trials)
        ]
    if recommendation.alternatives:
        items.append(Item("h-other", Content(tr("Other candidates, and why not"))))
        items += [
            Item(f"a{index}", _other_line(other, why), _other_detail(other, why, catalogue))
            for index, (other, why) in enumerate(recommendation.alternatives)
        ]
    return items


def _guide_items(recommendation: Recommendation, catalogue: Catalogue) -> list[Item]:
    scenario = catalogue.scenarios.get(recommendation.profile)
    if scenario is None or not scenario.guide:
        return []
    detail = guide_detail(scenario, catalogue)
    return [
        Item("h-guide", Content(tr("What the guide of 2024-25 named (g: claim by claim)"))),
        Item("g0", Content.assemble((column(tr("named"), 8), MUTED), scenario.guide), detail),
        Item(
            "g1",
            Content.assemble((column(tr("now"), 8), MUTED), scenario.guide_difference),
            detail,
        ),
    ]


def _reason_line(reason: Reason) -> Content:
    style = VERDICT_STYLES[reason.verdict]
    if reason.verdict is Verdict.VIOLATED and not reason.blocking:
        style = WARN
    return Content.assemble(
        (column(verdict_word(reason.verdict), 8), style),
        (column(reason.rule, 19), MUTED),
        " " + reason.detail,
    )


def _sources(ids: tuple[str, ...], catalogue: Catalogue) -> Content:
    rows = []
    for source_id in ids:
        source = catalogue.sources.get(source_id)
        if source is None:
            rows.append(Content.styled(source_id, MUTED))
        else:
            rows.append(
                Content.assemble(
                    source.title,
                    (f"\n{source.url}\n", MUTED),
                    (tr("read {day}").format(day=source.read.isoformat()), MUTED),
                )
            )
    return lines(rows)


def _reason_detail(reason: Reason, catalogue: Catalogue) -> Detail:
    word = verdict_word(reason.verdict)
    note = ""
    if reason.verdict is Verdict.VIOLATED and not reason.blocking:
        note = tr("It speaks against the choice, but doesn't rule it out: you chose it.")
    return Detail(
        tr("Rule {rule}").format(rule=reason.rule),
        paragraphs(
            [
                Content.styled(word, VERDICT_STYLES[reason.verdict]),
                reason.detail,
                note,
                section(tr("Sources"), _sources(reason.sources, catalogue)),
            ]
        ),
    )


def _name(assessment: Assessment) -> str:
    driver = assessment.target.driver
    return f"{driver.version} {driver.flavour.value}"


def _other_line(assessment: Assessment, why: str) -> Content:
    return Content.assemble(
        (column(_name(assessment), 24), "bold"),
        (column(assessment.target.source_kind, 18), MUTED),
        " " + why,
    )


def _other_detail(assessment: Assessment, why: str, catalogue: Catalogue) -> Detail:
    reasons = [
        lines(
            [
                Content.assemble(
                    (verdict_word(reason.verdict), VERDICT_STYLES[reason.verdict]),
                    (f" {reason.rule}", MUTED),
                ),
                Content(reason.detail),
            ]
        )
        for reason in assessment.reasons
        if reason.verdict is not Verdict.OK
    ]
    good = sum(reason.verdict is Verdict.OK for reason in assessment.reasons)
    packages = " ".join(assessment.target.package_names)
    return Detail(
        _name(assessment),
        paragraphs(
            [
                section(tr("Why it isn't the choice"), why),
                section(tr("Packages"), packages),
                section(tr("What speaks against it or isn't known"), Content("\n\n").join(reasons)),
                Content.styled(tr("{count} further rules: ok").format(count=good), OK),
            ]
        ),
    )


_CELLS = {"ok": ".", "unknown": "?", "warns": "!", "blocks": "X", "silent": " "}
_CELL_STYLES = {"ok": OK, "unknown": MUTED, "warns": WARN, "blocks": BAD, "silent": MUTED}


def explained_detail(explained: Explained) -> Detail:
    """Every candidate against every rule, and what would change the choice's mind."""
    table = explained.table
    letters = [chr(ord("A") + number % 26) for number in range(len(table.rows))]
    names = [
        Content(f"{letter}  {row.name}{'   ' + tr('the choice') if row.chosen else ''}")
        for letter, row in zip(letters, table.rows, strict=True)
    ]
    grid = [Content(" " * 20 + "".join(f"{letter:>3}" for letter in letters))]
    for number, rule in enumerate(table.rules):
        cells = [
            (f"{_CELLS[row.verdicts[number]]:>3}", _CELL_STYLES[row.verdicts[number]])
            for row in table.rows
        ]
        grid.append(Content.assemble((column(rule, 20), MUTED), *cells))
    legend = tr(". kept  ? not known  ! speaks against it  X rules it out  blank: doesn't apply")
    told = [Content(change.sentence) for change in explained.changes]
    changes = told or [Content(tr("Nothing that was tried."))]
    return Detail(
        tr("Why this choice and no other"),
        paragraphs(
            [
                lines(names),
                lines(grid),
                Content.styled(legend, MUTED),
                section(tr("What would change its mind (each alone)"), lines(changes)),
            ]
        ),
    )
