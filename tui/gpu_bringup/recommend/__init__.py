"""Facts, answers, catalogue and what was built before in; a target with its reasons out. No I/O.

Every candidate (a driver version, a flavour, a place that it comes from) is held against every rule
of ``gpu_bringup.rules``; what no rule blocks is put in order by ``rules.score``. What the catalogue
says of builds is a prediction: ``proving_order`` tries the preferred candidates first all the same,
and what a trial build shows comes back as evidence and is then the truth.

``choose`` makes the choice, ``pins`` judges a combination that an operator has in mind, ``table`` is
every candidate against every rule, ``change`` says what would lead to another choice.
"""

from __future__ import annotations

from gpu_bringup.recommend.choose import proving_order, rank, recommend
from gpu_bringup.rules.describe import validate_answers

__all__ = ["LOOKS_AT", "proving_order", "rank", "recommend", "validate_answers"]

LOOKS_AT = frozenset(
    {
        *("os", "platform", "kernels", "pci", "secure-boot", "nvml", "modules", "packages"),
        # Only these together tell how a driver that is there came onto the host.
        *("cuda", "libraries", "traces"),
    }
)
"""The observers of ``facts.collect`` whose facts a choice rests on: of many hosts, nothing else need
be looked at."""
