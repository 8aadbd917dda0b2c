"""The table scenario x GPU x distribution as text, one line a row.

``PYTHONPATH=tui python tests/golden/recommendation_table.py`` writes ``recommendations.txt`` anew.
Look at the difference before it is committed: it is what a change of data or rules does to operators.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path

from gpu_bringup.catalogue.loader import load
from gpu_bringup.model.answers import Answers
from gpu_bringup.model.catalogue import Catalogue
from gpu_bringup.model.target import Recommendation, Verdict
from gpu_bringup.recommend import recommend

GOLDEN = Path(__file__).with_name("recommendations.txt")
TODAY = date(2026, 11, 22)
SCENARIOS = ("long-term-stable", "new-hardware", "kubernetes", "compliance")
GPUS: dict[str, tuple[str, ...]] = {
    "M60": ("10de:13f2",),
    "P100": ("10de:15f8",),
    "V100": ("10de:1db4",),
    "T4": ("10de:1eb8",),
    "A100": ("10de:20b2",),
    "A10": ("10de:2236",),
    "L40S": ("10de:26b9",),
    "H100-PCIe": ("10de:2331",),
    "H100-SXM": ("10de:2330",),
    "H100-SXMx8": ("10de:2330",) * 8,
    "H200": ("10de:2335",),
    "GH200": ("10de:2342",),
    "B200": ("10de:2901",),
    "B300": ("10de:3182",),
    "GB200": ("10de:2941",),
    "RTX-PRO-6000": ("10de:2bb5",),
    "RTX-4090": ("10de:2684",),
    "Rubin": ("10de:3002",),
    "unlisted": ("10de:2bff",),
    "unknown": ("10de:ffff",),
    "T4+H100": ("10de:1eb8", "10de:2330"),
    "V100+H100": ("10de:1db4", "10de:2330"),
    "V100+B200": ("10de:1db4", "10de:2901"),
    "RTX-4090+L40S": ("10de:2684", "10de:26b9"),
}
"""By PCI id: what a host has, whatever the catalogue calls it."""
HEAD = f"""\
# scenario | GPUs | system | verdict driver flavour route source | CUDA | extras | against | not known
# On {TODAY}, standard kernel of each system, Secure Boot not known. Regenerate:
#   PYTHONPATH=tui python tests/golden/recommendation_table.py
"""


def table(catalogue: Catalogue) -> list[str]:
    """Every row, in a fixed order."""
    systems = sorted(f"{item.os_id}:{item.version}" for item in catalogue.distributions)
    return [
        f"{scenario} | {name} | {system} | {_row(catalogue, scenario, gpus, system)}".rstrip(" |")
        for scenario in SCENARIOS
        for name, gpus in GPUS.items()
        for system in systems
    ]


def _row(catalogue: Catalogue, scenario: str, gpus: tuple[str, ...], system: str) -> str:
    answers = Answers(scenario=scenario, gpus=gpus, os=system, today=TODAY)
    return _told(recommend(None, answers, catalogue))


def _told(result: Recommendation) -> str:
    chosen = result.chosen
    if chosen is None:
        return f"refused {', '.join(dict.fromkeys(reason.rule for reason in result.refusal))}"
    target = chosen.target
    driver = f"{target.driver.version} {target.driver.flavour.value} {target.package.route}"
    sides = [
        " ".join(dict.fromkeys(r.rule for r in chosen.reasons if r.verdict is verdict))
        for verdict in (Verdict.VIOLATED, Verdict.UNKNOWN)
    ]
    parts = (f"{driver} {target.source_kind}", target.cuda, " ".join(target.extras), *sides)
    return " | ".join(parts)


def main() -> None:
    """Write the table of the catalogue as it is."""
    rows = table(load(None))
    GOLDEN.write_text(HEAD + "\n".join(rows) + "\n")
    print(f"{GOLDEN}: {len(rows)} rows")


if __name__ == "__main__":
    main()
