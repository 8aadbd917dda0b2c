"""Which container base image goes with a target, and why the driver isn't in it.

Sources: tags that public Dockerfiles use; NVIDIA_REQUIRE_CUDA of NVIDIA's images; the container
toolkit's changelog (NVIDIA_DISABLE_REQUIRE, cuda-compat).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpu_bringup.catalogue.lookup import find_gpu
from gpu_bringup.model.versions import branch_of, driver_key
from gpu_bringup.rules.cuda import forward_of, toolkit_of
from gpu_bringup.rules.subject import join, urls

if TYPE_CHECKING:
    from gpu_bringup.model.catalogue import Catalogue
    from gpu_bringup.model.stack import BaseImage
    from gpu_bringup.model.target import Target

WHY_NO_DRIVER = (
    "The driver isn't in the image and must not be: libcuda and libnvidia-ml have to be of exactly the "
    "version of the host's kernel modules, so the container toolkit puts the host's into the container "
    "when it starts. The image brings the CUDA runtime and libraries only."
)


@dataclass(frozen=True, slots=True)
class ImageChoice:
    """A base image for a target."""

    image: BaseImage | None
    """None: no tag on record fits."""
    reason: str
    """Why this one, or why none."""
    why_no_driver: str
    """Why the driver is not in it."""
    require: str
    """What its NVIDIA_REQUIRE_CUDA asks of the host, and whether the target fulfils it."""
    alternatives: tuple[BaseImage, ...] = ()
    """Others that fit, best first."""
    sources: tuple[str, ...] = ()
    """Addresses of what says so."""

    @property
    def name(self) -> str:
        """ "nvidia/cuda:13.0.2-runtime-ubuntu24.04"; empty: none."""
        return f"{self.image.repository}:{self.image.tag}" if self.image is not None else ""


def choose_image(
    catalogue: Catalogue, target: Target, kind: str = "runtime", system: str = ""
) -> ImageChoice:
    """The base image with the newest CUDA that driver and boards of a target serve in full.

    Args:
        kind: "base", "runtime" or "devel"; an image that has more serves too.
        system: what the image shall be built on ("ubuntu:24.04", or "ubuntu"); empty: whatever is newest.
    """
    first, last, names = _bounds(catalogue, target)
    wanted = [
        image
        for image in catalogue.stack.images
        if _RANK[image.kind] >= _RANK[kind]
        and (not system or image.system == system or image.system.partition(":")[0] == system)
    ]
    fitting = [
        image
        for image in wanted
        if _full(catalogue, target, image)
        and (not first or driver_key(image.cuda) >= driver_key(first))
        and (not last or driver_key(image.cuda) <= driver_key(last))
    ]
    fitting.sort(key=lambda image: _order(image, kind), reverse=True)
    boards = join(names) or "these boards"
    version = target.driver.version
    if not fitting:
        span = (f" from CUDA {first}" if first else "") + (f" up to CUDA {last}" if last else "")
        on = f" on {system}" if system else ""
        return ImageChoice(
            None,
            f"No tag of nvidia/cuda on record{on} is served in full by {version} and fits {boards}{span}: "
            "which one to take isn't known. Look for one whose CUDA is not newer than "
            f"{target.cuda or 'what the driver serves'} at the registry.",
            WHY_NO_DRIVER,
            _require("", target, None),
        )
    best = fitting[0]
    more = {
        "base": "",
        "runtime": "",
        "devel": " It has the compiler too, which serving doesn't need.",
    }
    reason = (
        f"CUDA {best.cuda} is the newest on record that {version} serves with all its features and that "
        f"has code for {boards}"
        + (f" (up to CUDA {last})" if last else "")
        + "."
        + (more[best.kind] if best.kind != kind else "")
        + (" It has cuDNN too." if best.cudnn else "")
    )
    known = forward_of(catalogue, best.cuda)
    # Of forward compatibility's sources only those of the images: the others are about its errors.
    asks = (s for s in (known.sources if known is not None else ()) if s.startswith("cuda-images"))
    where = urls(catalogue, (*best.sources, *asks))
    return ImageChoice(
        best,
        reason,
        WHY_NO_DRIVER,
        _require(best.cuda, target, known.branches if known is not None else None),
        tuple(fitting[1:4]),
        where,
    )


_RANK = {"base": 0, "runtime": 1, "devel": 2}


def _order(image: BaseImage, kind: str) -> tuple[object, ...]:
    return (
        driver_key(image.cuda),
        -abs(_RANK[image.kind] - _RANK[kind]),
        not image.cudnn,
        driver_key(image.system),
        driver_key(image.tag.partition("-")[0]),
    )


def _full(catalogue: Catalogue, target: Target, image: BaseImage) -> bool:
    toolkit = toolkit_of(catalogue, image.cuda)
    return toolkit is not None and driver_key(toolkit.driver) <= driver_key(target.driver.version)


def _bounds(catalogue: Catalogue, target: Target) -> tuple[str, str, list[str]]:
    """(first CUDA, last CUDA, boards) of the target's boards; empty: no bound known."""
    first = last = ""
    names = []
    for name in target.gpus:
        gpu = find_gpu(catalogue, name)
        names.append(name)
        architecture = catalogue.architectures.get(gpu.architecture) if gpu is not None else None
        if architecture is None:
            continue
        if not first or driver_key(architecture.first_cuda) > driver_key(first):
            first = architecture.first_cuda
        end = architecture.last_cuda
        if end and (not last or driver_key(end) < driver_key(last)):
            last = end
    return first, last, names


def _require(cuda: str, target: Target, branches: tuple[str, ...] | None) -> str:
    """What NVIDIA_REQUIRE_CUDA means here."""
    asks = f"cuda>={cuda}" if cuda else "cuda>=VERSION"
    text = (
        f"NVIDIA_REQUIRE_CUDA in the image ({asks}, or one of the driver branches that it lists) is checked "
        "by the container toolkit before the container starts; what doesn't fulfil it is refused. "
    )
    if not cuda:
        return text.rstrip()
    if target.cuda and driver_key(target.cuda)[:2] >= driver_key(cuda)[:2]:
        return text + f"{target.driver.version} reports CUDA {target.cuda}, which fulfils it."
    if branches and branch_of(target.driver.version) in branches:
        return text + f"R{branch_of(target.driver.version)} is one of those that it lists."
    return text + (
        "Whether this driver fulfils it isn't known; NVIDIA_DISABLE_REQUIRE=true skips the check, not "
        "what it is about."
    )
