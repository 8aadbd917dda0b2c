"""Facts that nobody has read are no facts: what check, plan, recover and next-boot make of them.

Each host is the recorded Debian 13 server after a kernel upgrade, broken in one way.
"""

from __future__ import annotations

import copy
import json
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from gpu_bringup import engine
from gpu_bringup.cli import main
from gpu_bringup.facts.containers import docker_cgroup_driver
from gpu_bringup.hosts.recorded import RecordedHost
from gpu_bringup.ladder import compiler
from gpu_bringup.ladder.decide import decider
from gpu_bringup.ladder.ladder import climb
from gpu_bringup.model.answers import Answers
from gpu_bringup.model.enums import HeadersState
from gpu_bringup.model.facts import DkmsBuild, Headers
from gpu_bringup.model.ladder import State
from gpu_bringup.model.unknown import Unknown
from gpu_bringup.recover import door
from unit import make_facts as make

HOSTS = Path(__file__).parents[1] / "hosts"
NEW, OLD = "6.12.115+deb13-amd64", "6.12.107+deb13-amd64"


@pytest.fixture(scope="module")
def catalogue():
    return engine.load_catalogue()


def record(name="debian13-kernel-upgraded"):
    return json.loads((HOSTS / f"{name}.json").read_text(encoding="utf-8"))


def look(raw, catalogue, tmp_path):
    path = tmp_path / "host.json"
    path.write_text(json.dumps(raw), encoding="utf-8")
    host = RecordedHost.from_file(path)
    found = engine.examine(host, engine.observe(host), Answers(), catalogue)
    return host, found


def without(raw, kind, *words):
    kept = {k: v for k, v in raw[kind].items() if not any(word in k for word in words)}
    return {**raw, kind: kept}


def old_runs():
    raw = copy.deepcopy(record())
    for command, answer in raw["commands"].items():
        if command.startswith("uname"):
            answer["output"] = answer["output"].replace("6.12.115", "6.12.107")
    for path in ("/proc/version", "/proc/sys/kernel/osrelease"):
        if path in raw["files"]:
            raw["files"][path] = raw["files"][path].replace("6.12.115", "6.12.107")
    return raw


def test_modules_that_nobody_read_are_neither_absent_nor_built(catalogue, tmp_path):
    host, found = look(without(record(), "listings", "/lib/modules"), catalogue, tmp_path)
    ids = [step.id for step in found.plan.steps]
    assert not [name for name in ids if name.startswith(("build-module", "load-"))]
    assert "headers" in ids
    told = " ".join(found.plan.blocked)
    assert "/lib/modules" in told and "gpu-bringup record" in told
    recovery = door.recovery(host, found)
    reasons = " ".join(why for _, why in recovery.not_here)
    assert f"{OLD} can't be judged" in reasons and "has no nvidia module" not in reasons


def test_no_step_is_planned_beside_packages_that_nobody_read(catalogue, tmp_path):
    raw = without(without(record(), "files", "dpkg"), "commands", "dpkg")
    _, found = look(raw, catalogue, tmp_path)
    assert found.report.verdict == "broken"
    assert found.plan.steps == ()
    assert "which packages it came with is not known" in " ".join(found.plan.blocked)


def test_no_driver_is_loaded_where_nobody_read_what_is(catalogue, tmp_path):
    raw = without(record(), "files", "/proc/modules", "/proc/driver/nvidia")
    raw["absent"] = [path for path in raw["absent"] if "nvidia/version" not in path]
    _, found = look(raw, catalogue, tmp_path)
    ids = [step.id for step in found.plan.steps]
    assert "load-modules" not in ids and f"build-module-{NEW}" in ids
    assert "/proc/driver/nvidia/version" in " ".join(found.plan.blocked)


def test_an_empty_record_knows_nothing_of_containers(catalogue, tmp_path):
    _, found = look({"schema": 1}, catalogue, tmp_path)
    assert {result.state for result in found.report.rungs} == {State.UNKNOWN}


