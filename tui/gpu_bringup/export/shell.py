"""A plan as a POSIX shell script that a person can read and a bare server can run.

Every argument is quoted, every file is a quoted here-document whose end mark can't occur in it, and
what is replaced is kept in a backup folder. The script stops at the first failure, and at a reboot;
``sh SCRIPT N`` goes on from step N.
"""

from __future__ import annotations

import hashlib
import shlex
import textwrap
from typing import TYPE_CHECKING

from gpu_bringup.export.words import (
    facts_of,
    nothing_words,
    one_line,
    shell_line,
    summary,
    target_line,
)

if TYPE_CHECKING:
    from gpu_bringup.model.plan import Command, Plan, Step, Write

_HEAD = """\
# shellcheck disable=SC2016 # arguments are taken literally, on purpose
set -eu
umask 022

first=${1:-1}
case $first in
'' | *[!0-9]*)
    echo "usage: sh $0 [number of the step to begin with]" >&2
    exit 2
    ;;
esac

# begin NUMBER TITLE: is this step to be done in this run?
begin() {
    [ "$1" -ge "$first" ] || return 1
    printf '\\n== step %s: %s\\n' "$1" "$2"
}
"""

_AS_ROOT = """\
# as_root COMMAND...: run it as root, through sudo where we aren't.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo -- "$@"; fi
}
"""

_ACCEPT = """\
# accept "STATUS ..." COMMAND...: these exit statuses mean that it went well.
accept() {
    accepted=" $1 "
    shift
    status=0
    "$@" || status=$?
    case $accepted in *" $status "*) ;; *) exit "$status" ;; esac
}
"""

_WRITE = """\
backup=${GPU_BRINGUP_BACKUP:-/var/backups/gpu-bringup/$(date +%Y%m%d-%H%M%S)-$$}

# write_file PATH MODE: standard input becomes the file; a different one is kept in $backup.
write_file() {
    new=$(mktemp)
    cat >"$new"
    if as_root cmp -s "$new" "$1"; then
        as_root chmod "$2" "$1"
        rm -f "$new"
        echo "unchanged: $1"
        return 0
    fi
    folder=$(dirname "$1")
    as_root mkdir -p "$folder"
    if as_root test -e "$1"; then
        as_root mkdir -p "$backup$folder"
        as_root cp -p "$1" "$backup$1"
        echo "kept: $backup$1"
    fi
    # In two moves, so that nobody ever reads half a file.
    as_root install -m "$2" "$new" "$1.gpu-bringup-new"
    as_root mv -f "$1.gpu-bringup-new" "$1"
    rm -f "$new"
    echo "wrote: $1"
}
"""


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


def _command(command: Command) -> str:
    line = shell_line(command)
    if command.root:
        line = f"as_root {line}"
    if command.ok_statuses != (0,):
        line = f"accept {shlex.quote(' '.join(map(str, command.ok_statuses)))} {line}"
    return line


def _by_hand(command: Command) -> str:
    """A command to copy, without this script's own functions."""
    line = shell_line(command)
    if command.root:
        line = f"sudo {line}"
    return line if command.ok_statuses == (0,) else f"{line} || true"


def _step(number: int, step: Step, last: bool) -> list[str]:
    lines = ["", f"# --- {number}. {one_line(step.title)}"]
    lines += _comment(step.why)
    lines += _comment(facts_of(step), "Cost: ")
    lines += _comment(step.risk, "Risk: ")
    lines += _comment(step.expect, "You will see: ")
    if step.undo or step.writes:
        lines.append("# To take it back:")
        lines += [f"#   put back as it was, or remove: {write.path}" for write in step.writes]
        lines += [f"#   {one_line(_by_hand(command))}" for command in step.undo]
    lines.append(f"if begin {number} {shlex.quote(one_line(step.title))}; then")
    if step.stops_workloads:
        lines.append("    echo 'This stops what runs on the GPUs.'")
    for write in step.writes:
        lines += _write(write)
    for command in step.commands:
        if command.interactive:
            lines.append("    # Asks you something on the terminal.")
        lines.append(f"    {_command(command)}")
    if step.reboot:
        lines.append("    echo 'A reboot is needed now.'")
        if not last:
            lines.append(f'    echo "After it, go on with: sh $0 {number + 1}"')
        else:
            lines.append("    echo 'That was the last step. After it, look: gpu-bringup check'")
        lines.append("    exit 3")
    elif not (step.writes or step.commands or step.stops_workloads):
        lines.append("    :")
    lines.append("fi")
    return lines


def to_shell(plan: Plan) -> str:
    """The plan as a script: exit status 0 done, 3 reboot and go on, else a command's own."""
    writes = any(step.writes for step in plan.steps)
    commands = [command for step in plan.steps for command in step.commands]
    lines = ["#!/bin/sh", "# GPU bring-up plan, written by gpu-bringup."]
    lines += _comment(target_line(plan), "Target: ")
    if plan.empty:
        lines += ["set -eu", f"echo '{nothing_words(plan)}'"]
        return "\n".join(lines) + "\n"
    lines += [
        f"# {summary(plan)}. Read it, then run it with: sh THIS-FILE",
        "# It stops at the first failure and at a reboot; a number as argument begins at that step.",
        _HEAD,
    ]
    if writes or any(command.root for command in commands):
        lines.append(_AS_ROOT)
    if any(command.ok_statuses != (0,) for command in commands):
        lines.append(_ACCEPT)
    if writes:
        lines.append(_WRITE)
    for number, step in enumerate(plan.steps, 1):
        lines += _step(number, step, last=number == len(plan.steps))
    for reason in plan.blocked:
        lines += ["", *_comment(reason, "Only a person can do: ")]
    if plan.first_boot:
        lines += ["", *_comment(", ".join(plan.first_boot), "Seen only at the first boot: ")]
    lines += ["", "printf '\\nAll steps are done. Look again with: gpu-bringup check\\n'"]
    return "\n".join(lines) + "\n"
