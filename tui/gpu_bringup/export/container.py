"""The beginning of a Dockerfile for a target: which base image, and why no driver is in it. Pure."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from gpu_bringup.model.versions import driver_key
from gpu_bringup.rules.images import choose_image

if TYPE_CHECKING:
    from gpu_bringup.model.catalogue import Catalogue, Framework
    from gpu_bringup.model.target import Target


_REBUILDS = ("rhel", "almalinux", "rocky", "centos", "ol")
"""NVIDIA's images for Enterprise Linux (ubi, rockylinux) are one system, by its major version."""


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


def _own(framework: Framework, target: Target) -> list[str]:
    """The framework's own image, which brings CUDA and the framework; empty: none is known, or the
    driver is too old for it."""
    needs = framework.driver_min
    if not framework.image or (needs and driver_key(target.driver.version) < driver_key(needs)):
        return []
    cuda = f", with CUDA {framework.cuda}" if framework.cuda else ""
    least = f", which needs driver {needs} or newer" if needs else ""
    lines = _comment(
        f"{framework.name}'s own image of {framework.version}{cuda}{least}: "
        f"{target.driver.version} serves it. Nothing else has to be installed in it."
    )
    return [*lines, f"FROM {framework.image}", "#"]


def container_file(
    target: Target, catalogue: Catalogue, framework: Framework | None = None, system: str = ""
) -> str:
    """A FROM line with its reasons, or the reasons why there is none; with a line end.

    Args:
        framework: what shall run in it; its own image comes first where one is known.
        system: the host's distribution ("ubuntu:24.04"); an image on the same is taken where a tag of
            one is known: one distribution's packages and fixes to look after.
    """
    name, _, version = system.partition(":")
    if name in _REBUILDS:
        system = f"rhel:{version.partition('.')[0]}"
    choice = choose_image(catalogue, target, system=system) if system else None
    if choice is None or choice.image is None:
        choice = choose_image(catalogue, target)
    driver = target.driver
    lines = _comment(
        f"For hosts with NVIDIA driver {driver.version} ({driver.flavour.value} modules)."
    )
    own = _own(framework, target) if framework is not None else []
    if own:
        lines += [*own, *_comment("To build an image of your own instead, begin with this one:")]
    lines += _comment(choice.reason)
    lines += [f"# {address}" for address in choice.sources]
    if choice.image is not None:
        # A second FROM would begin a second stage: the image that is not taken stays a comment.
        lines.append(f"{'# ' if own else ''}FROM {choice.name}")
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
