"""One change of one package, as a package manager's history has it."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Change:
    when: str
    """ "2026-11-22 06:12:03", by the host's clock and zone (dnf's ends with " UTC")."""
    package: str
    action: str
    """ "install", "upgrade", "downgrade", "reinstall", "remove", "purge"."""
    old: str
    """Version before; empty: there was none, or the history doesn't say."""
    new: str
    """Version after; empty: removed."""
    command: str
    """The command that did it, as the history has it; empty: the history doesn't say."""
    user: str
    """Who called it ("root", a login name); empty: the history doesn't say."""
    unattended: bool
    """No person called it: unattended-upgrades, dnf-automatic and their like."""
    source: str
    """The file that says so."""

    @property
    def by(self) -> str:
        """Who did it, for a sentence."""
        if self.unattended:
            return next(
                (name for name in UNATTENDED if name in self.command), "an automatic upgrade"
            )
        who = f" (called by {self.user})" if self.user and self.user != "root" else ""
        if self.command:
            # Without options: they hide what was done.
            plain = re.sub(r" (?:-o \S+|--?\w\S*)", "", self.command)
            short = plain if len(plain) <= 80 else plain[:77] + "..."
            return f"'{short}'{who}"
        return f"a package manager's run that no history names{who}"


UNATTENDED = ("unattended-upgrade", "dnf-automatic", "dnf5-automatic", "packagekit", "yum-cron")
"""Words in the commands of upgrades that nobody started by hand."""
