"""``gpu-bringup plan``: the steps that would be taken, in several forms."""

from __future__ import annotations

import shlex
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from gpu_bringup import engine
from gpu_bringup.catalogue.lookup import distribution
from gpu_bringup.commands.output import clean, print_json, say, usable_output
from gpu_bringup.commands.wish import look, refuse_absent_kernel
from gpu_bringup.errors import ExitCode, HostError, RefusedError
from gpu_bringup.export.container import container_file
from gpu_bringup.export.kubernetes import gpu_operator_values
from gpu_bringup.export.node import node_of
from gpu_bringup.export.plans import export, refuse_credentials
from gpu_bringup.model.target import Verdict
from gpu_bringup.model.unknown import Unknown
from gpu_bringup.rules.describe import frameworks_of

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from gpu_bringup.commands.wish import Asked
    from gpu_bringup.engine import Situation
    from gpu_bringup.model.answers import Answers
    from gpu_bringup.model.plan import Plan
    from gpu_bringup.model.target import Assessment, Target


_AGE = {"lifecycle", "security-floor"}
"""Rules that refuse a driver for its age alone."""
_SOURCE = {"fabric-source", "source-reachable"}
"""Rules that refuse a driver for where it would come from."""


def run(arguments: argparse.Namespace) -> int:
    """Plan and print; exit status 0 with a plan or nothing to do, 1 when none can be made."""
    output: Path | None = getattr(arguments, "output", None)
    usable_output(output)
    asked = look(arguments)
    refuse_absent_kernel(asked)
    situation = engine.examine(asked.host, asked.facts, asked.answers, asked.catalogue)
    form = "json" if getattr(arguments, "json", False) else arguments.format
    plan = told(situation, asked.answers) if form not in _DOCUMENTS else situation.plan
    to_file = output is not None and str(output) != "-"
    if form == "json" and not to_file:
        refuse_credentials(plan)
        print_json(plan.to_json())
    else:
        document = _DOCUMENTS.get(form)
        text = document(situation, asked) if document else export(plan, form)
        if output is None or not to_file:
            _print(text, form)
        else:
            _write(output, text)
    for note in situation.notes:
        say(f"! {note}")
    for text in plan.blocked:
        say(f"! {text}")
    return ExitCode.FAILED if plan.empty and plan.blocked else ExitCode.OK


def _target(situation: Situation) -> Target:
    target = situation.context.target
    if target is None:
        raise RefusedError(
            "nothing can be recommended for this host, so there is nothing to write down",
            meaning="Nothing was written and nothing was changed.",
            hint="gpu-bringup recommend says why.",
        )
    return target


def _gpu_operator(situation: Situation, asked: Asked) -> str:
    node = node_of(asked.facts, asked.answers, described=asked.host is None)
    return gpu_operator_values(node, _target(situation), asked.catalogue)


def _container(situation: Situation, asked: Asked) -> str:
    system = asked.facts.os
    return container_file(
        _target(situation),
        asked.catalogue,
        next(iter(frameworks_of(asked.answers, asked.catalogue)), None),
        "" if isinstance(system, Unknown) else f"{system.id}:{system.version}",
    )


def _packages(situation: Situation, asked: Asked) -> str:
    from gpu_bringup.export.packages import packages_script

    system, family = asked.facts.os, situation.context.family
    if isinstance(system, Unknown) or family is None:
        raise RefusedError(
            "this host's distribution isn't known, and with it how packages are fetched",
            meaning="Nothing was written and nothing was changed.",
            hint="Describe the host: --os debian:13",
        )
    release = distribution(asked.catalogue, system.id, system.version)
    return packages_script(
        situation.plan,
        _target(situation),
        asked.catalogue,
        family.manager.name,
        system,
        release.nvidia_distro if release is not None else "",
    )


_DOCUMENTS = {"gpu-operator": _gpu_operator, "container": _container, "packages": _packages}
"""Forms that are made from target and node, not from the plan's steps."""


_NO_KERNEL = (
    "The chosen driver's modules come ready-made for one kernel each, and no kernel was named: give "
    "--kernel RELEASE (uname -r says it on the server)."
)


def told(situation: Situation, answers: Answers) -> Plan:
    """The plan with what only a person can see to: a fabric that nobody looked for, and where nothing
    is planned because no driver fits, the reasons why none does."""
    plan, recommendation = situation.plan, situation.recommendation
    if recommendation is None:
        return plan
    if recommendation.chosen is not None:
        if not situation.context.releases and not any(s.rung == "module" for s in plan.steps):
            # Without the driver the other steps would only look like a plan.
            return replace(plan, steps=(), blocked=(*plan.blocked, _NO_KERNEL))
        return replace(plan, blocked=(*plan.blocked, *_fabric(situation, recommendation.chosen)))
    if not plan.empty:
        return plan
    against = [r.detail for r in recommendation.refusal if r.verdict is Verdict.VIOLATED]
    if not against or not plan.blocked:
        return plan
    blocking = {r.rule for r in recommendation.refusal if r.blocking and r.detail in against}
    # What is too old may be wanted all the same; what can't work may not.
    way = ["To plan with it in spite of that, name it: --driver."] if blocking <= _AGE else []
    if answers.source is not None and blocking & _SOURCE:
        way = [f"Leave --source {answers.source.value} out, and another source is planned with."]
    return replace(plan, blocked=("No driver is offered here.", *dict.fromkeys(against), *way))


def _fabric(situation: Situation, chosen: Assessment) -> tuple[str, ...]:
    """What to do on a baseboard with NVSwitch where nobody could see whether there is one."""
    family, target = situation.context.family, chosen.target
    open_ = next(
        (r for r in chosen.reasons if r.rule == "fabric" and r.verdict is Verdict.UNKNOWN), None
    )
    if situation.plan.empty or family is None or open_ is None:
        return ()
    driver = target.driver
    names = family.fabric_packages(
        "fabricmanager", driver.branch, driver.version, target.package.source
    )
    unit = family.services().get("fabricmanager", "")
    argv = family.manager.install(names).argv
    install = shlex.join((argv[0], "install", *argv[-len(names) :]))
    return (
        f"{open_.detail} On such a machine, as root, with the driver's version to the last digit: "
        f"{install}; systemctl enable --now {unit}. `gpu-bringup plan` on the server itself sees the "
        "switches and plans it.",
    )


def _print(text: str, form: str) -> None:
    # What goes into a file must stay as it is; what is looked at must not play with the terminal.
    text = clean(text) if form == "text" or sys.stdout.isatty() else text
    print(text, end="" if text.endswith("\n") else "\n")


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8", errors="replace")
    except OSError as error:
        raise HostError(
            f"{path} can't be written: {error.strerror}",
            meaning="The plan was not written, or not as a whole.",
            hint="Make room or name another file with -o.",
        ) from error
