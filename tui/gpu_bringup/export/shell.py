"""A plan as a POSIX shell script that a person can read and a bare server can run.

Every argument is quoted, every file is a quoted here-document whose end mark can't occur in it, and
what is replaced is kept in a backup folder. Before anything is changed the script makes sure that it
runs on the host it was made for (distribution, release, machine, kernel), and refuses with exit
status 4 where it doesn't. It names the step at which it stopped; ``--from STEP`` goes on from there.
"""

from __future__ import annotations

import hashlib
import shlex
import textwrap
from typing import TYPE_CHECKING

from gpu_bringup.export.script_parts import (
    ACCEPT,
    ARGUMENTS,
    AS_ROOT,
    BEGIN,
    CHECK,
    CHECK_ROOT,
    GUARDED,
    WRITE,
)
from gpu_bringup.export.words import (
    Short,
    facts_of,
    nothing_words,
    one_line,
    shell_line,
    short_of,
    summary,
    target_line,
)

if TYPE_CHECKING:
    from gpu_bringup.model.plan import Command, MadeFor, Plan, Step, Write


def _comment(text: str, lead: str = "") -> list[str]:
    words = lead + one_line(text)
    if not one_line(text):
        return []
    return [
        f"# {line}"
        for line in textwrap.wrap(words, 96, break_long_words=False, break_on_hyphens=False)
    ]


def _end_mark(content: str) -> str:
    """An end mark that is no line of the content, the same for the same content."""
    lines = set(content.split("\n"))
    salt = 0
    while True:
        digest = hashlib.sha256(f"{salt}:{content}".encode()).hexdigest()[:12]
        mark = f"END_OF_FILE_{digest}"
        if mark not in lines:
            return mark
        salt += 1


def _write(write: Write) -> list[str]:
    call = f"write_file {shlex.quote(write.path)} {write.mode:04o}"
    if not write.content.endswith("\n"):
        # A here-document would add a line end that the file hasn't.
        return [f"    printf %s {shlex.quote(write.content)} | {call}"]
    mark = _end_mark(write.content)
    return [f"    {call} <<'{mark}'", *write.content.split("\n")[:-1], mark]


def _command(command: Command, short: Short | None) -> str:
    line = shell_line(command, short)
    if short is None or not short.fits(command):
        line = f"{'as_root' if command.root else 'run'} {line}"
    if command.ok_statuses != (0,):
        line = f"accept {shlex.quote(' '.join(map(str, command.ok_statuses)))} {line}"
    return line


def _by_hand(command: Command) -> str:
    """A command to copy, without this script's own functions."""
    line = shell_line(command)
    if command.root:
        line = f"sudo {line}"
    return line if command.ok_statuses == (0,) else f"{line} || true"


def _step(number: int, step: Step, last: bool, short: Short | None) -> list[str]:
    lines = ["", f"# --- {number}. {one_line(step.title)}"]
    lines += _comment(step.why)
    lines += _comment(facts_of(step), "Cost: ")
    lines += _comment(step.risk, "Risk: ")
    lines += _comment(step.expect, "You will see: ")
    if step.undo or step.writes:
        lines.append("# To take it back:")
        lines += [f"#   put back as it was, or remove: {write.path}" for write in step.writes]
        lines += [f"#   {one_line(_by_hand(command))}" for command in step.undo]
    lines.append(
        f"if begin {number} {shlex.quote(step.id)} {shlex.quote(one_line(step.title))}; then"
    )
    if step.stops_workloads:
        lines.append("    echo 'This stops what runs on the GPUs.'")
    for write in step.writes:
        lines += _write(write)
    for command in step.commands:
        if command.interactive:
            lines.append("    # Asks you something on the terminal.")
        lines.append(f"    {_command(command, short)}")
    if step.reboot:
        lines.append("    echo 'A reboot is needed now.'")
        if not last:
            lines.append(f'    echo "After it, go on with: sh $0 --from {number + 1}"')
        else:
            lines.append("    echo 'That was the last step. After it, look: gpu-bringup check'")
        lines += ["    step=", "    exit 3"]
    elif not (step.writes or step.commands or step.stops_workloads):
        lines.append("    :")
    lines.append("fi")
    return lines


