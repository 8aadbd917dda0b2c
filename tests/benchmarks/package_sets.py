"""Download and disk size of the headless driver set against the distribution's ``nvidia-driver``.

Asks this host's own apt in a private copy with all components on; changes nothing.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from gpu_bringup import engine
from gpu_bringup.families.apt_scratch import AptScratch
from gpu_bringup.families.detect import family_for
from gpu_bringup.families.scratches import scratch_for
from gpu_bringup.families.source_files import read_source_files
from gpu_bringup.model.unknown import Unknown


def compare() -> list[tuple[str, int, int]]:
    """(name, download bytes, disk bytes) of each set; empty where this host has no apt."""
    host = engine.open_host()
    facts = engine.observe(host)
    catalogue = engine.load_catalogue()
    if isinstance(facts.os, Unknown):
        return []
    family = family_for(facts.os)
    from gpu_bringup.catalogue.lookup import distribution

    release = distribution(catalogue, facts.os.id, facts.os.version)
    if family is None or release is None or family.manager.name != "apt":
        return []
    results: list[tuple[str, int, int]] = []
    with tempfile.TemporaryDirectory() as folder:
        components = ("contrib", "non-free", "non-free-firmware")
        files = read_source_files(host, facts)
        scratch = scratch_for(family, host, facts, Path(folder) / "apt", files, components, None)
        if not isinstance(scratch, AptScratch) or scratch.prepare():
            return []
        for package in release.drivers:
            if package.source != "distribution" or package.route != "dkms":
                continue
            names = family.driver_packages(package, ())
            found = scratch.resolve([*names, *family.build_packages()])
            if found.ok:
                size = (found.download_bytes or 0, found.installed_bytes or 0)
                results.append((f"headless set {package.id}", *size))
        recommended = scratch.resolve(["nvidia-driver", "nvidia-smi"], recommends=True)
        if recommended.ok:
            size = (recommended.download_bytes or 0, recommended.installed_bytes or 0)
            results.append(("nvidia-driver with what it recommends", *size))
    return results
