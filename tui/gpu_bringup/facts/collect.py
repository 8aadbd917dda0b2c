"""All observers at once: host in, facts out.

Each observer runs in a thread of its own as soon as what it needs is there. Threads are daemons, so
that one that hangs in the kernel (a sick driver) keeps neither the answer nor the exit waiting.
"""

from __future__ import annotations

import queue
import threading
import time
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from gpu_bringup.facts import (
    containers,
    cuda,
    devices,
    kernels,
    libraries,
    log,
    method,
    modules,
    nvml,
    os_release,
    outdated_images,
    packages,
    pci,
    platform,
    refusals,
    secure_boot,
    services,
    storage,
    toolkit,
)
from gpu_bringup.facts.ask import all_unknown
from gpu_bringup.facts.databases import STATUS
from gpu_bringup.model.facts import (
    ContainerFacts,
    DeviceFacts,
    Facts,
    KernelFacts,
    LibraryFacts,
    LogFacts,
    ModuleFacts,
    PackageFacts,
    PciFacts,
    PlatformFacts,
    SecureBootFacts,
    ServiceFacts,
    StorageFacts,
    ToolkitFacts,
)
from gpu_bringup.model.gpu_facts import CudaFacts
from gpu_bringup.model.unknown import Unknown

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from gpu_bringup.hosts.base import Host

DEADLINE = 50.0
"""Seconds for everything; the probes' own deadlines are shorter."""
DEADLINE_DEEP = 180.0

Known = dict[str, Any]
"""Results of the observers that have finished, by name."""

_UNEXPECTED = (
    ValueError,
    KeyError,
    IndexError,
    TypeError,
    AttributeError,
    OSError,
    ArithmeticError,
    RecursionError,
)


@dataclass(frozen=True, slots=True)
class Observer:
    """One way of looking at a host."""

    name: str
    look: Callable[[Host, Known], Any]
    group: type[Any] | None = None
    """The dataclass it fills in; None: its result itself may be Unknown."""
    needs: tuple[str, ...] = ()

    def unknown(self, reason: str) -> Any:
        """What stands in for its facts when it fails."""
        return Unknown(reason) if self.group is None else all_unknown(self.group, reason)


@lru_cache(maxsize=2)
def observers(deep: bool) -> tuple[Observer, ...]:
    """Every observer, the slow ones first; none before those that it needs."""
    return (
        # The probes are processes of their own: they go first, and the rest runs beside them.
        Observer("nvml", lambda host, _: nvml.observe(host)),
        Observer("cuda", lambda host, _: cuda.observe(host, deep=deep)),
        Observer("libraries", lambda host, _: libraries.observe(host), LibraryFacts),
        Observer("os", lambda host, _: os_release.observe(host)),
        Observer(
            "packages",
            lambda host, known: packages.observe(host, known["os"]),
            PackageFacts,
            ("os",),
        ),
        Observer("modules", lambda host, _: modules.observe(host), ModuleFacts),
        Observer(
            "kernels",
            lambda host, known: kernels.observe(host, known["packages"]),
            KernelFacts,
            ("packages",),
        ),
        Observer("pci", lambda host, _: pci.observe(host), PciFacts),
        Observer("log", lambda host, _: log.observe(host), LogFacts),
        Observer(
            "secure-boot",
            lambda host, known: secure_boot.observe(host, known["log"]),
            SecureBootFacts,
            ("log",),
        ),
        Observer("platform", lambda host, _: platform.observe(host), PlatformFacts),
        Observer("devices", lambda host, _: devices.observe(host), DeviceFacts),
        Observer("storage", lambda host, _: storage.observe(host), StorageFacts),
        Observer(
            "services",
            lambda host, known: services.observe(host, known["packages"]),
            ServiceFacts,
            ("packages",),
        ),
        Observer(
            "containers",
            lambda host, known: containers.observe(host, known["packages"]),
            ContainerFacts,
            ("packages",),
        ),
        Observer(
            "toolkit",
            lambda host, known: toolkit.observe(host, known["packages"]),
            ToolkitFacts,
            ("packages",),
        ),
        Observer(
            "outdated-images",
            lambda host, known: outdated_images.observe(host, known["kernels"], known["modules"]),
            needs=("kernels", "modules"),
        ),
        Observer(
            "refused-older",
            lambda host, known: refusals.observe(host, known["log"], known["modules"]),
            needs=("log", "modules"),
        ),
        Observer(
            "traces",
            lambda host, known: method.observe(host, known["packages"]),
            method.Traces,
            ("packages",),
        ),
    )


def _looked(observer: Observer, host: Host, known: Known) -> Any:
    # A parser that meets what it wasn't written for must not take the other facts with it.
    try:
        return observer.look(host, known)
    except _UNEXPECTED as error:
        return observer.unknown(
            f"looking at {observer.name} failed: {type(error).__name__}: {error}"
        )


def _look(
    observer: Observer, host: Host, known: Known, results: queue.SimpleQueue[tuple[Observer, Any]]
) -> None:
    results.put((observer, _looked(observer, host, known)))


