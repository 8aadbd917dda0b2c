"""What the selection guide of 2024-25 named for a scenario, and what holds now. Pure."""

from __future__ import annotations

from textual.content import Content

from gpu_bringup.i18n import tr
from gpu_bringup.model.catalogue import Catalogue, Scenario
from gpu_bringup.model.guide import GuideClaim, Origin
from gpu_bringup.ui.details import Detail
from gpu_bringup.ui.words import ASIDE, BAD, MUTED, OK, WARN, lines, paragraphs, section

_STYLES = {"true": OK, "partly": WARN, "false": BAD, "outdated": BAD, "unverifiable": ASIDE}


def verdict_word(verdict: str) -> str:
    """A verdict on a claim, as ``gpu-bringup profiles show guide`` prints it."""
    return {
        "true": tr("true"),
        "partly": tr("partly"),
        "false": tr("FALSE"),
        "outdated": tr("OUTDATED"),
        "unverifiable": tr("unproven"),
    }[verdict]


def has_guide(scenario: Scenario | None) -> bool:
    """Is there anything to say of what a guide named?"""
    return scenario is not None and bool(scenario.guide or scenario.claims)


def difference(scenario: Scenario | None) -> Content:
    """What the guide named and what holds now, in two lines; empty: nothing to say."""
    if scenario is None or not scenario.guide:
        return Content("")
    return lines(
        [
            Content.assemble((tr("Named: "), MUTED), scenario.guide),
            Content.assemble((tr("Now: "), MUTED), scenario.guide_difference),
            Content.styled(tr("g shows it claim by claim."), MUTED),
        ]
    )


def difference_line(scenario: Scenario | None) -> str:
    """What the guide named, in a line that fits 80 columns; empty: nothing to say."""
    if scenario is None or not scenario.guide:
        return ""
    kernels = tr(" or ").join(scenario.guide_kernel)
    named = scenario.guide_driver + (tr(" on {kernels}").format(kernels=kernels) if kernels else "")
    return tr("guide of 2024-25: {named}; g: what holds now").format(named=named or scenario.guide)


def guide_detail(scenario: Scenario, catalogue: Catalogue) -> Detail:
    """Every claim of the guide on such a server, with what holds now, why and whence."""
    return Detail(
        tr("The guide of 2024-25 and what holds now: {title}").format(title=scenario.title),
        paragraphs(
            [
                section(tr("In short"), _short(scenario)),
                *(_claim(claim, catalogue) for claim in scenario.claims),
                tr("Everything else that the guide claims: gpu-bringup profiles show guide"),
            ]
        ),
    )


def _short(scenario: Scenario) -> Content:
    return paragraphs([scenario.guide, scenario.guide_difference])


def _claim(claim: GuideClaim, catalogue: Catalogue) -> Content:
    found = [catalogue.sources[name] for name in claim.sources if name in catalogue.sources]
    rows = [
        Content.assemble(
            (f"{claim.id}  {verdict_word(claim.verdict)}", _STYLES[claim.verdict]),
            (f"  {claim.topic}", MUTED),
        ),
        Content(f"\N{QUOTATION MARK}{claim.said}\N{QUOTATION MARK}"),
        Content.assemble((tr("Now: "), MUTED), claim.now),
    ]
    for label, text in ((tr("Why: "), claim.reason), (tr("How certain: "), claim.note)):
        if text:
            rows.append(Content.assemble((label, MUTED), text))
    rows += [
        Content.styled(
            tr("{title}; read {day}").format(title=source.url or source.title, day=source.read),
            MUTED,
        )
        for source in found
    ]
    return lines(rows)


def origin_note(origin: Origin | None) -> str:
    """Where an operator's own profile comes from; empty: it is the project's."""
    if origin is None or (origin.kind == "project" and not origin.extends):
        return ""
    parts = []
    if origin.kind != "project":
        parts.append(tr("your own, from {file}").format(file=origin.file))
    if origin.extends:
        parts.append(tr("builds on {names}").format(names=" -> ".join(origin.extends)))
    return "; ".join(parts)
