"""The beginning of a Dockerfile for a target: which base image, and why no driver is in it. Pure."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from gpu_bringup.rules.images import choose_image

if TYPE_CHECKING:
    from gpu_bringup.model.catalogue import Catalogue
    from gpu_bringup.model.target import Target


def _comment(text: str) -> list[str]:
    words = "".join(char if char.isprintable() else " " for char in text)
    return textwrap.wrap(
        words,
        99,
        initial_indent="# ",
        subsequent_indent="# ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def container_file(target: Target, catalogue: Catalogue) -> str:
    """A FROM line with its reasons, or the reasons why there is none; with a line end."""
    choice = choose_image(catalogue, target)
    driver = target.driver
    lines = _comment(
        f"For hosts with NVIDIA driver {driver.version} ({driver.flavour.value} modules)."
    )
    lines += _comment(choice.reason)
    lines += [f"# {address}" for address in choice.sources]
    if choice.image is not None:
        lines.append(f"FROM {choice.name}")
    if choice.alternatives:
        others = ", ".join(f"{image.repository}:{image.tag}" for image in choice.alternatives)
        lines += _comment(f"Others that fit: {others}.")
    lines += ["#", *_comment(choice.why_no_driver), *_comment(choice.require)]
    lines += _comment(
        "Wheels of PyTorch and vLLM bring CUDA's libraries themselves: for them a plain image of a "
        "distribution is enough."
    )
    lines += [
        "#",
        "# Run it:  docker run --rm --gpus all IMAGE nvidia-smi -L",
        "#          podman run --rm --device nvidia.com/gpu=all IMAGE nvidia-smi -L   (CDI)",
    ]
    return "\n".join(lines) + "\n"
