"""A plan as a document: text, Markdown, a shell script, an Ansible playbook, JSON. From Plan only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpu_bringup.export.ansible import to_ansible
from gpu_bringup.export.markdown import to_markdown
from gpu_bringup.export.shell import to_shell
from gpu_bringup.export.text import to_json, to_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from gpu_bringup.model.plan import Plan

FORMATS: dict[str, Callable[[Plan], str]] = {
    "text": to_text,
    "json": to_json,
    "shell": to_shell,
    "markdown": to_markdown,
    "ansible": to_ansible,
}

__all__ = ["FORMATS", "to_ansible", "to_json", "to_markdown", "to_shell", "to_text"]
