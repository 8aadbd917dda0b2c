"""The enrolment of the signing key in words: what comes, what is proven, the ways on. Pure."""

from __future__ import annotations

from textual.content import Content

from gpu_bringup.i18n import tr
from gpu_bringup.model.plan import Plan
from gpu_bringup.signing import proof
from gpu_bringup.signing.enrolment import Stage
from gpu_bringup.signing.proof import MODULES, Witness
from gpu_bringup.signing.report import Report
from gpu_bringup.ui.run_model import RunModel
from gpu_bringup.ui.screens.choose import Way
from gpu_bringup.ui.words import ASIDE, BAD, MUTED, OK, heading, lines, paragraphs

STEP = "enrol-key"
"""The step that files the request (ladder.signature)."""
_OPEN_STAGES = (Stage.WAITING, Stage.PASSED_BY, Stage.MISSED)
_MARKS = {proof.GOOD: ("+", OK), proof.BAD: ("X", BAD), proof.OPEN: ("?", ASIDE)}


def asked_by(plan: Plan | None) -> bool:
    """Does a plan ask the firmware to trust the key?"""
    return plan is not None and any(step.id == STEP for step in plan.steps)


def asked_in(model: RunModel) -> bool:
    """Has a run asked the firmware?"""
    return STEP in model.done


def begun_in(model: RunModel) -> bool:
    """Has a run begun to ask the firmware, however that ended?"""
    return any(step.id == STEP and step.state for step in model.steps)


def concerns(report: Report) -> bool:
    """Is there something to see or do: a request that waits, was missed, or went another way?"""
    return report.enrolment.stage in _OPEN_STAGES


def can_ask_again(report: Report) -> bool:
    """Would another request help?"""
    return report.enrolment.stage in (Stage.MISSED, Stage.NOT_ASKED)


def headline(report: Report) -> Content:
    """Where it stands, in one sentence."""
    style = {proof.GOOD: OK, proof.BAD: BAD, proof.OPEN: ASIDE}[report.verdict]
    return Content.styled(tr(report.head), f"bold {style}" if "bold" not in style else style)


def grouped(witnesses: tuple[Witness, ...]) -> tuple[Witness, ...]:
    """The same, with modules of one state and text told in one line."""
    shown: list[Witness] = []
    for witness in witnesses:
        last = shown[-1] if shown else None
        alike = (
            last is not None
            and witness.name in MODULES
            and last.name.split(", ")[0] in MODULES
            and (last.state, last.text) == (witness.state, witness.text)
        )
        if alike and last is not None:
            names = f"{last.name}, {witness.name}"
            shown[-1] = Witness(names, last.state, last.text, last.source)
        else:
            shown.append(witness)
    return tuple(shown)


def proof_lines(report: Report, *, sources: bool = False) -> Content:
    """Each witness with its mark: + for it, X against it, ? not known or still to come."""
    rows = []
    for witness in grouped(report.witnesses):
        mark, style = _MARKS[witness.state]
        name = witness.name.replace(", nvidia_", ", _")
        row = Content.assemble((f"{mark} ", style), (f"{name}: ", "bold"), witness.text)
        if sources:
            row = Content.assemble(row, (f" ({witness.source})", MUTED))
        rows.append(row)
    return lines(rows)


def next_text(report: Report) -> Content:
    """What to do next; empty where nothing is."""
    if report.enrolment.stage is Stage.ENROLLED or not report.enrolment.next:
        return Content("")
    return Content.assemble((tr("Next: "), "bold"), report.enrolment.next)


def what_comes(report: Report | None) -> Content:
    """What the operator does around the reboot, numbered."""
    console = report.console if report is not None else None
    where = (
        tr("Open the console first: {name}. {how}").format(name=console.name, how=console.open)
        if console is not None
        else tr("Open the machine's console first (BMC, cloud or hypervisor).")
    )
    steps = (
        where,
        tr("Reboot: sudo reboot"),
        tr("A blue screen waits ten seconds: press a key, then Enroll MOK, Continue, Yes, the one-time "
           "password, Reboot."),
        tr("Start gpu-bringup again: it shows whether the key was taken."),
    )  # fmt: skip
    rows = [Content.assemble((f"{number}. ", "bold"), step) for number, step in enumerate(steps, 1)]
    return lines([heading(tr("What comes: the firmware asks for your key")), *rows])


def rehearse_way() -> Way:
    """See the screens beforehand."""
    return Way(
        "rehearse", tr("rehearse the console's screens"), tr("changes nothing; takes a minute")
    )


def again_way() -> Way:
    """Ask the firmware once more."""
    return Way(
        "again",
        tr("ask the firmware again"),
        tr("a run of its own: the request and the reboot, nothing that is done is done again"),
    )


def report_text(report: Report) -> Content:
    """Everything: verdict, witnesses, next, the key, the console."""
    key = (
        tr("This host's key: {subject}, SHA-1 {sum}").format(
            subject=report.subject, sum=report.fingerprint.upper()
        )
        if report.fingerprint
        else ""
    )
    words = report.console_words if concerns(report) or can_ask_again(report) else ()
    return paragraphs(
        [
            headline(report),
            proof_lines(report, sources=True),
            next_text(report),
            key,
            lines([heading(tr("The console")), *words]) if words else "",
        ]
    )


def no_console_way() -> Way:
    """What is left where nobody reaches a console."""
    return Way("console", tr("where the console is, and if nobody can reach it"))


def no_console_text(report: Report) -> Content:
    """Where this machine's console is, and the ways that need none."""
    return paragraphs(report.console_words)
