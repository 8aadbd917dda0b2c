"""A plan as an Ansible playbook.

The YAML is written by hand from a few shapes only: every scalar is a double-quoted string, a number
or true/false, so that nothing can be read as something else. Strings that Jinja would expand are
tagged !unsafe. Sources: YAML 1.2 section 5.7, Ansible "Advanced playbook syntax" (unsafe strings).
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, Union

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

Value = Union[str, int, bool, list["Value"], dict[str, "Value"]]

_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def _escape(char: str) -> str:
    if char in _ESCAPES:
        return _ESCAPES[char]
    if char.isprintable():
        return char
    code = ord(char)
    if code <= 0xFF:
        return f"\\x{code:02X}"
    return f"\\u{code:04X}" if code <= 0xFFFF else f"\\U{code:08X}"


def quoted(text: str) -> str:
    """The text as a YAML scalar that Ansible takes literally."""
    body = '"' + "".join(map(_escape, text)) + '"'
    return f"!unsafe {body}" if any(mark in text for mark in ("{{", "{%", "{#")) else body


def _scalar(value: str | int | bool) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int) else quoted(value)


def _lines(value: Value, indent: int) -> list[str]:
    pad = " " * indent
    result: list[str] = []
    if isinstance(value, dict):
        for key, item in value.items():
            if isinstance(item, (dict, list)):
                result += [f"{pad}{_key(key)}:", *_lines(item, indent + 2)]
            else:
                result.append(f"{pad}{_key(key)}: {_scalar(item)}")
        return result
    if isinstance(value, list):
        for item in value:
            if isinstance(item, dict):
                inner = _lines(item, indent + 2)
                result += [f"{pad}- {inner[0].lstrip()}", *inner[1:]]
            elif isinstance(item, list):
                result += [f"{pad}-", *_lines(item, indent + 2)]
            else:
                result.append(f"{pad}- {_scalar(item)}")
        return result
    return [pad + _scalar(value)]


def _key(key: str) -> str:
    return key if key.replace("_", "").replace(".", "").isalpha() else quoted(key)


def _write(name: str, write: Write) -> list[Value]:
    folder = posixpath.dirname(write.path)
    return [
        {
            "name": f"{name}: folder {folder}",
            "ansible.builtin.file": {"path": folder, "state": "directory"},
            "become": True,
        },
        {
            "name": f"{name}: write {write.path}",
            "ansible.builtin.copy": {
                "dest": write.path,
                "content": write.content,
                "mode": f"{write.mode:04o}",
                "backup": True,
            },
            "become": True,
        },
    ]


def _command(name: str, command: Command) -> Value:
    if command.interactive:
        line = f"sudo {shell_line(command)}" if command.root else shell_line(command)
        return {
            "name": f"{name}: by hand, it asks for a password",
            "ansible.builtin.pause": {
                "prompt": f"Run this on the host's own terminal, then press Enter: {line}"
            },
        }
    task: dict[str, Value] = {
        "name": f"{name}: {one_line(shell_line(command))[:100]}",
        "ansible.builtin.command": {"argv": list(command.argv)},
        "become": command.root,
        "changed_when": True,
    }
    if command.environment:
        task["environment"] = dict(command.environment)
    if command.ok_statuses != (0,):
        task["register"] = "gpu_bringup_result"
        statuses = ", ".join(map(str, command.ok_statuses))
        task["failed_when"] = f"gpu_bringup_result.rc not in [{statuses}]"
    return task


def _step(number: int, step: Step) -> list[Value]:
    name = f"{number}. {one_line(step.title)}"
    tasks: list[Value] = []
    for write in step.writes:
        tasks += _write(name, write)
    tasks += [_command(name, command) for command in step.commands]
    if step.reboot:
        tasks.append(
            {
                "name": f"{name}: reboot",
                "ansible.builtin.reboot": {"reboot_timeout": 1800},
                "become": True,
            }
        )
    return tasks


def to_ansible(plan: Plan) -> str:
    """The plan as a playbook for the host that it was made for; run it with ``--limit HOST``."""
    head = [
        "---",
        "# GPU bring-up plan, written by gpu-bringup for one host and its present state.",
    ]
    target = target_line(plan)
    if target:
        head.append(f"# Target: {target}")
    if plan.empty:
        head.append(f"# {nothing_words(plan)}")
    else:
        head.append(f"# {summary(plan)}. Needs ansible-core 2.12 or newer.")
    for number, step in enumerate(plan.steps, 1):
        head.append(f"#   {number}. {one_line(step.title)} ({facts_of(step)})")
        head.append(f"#      {one_line(step.why)}")
    head += [f"# Only a person can do: {one_line(reason)}" for reason in plan.blocked]
    tasks = [task for number, step in enumerate(plan.steps, 1) for task in _step(number, step)]
    play = ['- name: "GPU bring-up"', '  hosts: "all"', "  gather_facts: false"]
    play += ["  tasks:", *_lines(tasks, 4)] if tasks else ["  tasks: []"]
    return "\n".join([*head, *play]) + "\n"