def test_a_fault_of_another_kernel_explains_nothing_of_the_running_one(catalogue, tmp_path):
    _, found = look(old_runs(), catalogue, tmp_path)
    states = {result.id: result.state for result in found.report.rungs}
    assert states["headers"] is State.BROKEN and states["module"] is State.BLOCKED
    assert states["loaded"] is State.BROKEN
    assert found.report.root_cause.id == "loaded"


def test_of_the_same_kernel_it_stays_a_consequence(catalogue, tmp_path):
    _, found = look(record(), catalogue, tmp_path)
    assert found.report.rung("loaded").state is State.BLOCKED
    assert found.report.root_cause.id == "headers"


def test_a_good_running_kernel_is_loaded_now_and_kept_for_the_next_boot(catalogue, tmp_path):
    host, found = look(old_runs(), catalogue, tmp_path)
    recovery = door.recovery(host, found)
    assert [way.id for way in recovery.ways] == ["load", "boot-default", "mend", "later"]
    load, stay = recovery.ways[:2]
    argvs = [command.argv for step in load.plan.steps for command in step.commands]
    assert ("modprobe", "nvidia-current") in argvs and not load.stops_workloads
    argv = stay.plan.steps[0].commands[-1].argv
    assert argv[0] == "grub-set-default" and OLD in argv[1]
    assert not stay.reboots and not any(step.reboot for step in stay.plan.steps)


def test_a_kernel_that_a_blacklist_keeps_bare_is_not_kept(catalogue, tmp_path):
    raw = old_runs()
    raw["files"]["/etc/modprobe.d/zz-no.conf"] = "blacklist nvidia\n"
    raw["listings"].setdefault("/etc/modprobe.d", []).append("zz-no.conf")
    host, found = look(raw, catalogue, tmp_path)
    recovery = door.recovery(host, found)
    assert [way.id for way in recovery.ways] == ["mend", "later"]
    assert any("keeps nvidia from loading" in why for _, why in recovery.not_here)
    assert not any("Somebody put it there" in text for text in found.plan.blocked)


def test_a_mismatch_gets_a_reload_or_a_reason(catalogue, tmp_path):
    raw = record("h200-x1")
    version = raw["files"]["/proc/driver/nvidia/version"]
    raw["files"]["/proc/driver/nvidia/version"] = version.replace("580.159.04", "580.126.09")
    raw["nvml"], raw["cuda"] = {"error": "Driver/library version mismatch"}, {"cuInit": 803}
    host, found = look(raw, catalogue, tmp_path)
    recovery = door.recovery(host, found)
    assert [title for title, _ in recovery.not_here] == ["Back to service: reload without a reboot"]
    assert "provided from outside" in recovery.reasons("reload")[0]


def test_next_boot_says_how_the_record_was_made(catalogue, tmp_path):
    path = tmp_path / "host.json"
    old = old_runs()
    # Both kernels have a module then, and whether the initramfs is clean nobody knows.
    old["listings"][f"/lib/modules/{NEW}"] = old["listings"][f"/lib/modules/{OLD}"]
    for folder, names in list(old["listings"].items()):
        if folder.startswith(f"/lib/modules/{OLD}"):
            old["listings"][folder.replace(OLD, NEW)] = names
    old["absent"] = [path for path in old["absent"] if f"/lib/modules/{NEW}/up" not in path]
    path.write_text(json.dumps(old), encoding="utf-8")
    host = RecordedHost.from_file(path)
    told = engine.next_boot(host, engine.observe(host), catalogue)
    assert told.verdict == "unknown"
    assert "gpu-bringup record" in told.advice and "As root, more" not in told.advice


def test_only_what_is_missing_is_named():
    assert compiler._what(("gcc-14",), ("gcc-14",)) == "the compiler (gcc-14)"
    assert compiler._what(("dkms",), ("gcc-14",)) == "dkms"
    assert compiler._what(("gcc-14", "dkms"), ("gcc-14",)) == compiler.BOTH


