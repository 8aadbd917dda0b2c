"""A values file for NVIDIA's GPU Operator, for one node as it is and the target that it shall have.

Only keys that the chart has (see ``KEYS``); each comes with the reason why it is set. What is not set
stays at the chart's default. Sources: deployments/gpu-operator/values.yaml of NVIDIA/gpu-operator
(commit d7413be9727387537b654a25d25f932767794663, v24.6), and for driver.kernelModuleType (which
replaced useOpenKernelModules) and the defaults of v26.7.0 its "Helm Chart Values Reference".
"""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from gpu_bringup.export.ansible import quoted
from gpu_bringup.export.node import (
    checks,
    host_keeps_driver,
    newest_operator,
    operator_version,
    use_precompiled,
)
from gpu_bringup.model.enums import InstallMethod
from gpu_bringup.model.target import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gpu_bringup.export.node import Node
    from gpu_bringup.model.catalogue import Catalogue
    from gpu_bringup.model.target import Target

KEYS = (
    "cdi.enabled",
    "driver.enabled",
    "driver.kernelModuleType",
    "driver.upgradePolicy.autoUpgrade",
    "driver.usePrecompiled",
    "driver.version",
    "mig.strategy",
    "toolkit.enabled",
    "validator.plugin.env",
)
"""Every key that a file of ours sets."""
URL = "https://github.com/NVIDIA/gpu-operator/blob/main/deployments/gpu-operator/values.yaml"
REFERENCE = (
    "docs.nvidia.com/datacenter/cloud-native/gpu-operator (Helm chart values; precompiled drivers)"
)
_MARKS = {Verdict.OK: "ok", Verdict.VIOLATED: "MEND FIRST", Verdict.UNKNOWN: "look"}


def _comment(text: str, indent: int = 0, lead: str = "") -> list[str]:
    """Comment lines; nothing in the text can end the comment."""
    words = "".join(char if char.isprintable() else " " for char in f"{lead}{text}")
    mark = " " * indent + "# "
    return textwrap.wrap(
        words,
        99,
        initial_indent=mark,
        subsequent_indent=mark + " " * len(lead),
        break_long_words=False,
        break_on_hyphens=False,
    )


def _head(node: Node, target: Target, version: str) -> list[str]:
    names = ", ".join(target.gpus) or "GPUs"
    where = ", ".join(item for item in (node.system, *node.kernels) if item)
    lines = _comment(f"Values for NVIDIA's GPU Operator on a node with {names} ({where}).")
    chart = f" --version v{version}" if version else ""
    lines += [
        "#   helm repo add nvidia https://helm.ngc.nvidia.com/nvidia && helm repo update",
        f"#   helm upgrade --install gpu-operator nvidia/gpu-operator{chart} \\",
        "#     --namespace gpu-operator --create-namespace --values THIS_FILE",
        f"# Keys: {URL}",
        f"# Reasons: {REFERENCE}",
        "#",
        "# What must hold on the node first:",
    ]
    return lines


def _checked(node: Node, target: Target, catalogue: Catalogue) -> Iterable[str]:
    for item in checks(node, newest_operator(catalogue), target):
        yield from _comment(item.text, 0, f"  [{_MARKS[item.verdict]}] ")
        if item.next:
            yield from _comment(item.next, 0, "      -> ")


