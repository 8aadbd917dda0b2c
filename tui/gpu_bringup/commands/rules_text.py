"""``gpu-bringup profiles show rules``: every rule, what it asks, and where that is from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpu_bringup.commands.output import paint, print_json, show, wrap
from gpu_bringup.rules.registry import REGISTRY

if TYPE_CHECKING:
    from gpu_bringup.model.catalogue import Catalogue


def show_rules(catalogue: Catalogue, as_json: bool) -> None:
    """Print the rules in the order in which they are read."""
    if as_json:
        rules = [
            {"id": rule.id, "about": rule.about, "sources": list(rule.sources)} for rule in REGISTRY
        ]
        print_json({"schema": 1, "rules": rules})
        return
    for rule in REGISTRY:
        show(paint(rule.id, "bold"))
        show(wrap(rule.about, 4))
        for name in rule.sources:
            source = catalogue.sources.get(name)
            if source is not None:
                show(paint(wrap(source.title, 4), "dim"))