def test_a_tree_that_somebody_built_is_not_asked_of_packages():
    facts = make.healthy()
    broken = Headers(HeadersState.INCOMPLETE, "/home/build/linux", make.KERNEL, "missing: .config")
    kernels = tuple(replace(kernel, headers=broken) for kernel in facts.kernels.installed)
    kept = tuple(p for p in facts.packages.installed if not p.name.startswith("linux-headers"))
    facts = replace(
        facts,
        kernels=replace(facts.kernels, installed=kernels),
        packages=replace(facts.packages, installed=kept),
    )
    result = climb(make.context(facts)).rung("headers")
    assert [item.cause for item in result.causes] == ["stale-kernel-build-tree"]


@pytest.mark.parametrize(
    ("status", "output", "named"),
    [
        (0, "conftest123.c:9:3: error: incompatible pointer type", "compiler-too-new-for-driver"),
        (1, "", "dkms-build-api-break"),
        (2, "grep: /var/lib/dkms/make.log: No such file or directory", ""),
    ],
)
def test_the_build_log_tells_an_old_probe_from_an_old_driver(status, output, named):
    facts = make.healthy()
    text = "gcc-14 (Debian 14.2.0-19) 14.2.0"
    kernels = tuple(replace(kernel, compiler_text=text) for kernel in facts.kernels.installed)
    error = "error: too few arguments to function 'follow_pfn'"
    log = "/var/lib/dkms/make.log"
    build = DkmsBuild("nvidia-current", make.VERSION, make.KERNEL, "failed", True, log, error)
    facts = replace(
        facts,
        kernels=replace(facts.kernels, installed=kernels),
        modules=replace(facts.modules, files=(), loaded_version=None, loaded=(), dkms=(build,)),
    )
    ctx = make.context(facts)
    asked = decider(ctx, climb(ctx))
    assert asked is not None and asked.argv[0] == "grep" and asked.argv[-1] == log
    assert asked.judge(status, output)[0] == named
    read = replace(facts.modules, dkms=(replace(build, probes_hold=True),))
    ctx = make.context(replace(facts, modules=read))
    assert decider(ctx, climb(ctx)) is None


@pytest.mark.parametrize(
    ("text", "second", "driver"),
    [
        ('{"exec-opts": ["native.cgroupdriver=cgroupfs"]}', True, "cgroupfs"),
        ("", True, "systemd"),
        ("", False, "cgroupfs"),
    ],
)
def test_who_makes_docker_s_control_groups(text, second, driver):
    assert docker_cgroup_driver(text, second) == driver


@pytest.mark.parametrize(("links", "told"), [(False, True), (True, False), (Unknown("x"), False)])
def test_it_warns_where_a_daemon_reload_takes_gpus_from_containers(links, told):
    facts = make.healthy()
    served = replace(
        facts.containers,
        toolkit_version="1.19.1",
        runtimes=("docker",),
        configured=("docker",),
        cdi_specs=(),
        docker_cgroups="systemd",
        device_links=links,
    )
    result = climb(make.context(replace(facts, containers=served))).rung("containers")
    assert result.state is State.OK
    assert any("daemon-reload" in item.text for item in result.evidence) is told


def test_the_version_of_control_groups_may_be_unknown():
    assert docker_cgroup_driver("", Unknown("x")) == Unknown("x")


def test_why_the_module_on_disk_is_not_simply_loaded(catalogue, tmp_path):
    raw = old_runs()
    asked = next(command for command in raw["commands"] if command.startswith("modinfo"))
    answer = raw["commands"][asked]
    answer["output"] = answer["output"].replace("550.163.01", "535.216.01")
    host, found = look(raw, catalogue, tmp_path)
    recovery = door.recovery(host, found)
    reasons = dict(recovery.not_here)
    assert "535.216.01" in reasons["Back to service: load the driver of the running kernel"]
    assert "load" not in [way.id for way in recovery.ways]