def _host_words(host: MadeFor) -> str:
    named = host.os_name or f"{host.os_id} {host.os_version}"
    words = [named, host.machine, *(f"kernel {release}" for release in host.kernels)]
    return ", ".join(word for word in words if word)


def _check(host: MadeFor | None, root: bool) -> list[str]:
    """The part that makes sure of the host; a plan for no certain host asks for root alone."""
    lines: list[str] = []
    if host is not None:
        values = {
            "os_id": host.os_id,
            "os_version": host.os_version,
            "os_words": _host_words(host),
            "machine": host.machine,
            "kernels": " ".join(host.kernels),
            "running": "yes" if host.running and host.kernels else "",
        }
        lines += ["# What this plan was made for."]
        lines += [f"made_{name}={shlex.quote(one_line(value))}" for name, value in values.items()]
        lines += [CHECK]
    if root:
        lines.append(CHECK_ROOT)
    if host is not None or root:
        lines.append(GUARDED)
    return lines


def _steps_table(plan: Plan) -> list[str]:
    rows = [
        f"{number:>3}  {step.id}  {one_line(step.title)}"
        for number, step in enumerate(plan.steps, 1)
    ]
    mark = _end_mark("\n".join(rows))
    return ["# steps: what --list shows.", "steps() {", f"    cat <<'{mark}'", *rows, mark, "}", ""]


def _functions(plan: Plan, short: Short | None) -> list[str]:
    commands = [command for step in plan.steps for command in step.commands]
    writes = any(step.writes for step in plan.steps)
    lines = [BEGIN]
    if writes or any(command.root for command in commands):
        lines.append(AS_ROOT)
    if short is not None and any(short.fits(command) for command in commands):
        lines += [
            f"# {short.name} ARGUMENTS...: {short.stands_for}, asking nothing, waiting for its lock.",
            f'{short.name}() {{\n    as_root {shlex.join(short.words)} "$@"\n}}\n',
        ]
    if any(command.ok_statuses != (0,) for command in commands):
        lines.append(ACCEPT)
    if writes:
        lines.append(WRITE)
    return lines


def to_shell(plan: Plan) -> str:
    """The plan as a script: exit status 0 done, 3 reboot and go on, 4 the wrong host, else a command's."""
    writes = any(step.writes for step in plan.steps)
    commands = [command for step in plan.steps for command in step.commands]
    short = short_of(plan, "apt_get")
    lines = ["#!/bin/sh", "# GPU bring-up plan, written by gpu-bringup."]
    lines += _comment(target_line(plan), "Target: ")
    if plan.empty:
        lines += ["set -eu", f"echo '{nothing_words(plan)}'"]
        return "\n".join(lines) + "\n"
    if plan.made_for is not None:
        lines += _comment(_host_words(plan.made_for), "Made for: ")
    lines += [
        f"# {summary(plan)}. Read it, then run it with: sh THIS-FILE",
        "# It refuses any other host, stops at the first failure and at a reboot, and may be run again.",
        ARGUMENTS,
        *_steps_table(plan),
        'parse_arguments "$@"',
        "",
        *_functions(plan, short),
        *_check(plan.made_for, writes or any(command.root for command in commands)),
    ]
    for number, step in enumerate(plan.steps, 1):
        lines += _step(number, step, number == len(plan.steps), short)
    for reason in plan.blocked:
        lines += ["", *_comment(reason, "Only a person can do: ")]
    if plan.first_boot:
        lines += ["", *_comment(", ".join(plan.first_boot), "Seen only at the first boot: ")]
    lines += ["", "step=", "printf '\\nAll steps are done. Look again with: gpu-bringup check\\n'"]
    return "\n".join(lines) + "\n"
