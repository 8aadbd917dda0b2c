"""The signing key of a host in the firmware: the report on it, and the steps that ask once more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpu_bringup.families.detect import family_for
from gpu_bringup.ladder.base import Context
from gpu_bringup.ladder.signature import enrol_plan
from gpu_bringup.ladder.signing import host_key
from gpu_bringup.model.unknown import Unknown
from gpu_bringup.signing.report import Report, report

if TYPE_CHECKING:
    from gpu_bringup.model.catalogue import Catalogue
    from gpu_bringup.model.facts import Facts
    from gpu_bringup.model.plan import Plan


def _context(facts: Facts, catalogue: Catalogue) -> Context:
    family = None if isinstance(facts.os, Unknown) else family_for(facts.os)
    return Context(facts=facts, catalogue=catalogue, family=family)


def enrolment(facts: Facts, catalogue: Catalogue) -> Report:
    """Where the enrolment of this host's signing key stands, with its proof and its screens."""
    return report(facts, host_key(_context(facts, catalogue)))


def enrol_again(facts: Facts, catalogue: Catalogue) -> Plan:
    """The request for this host's key and the reboot; no step where that wouldn't help, with why."""
    return enrol_plan(_context(facts, catalogue))
