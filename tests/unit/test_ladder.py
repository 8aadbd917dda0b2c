"""The climb: order, root cause, consequences, skipped rungs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from gpu_bringup import engine
from gpu_bringup.failures.titles import titles
from gpu_bringup.ladder.ladder import INDEPENDENT, RESTS_ON, RUNGS, climb
from gpu_bringup.model.enums import Flavour, InstallMethod
from gpu_bringup.model.facts import PciFacts
from gpu_bringup.model.ladder import RUNG_IDS, State
from gpu_bringup.model.unknown import Unknown
from unit import make_facts as make

HOSTS = Path(__file__).parents[1] / "hosts"


def states(ctx):
    return {rung.id: rung.state for rung in climb(ctx).rungs}


def test_the_rungs_are_the_seventeen_in_order():
    assert tuple(rung.id for rung in RUNGS) == RUNG_IDS == tuple(RESTS_ON)


def test_a_rung_rests_only_on_lower_ones_and_known_causes():
    for rung_id, entries in RESTS_ON.items():
        for entry in entries:
            below, _, cause = entry.partition(":")
            assert RUNG_IDS.index(below) < RUNG_IDS.index(rung_id)
            assert not cause or cause in titles()
    assert set(INDEPENDENT) <= set(titles())


def test_a_healthy_host_is_healthy_and_names_its_versions():
    report = climb(make.context())
    assert report.verdict == "healthy"
    assert report.root_cause is None
    assert "550.163.01" in report.rung("loaded").summary
    assert "1 of 1" in report.rung("nvml").summary
    assert "CUDA 12.4" in report.rung("cuda").summary


def test_a_fresh_host_without_a_choice_lacks_a_driver():
    report = climb(make.context(make.fresh()))
    assert report.rung("module").state is State.BROKEN
    assert [c.cause for c in report.rung("module").causes] == ["driver-not-installed"]
    assert report.rung("nvml").state is State.BLOCKED
    assert report.rung("guard").state is State.SKIPPED


def test_consequences_are_blocked_and_keep_their_own_cause():
    facts = make.healthy()
    kernel = make.make_kernel(headers=False)
    facts = replace(
        facts,
        kernels=replace(facts.kernels, installed=(kernel,)),
        modules=replace(facts.modules, files=(), loaded=(), loaded_version=None, dkms=()),
        nvml=Unknown("driver not loaded"),
    )
    report = climb(make.context(facts))
    assert report.root_cause is not None and report.root_cause.id == "headers"
    module = report.rung("module")
    assert module.state is State.BLOCKED
    assert module.causes[0].cause == "kernel-upgraded-module-not-built"
    assert module.evidence[0].source == "rests on"
    assert "headers-missing" in module.evidence[0].text
    assert report.rung("nvml").state is State.BLOCKED


def test_an_independent_cause_is_no_consequence():
    facts = make.healthy()
    gpu = replace(facts.pci.gpus[0], pci_id="10de:2901")
    kernel = make.make_kernel(headers=False)
    facts = replace(
        facts,
        pci=replace(facts.pci, gpus=(gpu,)),
        kernels=replace(facts.kernels, installed=(kernel,)),
    )
    report = climb(make.context(facts))
    assert report.rung("headers").state is State.BROKEN
    assert report.rung("module").state is State.BROKEN
    assert "proprietary-module-on-open-only-gpu" in [c.cause for c in report.rung("module").causes]


def test_unknown_stays_unknown():
    facts = make.healthy()
    report = climb(make.context(replace(facts, nvml=Unknown("no answer within 40 s"))))
    assert report.rung("nvml").state is State.UNKNOWN
    assert "40 s" in report.rung("nvml").summary
    assert report.verdict == "unknown"


def test_no_gpu_and_no_target_is_the_root_cause():
    facts = replace(make.fresh(), pci=PciFacts((), ()))
    report = climb(make.context(facts))
    assert report.root_cause is not None and report.root_cause.causes[0].cause == "no-gpu-found"
    assert "--gpu" in report.root_cause.summary
    assert report.rung("module").state is State.BLOCKED


def test_a_prepared_kernel_is_seen_at_its_first_boot():
    facts = replace(
        make.fresh(),
        pci=PciFacts((), ()),
        platform=replace(make.fresh().platform, chroot=True, modules_loadable=False),
    )
    found = states(make.context(facts, replace(make.TARGET, prepare_only=True)))
    for rung_id in ("gpu", "loaded", "devices", "nvml", "fabric", "cuda"):
        assert found[rung_id] is State.SKIPPED
    assert found["platform"] is State.OK
    report = climb(make.context(facts, replace(make.TARGET, prepare_only=True)))
    assert make.KERNEL in report.rung("cuda").summary


@pytest.mark.parametrize(("name", "count"), [("h200-x1", 1), ("h200-x2", 2)])
def test_a_driver_from_outside_is_healthy_with_real_figures(name, count):
    host = engine.open_host(HOSTS / f"{name}.json")
    ctx = engine.context(host, engine.observe(host), make.make_catalogue())
    report = engine.check(ctx)
    assert report.verdict == "healthy"
    assert not [rung for rung in report.rungs if rung.state is State.UNKNOWN]
    assert "works, and this is not the place to install" in report.rung("platform").summary
    assert "580.159.04, open" in report.rung("loaded").summary
    assert f"NVML sees {count} of {count}" in report.rung("nvml").summary
    assert "CUDA 13.0" in report.rung("cuda").summary
    skipped = ("packages", "headers", "compiler", "module", "signature", "guard")
    assert all(report.rung(rung_id).state is State.SKIPPED for rung_id in skipped)
    plan = engine.plan(ctx, report)
    assert plan.empty and not plan.blocked


def test_an_outside_driver_is_never_planned_upon_even_when_broken():
    facts = make.healthy()
    facts = replace(
        facts, packages=replace(facts.packages, method=InstallMethod.OUTSIDE), cuda=None
    )
    ctx = make.context(facts, make.TARGET)
    plan = engine.plan(ctx, climb(ctx))
    assert plan.empty
    assert "outside" in plan.blocked[0]


def test_reports_go_through_json():
    for facts in (make.healthy(), make.fresh()):
        for rung in climb(make.context(facts)).rungs:
            assert json.loads(json.dumps(rung.to_json()))["id"] == rung.id


CASES = sorted((Path(__file__).parents[1] / "cases" / "ladder").glob("*.json"))


def _changed(facts, changes):
    """Apply {"modules.loaded_version": value}; module, kernel and GPU lists through their makers."""
    for path, value in changes.items():
        group, _, name = path.partition(".")
        part = getattr(facts, group)
        if path == "pci.gpus":
            value = tuple(replace(facts.pci.gpus[0], **item) for item in value)
        elif path == "modules.files":
            value = tuple(f for item in value for f in make.make_files(*item[:2], Flavour(item[2])))
        elif path == "log.lines" or isinstance(value, list):
            value = tuple(value)
        facts = replace(facts, **{group: replace(part, **{name: value})})
    return facts


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_case(path):
    """A case is one file: what differs from a healthy host, and what must be found."""
    case = json.loads(path.read_text())
    report = climb(make.context(_changed(make.healthy(), case["changes"])))
    root = report.root_cause
    assert root is not None
    assert (root.id, root.causes[0].cause) == (case["rung"], case["cause"])
    assert root.causes[0].evidence
