"""A base image for containers on this driver, and why the driver is not in it. Pure.

Sources: NVIDIA container toolkit (the host's libcuda and libnvidia-ml are put into the container when
it starts), CUDA Compatibility guide (minor-version compatibility), the catalogue's base images.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpu_bringup.model.versions import driver_key

if TYPE_CHECKING:
    from gpu_bringup.model.catalogue import Catalogue
    from gpu_bringup.model.stack import BaseImage
    from gpu_bringup.model.target import Target


def image_for(target: Target, catalogue: Catalogue, kind: str = "runtime") -> BaseImage | None:
    """The newest base image that the target's driver serves with all features; None: none on record.

    Args:
        kind: "base", "runtime" or "devel".
    """
    if not target.cuda:
        return None
    fitting = [
        image
        for image in catalogue.stack.images
        if image.kind == kind
        and not image.cudnn
        and driver_key(image.cuda) <= driver_key(target.cuda)
    ]
    return max(fitting, key=lambda image: (driver_key(image.cuda), image.system), default=None)


def container_file(target: Target, catalogue: Catalogue) -> str:
    """The beginning of a Dockerfile with its reasons, with a line end."""
    driver, image = target.driver, image_for(target, catalogue)
    compiler = image_for(target, catalogue, "devel")
    lines = [
        f"# For hosts with NVIDIA driver {driver.version}, which serves CUDA {target.cuda or '?'} with all",
        "# features.",
    ]
    if image is None:
        lines += [
            "# No base image that fits is on record here: choose a tag of nvidia/cuda by its CUDA version."
        ]
    else:
        lines += [f"FROM {image.repository}:{image.tag}"]
        lines += [
            f"# CUDA {image.cuda} with its libraries, no compiler"
            + (f" (with one: {compiler.repository}:{compiler.tag})." if compiler else ".")
        ]
    lines += [
        "#",
        "# No driver in here, and none is to be installed: the kernel module is the host's, and libcuda.so.1",
        "# must have exactly its version. The container toolkit puts the host's libcuda and libnvidia-ml",
        "# into the container when it starts; one that is baked in would shadow them after the next driver",
        "# update (cuInit: 803, system has unsupported display driver / cuda driver combination).",
        "# Wheels of PyTorch and vLLM bring CUDA's libraries themselves: for them a plain distribution",
        "# image is enough.",
        "#",
        "# Run it:  docker run --rm --gpus all IMAGE nvidia-smi -L",
        "#          podman run --rm --device nvidia.com/gpu=all IMAGE nvidia-smi -L   (CDI)",
    ]
    return "\n".join(lines) + "\n"