def _driver(node: Node, target: Target, catalogue: Catalogue) -> list[str]:
    release = newest_operator(catalogue)
    kept = host_keeps_driver(node, release, target)
    lines = ["driver:"]
    if kept:
        lines += _comment(f"The host brings the driver: {kept}.", 2)
        lines += _comment(
            "Keep the same version on every GPU node."
            if node.host_driver
            else "Install it on every GPU node first (gpu-bringup plan), the same version everywhere.",
            2,
        )
        if node.host_method is InstallMethod.OUTSIDE:
            lines += _comment(
                "It is provided by the platform: where its libraries are not below /, "
                "hostPaths.driverInstallDir must name the folder that they are below.",
                2,
            )
        return [*lines, "  enabled: false"]
    branch = target.driver.branch
    version = operator_version(node, release, target) if release is not None else ""
    lines += ["  enabled: true"]
    if use_precompiled(node, release, target):
        lines += _comment(
            "Secure Boot is on: only the precompiled driver is signed. Its version is the branch's; a "
            "point release can't be pinned, and a kernel without an image has no driver.",
            2,
        )
        lines += [f"  version: {quoted(branch)}", "  usePrecompiled: true"]
    else:
        default = release.default_driver if release is not None else ""
        other = f" (the chart's own default is {default})" if default and default != version else ""
        lines += _comment(
            f"Pinned{other}: the operator installs what it is told and does not look for a version "
            "that fits the node's kernel.",
            2,
        )
        if version != target.driver.version:
            lines += _comment(
                f"Recommended for the host is {target.driver.version}; no driver container of that is "
                "on record, so this is the newest one of its branch.",
                2,
            )
        lines += [f"  version: {quoted(version)}"]
        lines += _comment("Built on the node for its kernel, when the driver's pod starts.", 2)
        lines += ["  usePrecompiled: false"]
    lines += _comment(
        'Chosen for these GPUs; the chart\'s "auto" leaves it to the driver container.', 2
    )
    lines += [f"  kernelModuleType: {target.driver.flavour.value}"]
    lines += ["  upgradePolicy:"]
    lines += _comment("A new driver stops every GPU pod of the node: change it on purpose.", 4)
    lines += ["    autoUpgrade: false"]
    return lines


def _toolkit(node: Node, catalogue: Catalogue) -> list[str]:
    component = catalogue.stack.component("container-toolkit")
    floor = component.minimum if component is not None else ""
    lines = ["toolkit:"]
    if node.host_toolkit and node.toolkit_configured:
        lines += _comment(
            f"The host's own container toolkit {node.host_toolkit} is configured for its runtime"
            f"{f'; never below {floor}' if floor else ''}.",
            2,
        )
        return [*lines, "  enabled: false"]
    lines += _comment("The operator brings its own and configures containerd or CRI-O for it.", 2)
    return [*lines, "  enabled: true"]


def _fabric(target: Target, kept: bool) -> list[str]:
    if target.fabric == "none":
        return []
    words = {
        "fabricmanager": "NVSwitch board: the fabric manager must have exactly the driver's version.",
        "fabricmanager+nvlsm": "NVLink 5 board: fabric manager in exactly the driver's version, nvlsm, "
        "and mlx5_core and ib_umad loaded.",
        "imex": "NVLink rack: nvidia-imex in exactly the driver's version on every tray.",
    }.get(target.fabric, "")
    if not words:
        return []
    who = (
        "The host brings the driver, so it brings this too."
        if kept
        else "The driver container starts the fabric manager itself where it finds NVSwitches; one on "
        "the host as well would disturb it."
    )
    return ["", *_comment(f"{words} {who}")]


def gpu_operator_values(node: Node, target: Target, catalogue: Catalogue) -> str:
    """The values file, with a line end.

    Args:
        node: the node as it is.
        target: the driver that it shall have.
        catalogue: for the operator's releases and what they support.
    """
    release = newest_operator(catalogue)
    kept = bool(host_keeps_driver(node, release, target))
    lines = _head(node, target, release.version if release is not None else "")
    lines += [*_checked(node, target, catalogue), ""]
    lines += [*_driver(node, target, catalogue), *_fabric(target, kept), ""]
    lines += [*_toolkit(node, catalogue), ""]
    lines += [
        "cdi:",
        *_comment(
            "Containers get the GPUs by CDI: they keep them when systemd reloads its units, which the "
            "older hook does not survive (NVIDIA/nvidia-container-toolkit issue 48).",
            2,
        ),
        "  enabled: true",
        "",
        "mig:",
        *_comment(
            'One layout for all GPUs of a node; "mixed" where they differ. Nothing is split until a '
            "node is labelled nvidia.com/mig.config.",
            2,
        ),
        "  strategy: single",
        "",
        "validator:",
        "  plugin:",
        "    env:",
        *_comment(
            "Let the validator run a CUDA program on a GPU before the node counts as ready.", 6
        ),
        "      - name: WITH_WORKLOAD",
        '        value: "true"',
    ]
    return "\n".join(lines) + "\n"
