"""Rung 16: where containers are wanted, the container toolkit is installed and configured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpu_bringup.ladder.base import Context, Rung
from gpu_bringup.ladder.causes import cause
from gpu_bringup.ladder.loaded import can_run
from gpu_bringup.ladder.steps import change_step, install_step, refresh_step, systemctl
from gpu_bringup.ladder.view import later, library_version, loaded_version
from gpu_bringup.ladder.words import Say, ev, listed
from gpu_bringup.model.plan import Command, Step
from gpu_bringup.model.unknown import Unknown
from gpu_bringup.model.versions import driver_key

if TYPE_CHECKING:
    from gpu_bringup.model.catalogue import PackageRepository
    from gpu_bringup.model.ladder import Evidence, RungResult

say = Say("containers")
CONFIG = "/etc/nvidia-container-runtime/config.toml"
FLOOR = "1.19.1"
"""Oldest toolkit without the known hole CVE-2026-24260 (NVIDIA product security 5850)."""
CDI_REFRESH = "1.18.0"
"""First toolkit with nvidia-cdi-refresh, a path unit and a service that keep the CDI file up to date."""
NOT_LOOKED = "not looked at"
CONFIGURABLE = ("docker", "containerd", "crio")
"""Engines that ``nvidia-ctk runtime configure`` knows; podman takes CDI as it is."""


def _engines(ctx: Context) -> tuple[str, ...]:
    runtimes = ctx.facts.containers.runtimes
    return () if isinstance(runtimes, Unknown) else runtimes


def _unconfigured(ctx: Context) -> tuple[str, ...]:
    configured = ctx.facts.containers.configured
    known = () if isinstance(configured, Unknown) else configured
    return tuple(e for e in _engines(ctx) if e in CONFIGURABLE and e not in known)


def _has_cdi(ctx: Context) -> bool:
    specs = ctx.facts.containers.cdi_specs
    return not isinstance(specs, Unknown) and bool(specs)


def _stale_cdi(ctx: Context) -> tuple[tuple[str, str], ...]:
    """(CDI file, version) of descriptions that were made for another driver than the installed one."""
    driver = library_version(ctx.facts)
    named = ctx.facts.containers.cdi_versions
    return tuple(item for item in named if driver and item[1] != driver)


def wanted(ctx: Context) -> bool:
    """Does the scenario, or a toolkit that is here already, ask for containers?"""
    if ctx.target is not None:
        return ctx.target.containers
    here = isinstance(ctx.facts.containers.toolkit_version, str)
    return here and (bool(_engines(ctx)) or ctx.facts.containers.docker_snap is True)


def _unread(ctx: Context) -> str:
    """Why it isn't known whether a container toolkit is in use; empty: it is known."""
    facts = ctx.facts.containers
    if ctx.target is not None or not isinstance(facts.toolkit_version, Unknown):
        return ""
    if not isinstance(ctx.facts.packages.installed, Unknown) or facts.runtimes == ():
        return ""
    reason = facts.toolkit_version.reason
    return "the packages of this host are not known" if reason == NOT_LOOKED else reason


def _loses_gpus(ctx: Context) -> list[Evidence]:
    """A warning where the next ``systemctl daemon-reload`` takes the GPUs from running containers.

    All of it must be known: systemd makes Docker's control groups, runc finds no link of the devices
    in /dev/char, and no CDI file names them. Source: NVIDIA/nvidia-docker issue 1730 (notice).
    """
    facts = ctx.facts.containers
    if facts.docker_cgroups != "systemd" or facts.device_links is not False or _has_cdi(ctx):
        return []
    if isinstance(facts.cdi_specs, Unknown) or not loaded_version(ctx.facts):
        return []
    return [
        ev(
            "/dev/char",
            "no links for NVIDIA's devices, and systemd makes docker's control groups: running "
            "containers lose their GPUs at the next 'systemctl daemon-reload' (NVML: Unknown Error; "
            "container-cgroup-daemon-reload). nvidia-ctk system create-dev-char-symlinks --create-all "
            "prevents it until the next boot, CDI for good",
        )
    ]


