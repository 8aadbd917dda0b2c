"""Programs that come with the container toolkit, Docker, and NVIDIA's installer."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from gpu_bringup.hosts.simulated import linker, probes
from gpu_bringup.hosts.simulated.programs.words import program, said, split
from gpu_bringup.hosts.simulated.tree import Link

if TYPE_CHECKING:
    from gpu_bringup.hosts.simulated.machine import Machine
    from gpu_bringup.hosts.simulated.work import Program

_DAEMON = "/etc/docker/daemon.json"
_CDI = "/var/run/cdi/nvidia.yaml"


def _here(machine: Machine, name: str) -> bool:
    return bool(machine.tree.exists(f"/usr/bin/{name}"))


def write_cdi(machine: Machine, path: str = _CDI) -> str:
    """Write the CDI file; why it could not be, empty where it was."""
    driver = probes.library_version(machine, "libcuda.so")
    if "nvidia" not in machine.loaded or driver is None:
        return "failed to initialize NVML: ERROR_DRIVER_NOT_LOADED"
    machine.write(
        path,
        "---\ncdiVersion: 0.5.0\nkind: nvidia.com/gpu\ncontainerEdits:\n  mounts:\n"
        f"  - hostPath: {probes.LIBRARIES}/libcuda.so.{driver}\n",
    )
    return ""


@program("nvidia-ctk")
def nvidia_ctk(machine: Machine, argv: tuple[str, ...]) -> Program:
    if not _here(machine, "nvidia-ctk"):
        return (yield from said("bash: nvidia-ctk: command not found", 127))
    options, words = split(argv[1:], "--runtime", "--output")
    if words[:2] == ["runtime", "configure"]:
        if options.get("--runtime", "docker") != "docker":
            return (yield from said("unrecognized runtime", 1))
        try:
            settings = json.loads(machine.text(_DAEMON) or "{}")
        except ValueError as wrong:
            return (yield from said(f"unable to load config: {wrong}", 1))
        settings["runtimes"] = {"nvidia": {"args": [], "path": "nvidia-container-runtime"}}
        machine.write(_DAEMON, json.dumps(settings, indent=4) + "\n")
        yield f'level=info msg="Wrote updated config to {_DAEMON}"'
        yield 'level=info msg="It is recommended that docker daemon be restarted."'
        return 0
    if words[:2] == ["cdi", "generate"]:
        error = write_cdi(machine, options.get("--output", _CDI))
        return (yield from said(error or 'level=info msg="Generated CDI spec with version 0.5.0"',
                                1 if error else 0))  # fmt: skip
    if words[:2] == ["cdi", "list"]:
        count = len(probes.visible(machine)) if machine.tree.exists(_CDI) else 0
        yield f'level=info msg="Found {count} CDI devices"'
        return (yield from said(f"nvidia.com/gpu={number}" for number in range(count)))
    return (yield from said("USAGE: nvidia-ctk runtime configure | cdi generate | cdi list", 1))


@program("docker")
def docker(machine: Machine, argv: tuple[str, ...]) -> Program:
    if not _here(machine, "docker"):
        return (yield from said("bash: docker: command not found", 127))
    unit = machine.units.get("docker.service")
    if unit is None or not unit.running:
        return (yield from said("Cannot connect to the Docker daemon. Is it running?", 1))
    _, words = split(argv[1:])
    action = words[0] if words else ""
    if action == "ps":
        yield "CONTAINER ID   IMAGE     COMMAND"
        for job in machine.jobs:
            if job.container:
                yield f"{job.container[:12]}   vllm      {job.command}"
        return 0
    if action == "info":
        runtimes = "nvidia runc" if '"nvidia"' in machine.text(_DAEMON) else "runc"
        return (yield from said((" Cgroup Driver: systemd", f" Runtimes: {runtimes}")))
    if action == "run":
        if any(word.startswith("--gpus") for word in argv) and '"nvidia"' not in machine.text(
            _DAEMON
        ):
            return (yield from said(
                "docker: Error response from daemon: could not select device driver \"\" with "
                "capabilities: [[gpu]].", 125))  # fmt: skip
        return 0
    return (
        yield from said(f"docker: '{action}' is not known to this training; ps, info, run are", 1)
    )


@program("nvidia-uninstall", "nvidia-installer")
def nvidia_uninstall(machine: Machine, argv: tuple[str, ...]) -> Program:
    if not _here(machine, argv[0]):
        return (yield from said(f"bash: {argv[0]}: command not found", 127))
    match = re.search(
        r"nvidia-installer version: (\S+)", machine.text("/var/log/nvidia-installer.log")
    )
    version = match[1] if match else ""
    for stem in ("libcuda.so", "libnvidia-ml.so"):
        link = machine.tree.own_node(f"{probes.LIBRARIES}/{stem}.1")
        if isinstance(link, Link) and link.target.endswith(version):
            machine.tree.remove(f"{probes.LIBRARIES}/{stem}.1")
        machine.tree.remove(f"{probes.LIBRARIES}/{stem}.{version}")
    for path in ("/usr/bin/nvidia-uninstall", "/usr/bin/nvidia-installer"):
        machine.tree.remove(path)
    # It runs ldconfig at its end, which leads the names to what is left.
    linker.refresh(machine)
    yield "WARNING: Your driver installation has been altered since it was initially installed."
    yield f"Uninstallation of existing driver: NVIDIA Accelerated Graphics Driver ({version}) is complete."
    return 0
