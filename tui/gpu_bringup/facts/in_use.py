"""Who holds the GPUs: open device files of each process, and the container or service it is in.

Reads every process's open files, so it is asked only before something that would stop them.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from gpu_bringup.facts.ask import line, names, text
from gpu_bringup.model.in_use import Holder, InUse
from gpu_bringup.model.unknown import Unknown

if TYPE_CHECKING:
    from gpu_bringup.hosts.base import Host

_SCOPES = (
    (r"docker-([0-9a-f]{64})\.scope|/docker/([0-9a-f]{64})", "docker"),
    (r"libpod-(?:conmon-)?([0-9a-f]{64})", "podman"),
    (r"cri-containerd-([0-9a-f]{64})\.scope", "containerd"),
    (r"crio-(?:conmon-)?([0-9a-f]{64})", "crio"),
    (r"kubepods[^\n]*/([0-9a-f]{64})", "containerd"),
)
_POD = re.compile(r"pod([0-9a-f]{8}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{12})")
_UNIT = re.compile(r"/([^/\n]+\.service)(?:/|$)", re.MULTILINE)

DRIVER_SERVICES = (
    "nvidia-cdi-refresh.path",
    "nvidia-cdi-refresh.service",
    "nvidia-dcgm-exporter.service",
    "dcgm-exporter.service",
    "nvidia-dcgm.service",
    "nvidia-imex.service",
    "nvidia-fabricmanager.service",
    "nvidia-powerd.service",
    "nvidia-persistenced.service",
)
"""The driver's own services in the order in which they are stopped: users of others first."""
DRIVER_PROGRAMS = (
    "nvidia-persiste",
    "nv-fabricmanage",
    "nv-hostengine",
    "nvidia-imex",
    "nvidia-powerd",
    "nvlsm",
)
"""Their processes, as the kernel cuts the names to 15 characters (proc(5))."""
_SLICE = "/sys/fs/cgroup/system.slice"


def container_of(cgroup: str) -> tuple[str, str, str]:
    """(engine, container id, pod uid) that a /proc/PID/cgroup tells; empty where there is none."""
    pod = _POD.search(cgroup)
    uid = pod[1].replace("_", "-") if pod else ""
    for pattern, engine in _SCOPES:
        match = re.search(pattern, cgroup)
        if match:
            return engine, next(part for part in match.groups() if part), uid
    return "", "", uid


def unit_of(cgroup: str) -> str:
    """The service that a /proc/PID/cgroup names; empty: none."""
    found = _UNIT.findall(cgroup)
    return found[-1] if found else ""


def _json(host: Host, path: str) -> Any:
    try:
        return json.loads(text(host, path) or "null")
    except ValueError:
        return None


class _Names:
    """Names of containers and pods, looked up where the engines keep them; each file read once."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._podman: dict[str, str] | None = None
        self._logs: tuple[str, ...] | None = None
        self._pods: tuple[str, ...] | None = None

    def container(self, engine: str, container: str) -> str:
        if engine == "docker":
            path = f"/var/lib/docker/containers/{container}/config.v2.json"
            settings = _json(self._host, path)
            name = settings.get("Name", "") if isinstance(settings, dict) else ""
            return str(name).lstrip("/")
        if engine == "podman":
            if self._podman is None:
                path = "/var/lib/containers/storage/overlay-containers/containers.json"
                found = _json(self._host, path)
                rows = found if isinstance(found, list) else []
                self._podman = {
                    str(row.get("id")): str((row.get("names") or [""])[0])
                    for row in rows
                    if isinstance(row, dict)
                }
            return self._podman.get(container, "")
        return ""

    def pod(self, container: str, uid: str = "") -> str:
        """ "NAMESPACE/POD": the kubelet names log files POD_NAMESPACE_CONTAINER-ID.log in
        /var/log/containers, and folders NAMESPACE_POD_UID in /var/log/pods (Kubernetes' documentation,
        "Logging Architecture")."""
        if self._logs is None:
            self._logs = names(self._host, "/var/log/containers")
        for name in self._logs:
            if name.endswith(f"-{container}.log") and name.count("_") >= 2:
                pod, namespace, _ = name.split("_", 2)
                return f"{namespace}/{pod}"
        if uid:
            if self._pods is None:
                self._pods = names(self._host, "/var/log/pods")
            for name in self._pods:
                if name.endswith(f"_{uid}") and name.count("_") >= 2:
                    namespace, pod, _ = name.split("_", 2)
                    return f"{namespace}/{pod}"
        return ""


def _devices(host: Host, pid: str) -> tuple[str, ...] | None:
    """NVIDIA's device files that a process has open; None: it may not be looked at."""
    listing = host.list_dir(f"/proc/{pid}/fd")
    if isinstance(listing, Unknown):
        return None
    found = set()
    for name in listing or ():
        target = host.read_link(f"/proc/{pid}/fd/{name}")
        if isinstance(target, str) and target.startswith("/dev/nvidia"):
            found.add(target.removeprefix("/dev/"))
    return tuple(sorted(found))


def _holder(host: Host, pid: str, devices: tuple[str, ...], known: _Names) -> Holder:
    cgroup = text(host, f"/proc/{pid}/cgroup", limit=65_536)
    engine, container, pod = container_of(cgroup)
    name = line(host, f"/proc/{pid}/comm")
    return Holder(
        pid=int(pid),
        name=name if isinstance(name, str) and name else "unnamed",
        devices=devices,
        unit="" if container else unit_of(cgroup),
        engine=engine,
        container=container,
        container_name=known.container(engine, container) if container else "",
        pod=(known.pod(container, pod) or pod) if container and pod else pod,
    )


def services(host: Host) -> tuple[str, ...]:
    """Running units of the driver's services, the display manager first."""
    manager = host.read_link("/etc/systemd/system/display-manager.service")
    wanted = list(DRIVER_SERVICES)
    if isinstance(manager, str):
        wanted.insert(0, manager.rsplit("/", 1)[-1])
    running = [unit for unit in wanted if text(host, f"{_SLICE}/{unit}/cgroup.procs").strip()]
    # A path unit has no processes: it belongs with its service where that is set up at all.
    path = "nvidia-cdi-refresh.path"
    for folder in ("/etc/systemd/system/multi-user.target.wants", "/etc/systemd/system"):
        if host.exists(f"{folder}/{path}") is True:
            running.insert(1 if isinstance(manager, str) and running else 0, path)
            break
    return tuple(dict.fromkeys(running))


def observe(host: Host) -> InUse:
    """Look at every process; Unknown where this is a record or /proc can't be listed."""
    if host.kind == "recorded":
        reason = "this is a record: what runs on the GPUs is seen on the server itself"
        return InUse(Unknown(reason))
    listing = host.list_dir("/proc")
    if isinstance(listing, Unknown):
        return InUse(listing)
    known = _Names(host)
    found: list[Holder] = []
    unseen = 0
    for pid in listing or ():
        if not pid.isdigit():
            continue
        devices = _devices(host, pid)
        if devices is None:
            unseen += 1
        elif devices:
            found.append(_holder(host, pid, devices, known))
    users = tuple(
        item
        for item in found
        if item.unit not in DRIVER_SERVICES and not item.name.startswith(DRIVER_PROGRAMS)
    )
    return InUse(users, services(host), unseen)