def run_in_turn(
    host: Host, chosen: tuple[Observer, ...], done: Callable[[str, float], None] | None = None
) -> Known:
    """Run the observers one after another, in the order in which they stand: neither a record nor a
    simulated machine keeps anybody waiting."""
    start = time.monotonic()
    known: Known = {}
    for observer in chosen:
        known[observer.name] = _looked(observer, host, known)
        if done is not None:
            done(observer.name, time.monotonic() - start)
    return known


def run_all(
    host: Host,
    chosen: tuple[Observer, ...],
    deadline: float,
    done: Callable[[str, float], None] | None = None,
) -> Known:
    """Run the observers in parallel; what isn't there after ``deadline`` seconds is Unknown."""
    start = time.monotonic()
    results: queue.SimpleQueue[tuple[Observer, Any]] = queue.SimpleQueue()
    known: Known = {}
    waiting = list(chosen)
    running: set[str] = set()

    def start_ready() -> None:
        for observer in list(waiting):
            if all(need in known for need in observer.needs):
                waiting.remove(observer)
                running.add(observer.name)
                threading.Thread(
                    target=_look,
                    args=(observer, host, dict(known), results),
                    name=f"facts-{observer.name}",
                    daemon=True,
                ).start()

    start_ready()
    while running:
        left = deadline - (time.monotonic() - start)
        try:
            observer, result = results.get(timeout=max(left, 0.001))
        except queue.Empty:
            break
        known[observer.name] = result
        running.discard(observer.name)
        if done is not None:
            done(observer.name, time.monotonic() - start)
        start_ready()
    for observer in chosen:
        if observer.name not in known:
            known[observer.name] = observer.unknown(
                f"looking at {observer.name} took longer than {deadline:g} s and was given up"
            )
    return known


@lru_cache(maxsize=2)
def _not_looked(deep: bool) -> Known:
    """What stands for the observers that weren't asked."""
    return {item.name: item.unknown("not looked at") for item in observers(deep)}


def _wanted(every: tuple[Observer, ...], only: Collection[str] | None) -> tuple[Observer, ...]:
    """Those that are named and those that they need, in the order of all."""
    if only is None:
        return every
    names = set(only)
    for observer in reversed(every):
        if observer.name in names:
            names.update(observer.needs)
    return tuple(observer for observer in every if observer.name in names)


def _vgpu(found: PlatformFacts, known: Known) -> PlatformFacts:
    answered = known["nvml"]
    if answered is None or isinstance(answered, Unknown) or found.cpu_vgpu_guest is False:
        return found
    names = [gpu.name for gpu in answered.gpus]
    return replace(found, cpu_vgpu_guest=any(nvml.is_vgpu(name) for name in names))


def _with_method(known: Known) -> PackageFacts:
    found: PackageFacts = known["packages"]
    traces: method.Traces = known["traces"]
    lost = traces.forgotten
    if lost and not found.damage:
        what = f"{STATUS}: entries are missing whose file lists dpkg has: {', '.join(lost[:4])}"
        reason = Unknown(f"the package database is damaged: {what}")
        found = replace(found, damage=what, backups=traces.backups, installed=reason, unmet=reason)
    answered = known["cuda"]
    works = isinstance(answered, CudaFacts) and answered.init == 0
    works = works or (known["nvml"] is not None and not isinstance(known["nvml"], Unknown))
    how, evidence = method.decide(
        found, known["modules"], known["libraries"], traces, known["os"], works
    )
    return replace(found, method=how, method_evidence=evidence)


def collect(
    host: Host,
    *,
    deep: bool = False,
    done: Callable[[str, float], None] | None = None,
    deadline: float | None = None,
    only: Collection[str] | None = None,
) -> Facts:
    """Find everything out about a host.

    Args:
        host: whom to ask.
        deep: also run the tests on the GPUs (seconds each).
        done: called as each observer finishes, with its name and the seconds since the start.
        deadline: seconds after which what is still missing becomes Unknown.
        only: names of the observers that are wanted, with those that they need; what the others would
            tell is Unknown. None: all of them.
    """
    from gpu_bringup.facts import initramfs

    limit = deadline if deadline is not None else DEADLINE_DEEP if deep else DEADLINE
    chosen = _wanted(observers(deep), only)
    if host.kind in ("recorded", "simulated") and deadline is None:
        known = run_in_turn(host, chosen, done)
    else:
        known = run_all(host, chosen, limit, done)
    known = {**_not_looked(deep), **known}
    return Facts(
        os=known["os"],
        platform=_vgpu(known["platform"], known),
        kernels=known["kernels"],
        pci=known["pci"],
        secure_boot=known["secure-boot"],
        packages=_with_method(known),
        modules=known["modules"],
        devices=known["devices"],
        libraries=known["libraries"],
        nvml=known["nvml"],
        cuda=known["cuda"],
        services=known["services"],
        containers=known["containers"],
        storage=known["storage"],
        toolkit=known["toolkit"],
        log=replace(known["log"], refused_older=known["refused-older"] is True),
        outdated_images=known["outdated-images"],
        initramfs=initramfs.observe(host, known["kernels"]) if deep else Unknown("not looked at"),
        recorded=host.kind == "recorded",
    )