def test_a_refused_module_of_the_running_kernel_comes_before_what_another_kernel_lacks(
    catalogue, tmp_path
):
    raw = old_runs()
    raw["files"]["/sys/kernel/security/lockdown"] = "none [integrity] confidentiality\n"
    _, found = look(raw, catalogue, tmp_path)
    assert found.report.root_cause.id == "signature"
    assert found.report.rung("headers").state is State.BROKEN


def test_a_persistence_daemon_that_is_off_is_no_root_cause_above_which_more_is_broken():
    facts = make.healthy()
    services = replace(facts.services, persistenced_running=False, persistenced_enabled=True)
    nvml = Unknown("Driver/library version mismatch")
    unread = Unknown("not in this record")
    files = tuple(replace(item, version=unread) for item in facts.modules.files)
    modules = replace(facts.modules, files=files, loaded_version="535.247.01")
    facts = replace(facts, services=services, nvml=nvml, modules=modules)
    report = climb(make.context(facts))
    assert report.rung("devices").state is State.BROKEN
    assert report.root_cause is not None and report.root_cause.id == "libraries"


def test_an_unread_version_of_the_module_is_not_called_right():
    facts = make.healthy()
    files = tuple(
        replace(item, version=Unknown("not in this record")) for item in facts.modules.files
    )
    facts = replace(facts, modules=replace(facts.modules, files=files))
    assert climb(make.context(facts)).rung("module").state.value == "unknown"


def failed_build(lines):
    """The upgraded server after its headers came and the modules' build failed with these lines."""
    raw = copy.deepcopy(record())
    tree, headers = "/var/lib/dkms/nvidia-current/550.163.01", f"/usr/src/linux-headers-{NEW}"
    raw["links"][f"/lib/modules/{NEW}/build"] = headers
    raw["listings"][f"/lib/modules/{NEW}"].append("build")
    raw["listings"][headers] = ["Makefile", "Module.symvers", "include", "scripts", "arch"]
    raw["files"][f"{headers}/Makefile"] = "x\n"
    raw["files"]["/var/lib/dpkg/status"] += (
        f"\nPackage: linux-headers-{NEW}\nStatus: install ok installed\n"
        "Architecture: amd64\nVersion: 6.12.115-1\n"
    )
    raw["listings"][tree].append("build")
    raw["listings"][f"{tree}/build"] = ["make.log"]
    head = f"DKMS (dkms-3.2.2) make.log for nvidia-current/550.163.01 for kernel {NEW} (x86_64)"
    raw["files"][f"{tree}/build/make.log"] = "\n".join((head, *lines, ""))
    absent = (f"{tree}/build", headers, f"/lib/modules/{NEW}/build")
    raw["absent"] = [path for path in raw["absent"] if not path.startswith(absent)]
    return raw


def test_what_decides_is_asked_only_where_the_log_leaves_it_open_and_can_be_pasted(
    tmp_path, capsys
):
    broken = "nvidia-drm/nvidia-drm-drv.c:200:5: error: no member named 'output_poll_changed'"
    probe = "conftest123.c:9:3: error: incompatible pointer type"
    path = tmp_path / "host.json"
    printed = []
    for lines in ((broken,), (probe, broken)):
        path.write_text(json.dumps(failed_build(lines)), encoding="utf-8")
        assert main(["check", "--host", str(path)]) == 1
        printed.append(capsys.readouterr().out)
    assert all("dkms-build-api-break" in text for text in printed)
    assert "grep -m" not in printed[0], "that log was read already, and no probe failed in it"
    asked = [line for line in printed[1].splitlines() if "grep -m" in line]
    argv = shlex.split(asked[0])
    assert len(asked) == 1 and len(argv) == 6, "one line, its pattern quoted"
    assert argv[-1].endswith("/make.log")