def check(ctx: Context) -> RungResult:
    facts = ctx.facts.containers
    unread = _unread(ctx)
    if not wanted(ctx) and unread:
        return say.unknown(f"whether containers use the GPUs is not known: {unread}")
    if not wanted(ctx):
        why = "this scenario needs no containers" if ctx.target else "no container toolkit in use"
        return say.skipped(why)
    version = facts.toolkit_version
    if facts.docker_snap is True and not _engines(ctx):
        told = ev("/snap/bin/docker", "the only docker here is the snap's")
        return say.broken(
            "docker comes from the snap store, which sees neither the toolkit nor the driver of this "
            "system: install docker from packages",
            [cause("docker-snap", 0.8, told)],
        )
    if version is None:
        told = ev("nvidia-ctk", "not installed")
        return say.broken(
            "the container toolkit is not installed",
            [cause("container-toolkit-missing", 0.95, told)],
        )
    if isinstance(version, Unknown):
        return say.unknown(f"the container toolkit is not known: {version.reason}")
    notes: list[Evidence] = [ev("nvidia-ctk", version)]
    if driver_key(version) < driver_key(FLOOR):
        notes.append(ev("security", f"{version} is older than {FLOOR} (CVE-2026-24260): update it"))
    if facts.driver_root_there is False and isinstance(facts.driver_root, str):
        told = ev(CONFIG, f"root = {facts.driver_root}, a folder that is not here")
        return say.broken(
            f"the toolkit looks for the driver below {facts.driver_root}, which is not here: a driver "
            "container of the GPU Operator was, perhaps. Comment that line out",
            [cause("container-config-wrong-root", 0.93, told)],
            notes,
        )
    notes += _loses_gpus(ctx)
    stale = _stale_cdi(ctx)
    if stale:
        driver = library_version(ctx.facts)
        about = (
            ev(path, f"made for driver {named}; {driver} is installed") for path, named in stale
        )
        return say.broken(
            "the CDI file names libraries of another driver: containers that use it won't start",
            [cause("cdi-spec-stale", 0.95, *about)],
            notes,
        )
    left = _unconfigured(ctx)
    if left and not _has_cdi(ctx):
        told = ev(f"configuration of {listed(left)}", "names neither NVIDIA's runtime nor CDI")
        return say.broken(
            f"toolkit {version} is here, but {listed(left)} does not know of it",
            [cause("container-toolkit-missing", 0.9, told)],
            notes,
        )
    engines = listed(_engines(ctx)) or "no container engine yet"
    return say.ok(f"container toolkit {version}, {engines}", *notes)


def _repository(ctx: Context) -> PackageRepository | None:
    """NVIDIA's container repository, where it isn't configured yet."""
    if ctx.target is not None and ctx.target.source_kind == "local":
        return None
    wanted_format = "apt" if ctx.family and ctx.family.manager.name == "apt" else "rpm"
    for repository in ctx.catalogue.repositories.values():
        if "container" not in repository.id or repository.format not in ("", wanted_format):
            continue
        listing = ctx.facts.packages.repositories
        have = () if isinstance(listing, Unknown) else listing
        start = repository.uri.split("{", 1)[0].rstrip("/")
        known = any(
            r.enabled and (r.kind == "nvidia-container" or r.uri.startswith(start)) for r in have
        )
        return None if known else repository
    return None


def _refreshes_itself(ctx: Context) -> bool:
    """Has the toolkit (that is here, or that the plan installs) nvidia-cdi-refresh?

    Since 1.18.0 (container toolkit guide, "Automatic CDI Specification Generation").
    """
    version = ctx.facts.containers.toolkit_version
    return not isinstance(version, str) or driver_key(version) >= driver_key(CDI_REFRESH)


def _cdi_step(ctx: Context) -> Step:
    """The list of devices: by the toolkit's own unit, by a static file where it has none."""
    why = (
        "CDI names the GPUs and libraries of this host in one file that docker, podman and containerd "
        "understand alike."
    )
    title = "Write the list of devices for containers (CDI)"
    if ctx.family is not None and _refreshes_itself(ctx):
        unit = ctx.family.services()["cdi-refresh"]
        path = unit.removesuffix(".service") + ".path"
        return Step(
            id="cdi-spec",
            rung="containers",
            title=title,
            why=f"{why} The toolkit's own unit writes it to /var/run/cdi and writes it anew when driver or "
            "toolkit change; a file of ours in /etc/cdi would grow old beside it.",
            # The package ran it when there was no driver yet: it must run once more now.
            commands=(systemctl("enable", "--now", path), systemctl("restart", unit)),
            # The unit came enabled with its package and goes with it; what it wrote names the driver.
            undo=(Command(("rm", "-f", "/var/run/cdi/nvidia.yaml")),),
            done_when=("containers",),
            estimate_seconds=10,
        )
    return Step(
        id="cdi-spec",
        rung="containers",
        title=title,
        why=f"{why} This toolkit is older than {CDI_REFRESH} and doesn't keep it up to date: write it anew "
        "after each change of the driver.",
        commands=(Command(("nvidia-ctk", "cdi", "generate", "--output=/etc/cdi/nvidia.yaml")),),
        undo=(Command(("rm", "-f", "/etc/cdi/nvidia.yaml")),),
        done_when=("containers",),
        estimate_seconds=10,
    )


def repair(ctx: Context) -> tuple[Step, ...]:
    family = ctx.family
    if family is None or ctx.outside_driver or not wanted(ctx):
        return ()
    steps: list[Step | None] = []
    if not isinstance(ctx.facts.containers.toolkit_version, str):
        repository = _repository(ctx)
        if repository is not None and not isinstance(ctx.facts.os, Unknown):
            change = family.add_repository(repository, ctx.facts.os)
            steps.append(
                change_step(
                    f"add-repository-{repository.id}",
                    "containers",
                    f"Add {repository.name}",
                    "The container toolkit is in none of the distribution's archives. The repository's "
                    "key is pinned by fingerprint and trusted for it alone.",
                    change,
                    estimate_seconds=20,
                )
            )
            if family.manager.refresh() not in change.commands:
                steps.append(refresh_step(ctx))
        steps.append(
            install_step(
                ctx,
                "container-toolkit",
                "containers",
                "Install the container toolkit",
                "A container brings no driver of its own: the toolkit hands it the host's GPUs and "
                "libraries when it starts.",
                family.container_packages(),
                done_when=() if _unconfigured(ctx) else ("containers",),
                estimate_seconds=30,
            )
        )
    units = family.services()
    for engine in _unconfigured(ctx):
        restart = (
            () if later(ctx) else (systemctl("restart", units.get(engine, f"{engine}.service")),)
        )
        steps.append(
            Step(
                id=f"configure-{engine}",
                rung="containers",
                title=f"Tell {engine} of the GPUs",
                why=f"{engine} asks the toolkit for GPUs only when its configuration names it.",
                commands=(
                    Command(("nvidia-ctk", "runtime", "configure", f"--runtime={engine}")),
                    *restart,
                ),
                stops_workloads=not later(ctx),
                done_when=("containers",),
                estimate_seconds=15,
                risk=f"Restarting {engine} restarts its containers, unless live-restore is on.",
            )
        )
    if (not _has_cdi(ctx) or _stale_cdi(ctx)) and can_run(ctx):
        steps.append(_cdi_step(ctx))
    return tuple(step for step in steps if step is not None)


RUNG = Rung(
    id="containers",
    title="Containers",
    holds_when="Where the scenario needs it, the container toolkit is installed and configured.",
    teaches="Inference servers mostly run in containers. The toolkit lends the host's driver to them; "
    "the container holds CUDA, never a driver.",
    check=check,
    repair=repair,
)
