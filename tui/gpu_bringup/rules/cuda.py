"""Driver x CUDA: which of the kinds of compatibility holds, and what breaks in it.

Sources: CUDA release notes (driver of each toolkit), CUDA compatibility guide (minor-version and
forward compatibility), NVIDIA_REQUIRE_CUDA of NVIDIA's images (branches that cuda-compat serves).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpu_bringup.model.versions import branch_of, driver_key
from gpu_bringup.rules.subject import join, urls

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gpu_bringup.model.catalogue import Catalogue, Toolkit
    from gpu_bringup.model.stack import ForwardCompatibility
    from gpu_bringup.rules.subject import Board

NATIVE, MINOR, FORWARD, NONE, UNKNOWN = "native", "minor", "forward", "none", "unknown"

PTX_BREAKS = (
    "PTX that a newer toolkit compiled is not compiled at run time (CUDA_ERROR_UNSUPPORTED_PTX_VERSION, "
    "222): programs must bring code for exactly these GPUs"
)
TOO_OLD = "CUDA refuses to start (cudaErrorInsufficientDriver, 35)"
NOT_THIS_BOARD = "CUDA refuses these boards (cudaErrorCompatNotSupportedOnDevice, 804)"


@dataclass(frozen=True, slots=True)
class Compatibility:
    """How a driver serves one CUDA version."""

    kind: str
    """"native" (everything works), "minor" (the same CUDA family, without newer PTX), "forward" (only
    by cuda-compat), "none", "unknown"."""
    needs: str
    """Driver for the full feature set; empty: not known."""
    breaks: str
    """What doesn't work, with its error; empty: nothing."""
    remedy: str = ""
    """What would help; empty: nothing needs to."""
    sources: tuple[str, ...] = ()
    """Addresses of what says so."""

    @property
    def runs(self) -> bool:
        """Do programs built for that CUDA run on the driver as it is?"""
        return self.kind in (NATIVE, MINOR)


def toolkit_of(catalogue: Catalogue, wanted: str) -> Toolkit | None:
    """The toolkit of a version: "12.4.1" is an update of 12.4; None: not in the catalogue."""
    key = driver_key(wanted)[:2]
    return next((t for t in catalogue.toolkits if driver_key(t.version)[:2] == key), None)


def driver_of(toolkit: Toolkit, wanted: str) -> str:
    """The driver for the full feature set of a toolkit or of one of its updates ("12.4.1")."""
    return dict(toolkit.updates).get(wanted, toolkit.driver)


def newest_update(toolkit: Toolkit, driver: str) -> str:
    """The newest update of a toolkit that a driver serves with all its features: "13.0.2" or "13.0"."""
    served = [v for v, needs in toolkit.updates if driver_key(needs) <= driver_key(driver)]
    return max(served, key=driver_key, default=toolkit.version)


def forward_of(catalogue: Catalogue, wanted: str) -> ForwardCompatibility | None:
    """What is known of the cuda-compat package of a CUDA version; None: nothing."""
    key = driver_key(wanted)[:2]
    return next((f for f in catalogue.stack.forward if driver_key(f.toolkit)[:2] == key), None)


def compatibility(
    catalogue: Catalogue, driver: str, wanted: str, boards: Iterable[Board] = ()
) -> Compatibility:
    """Which kind of compatibility holds between a driver and a CUDA version.

    Args:
        driver: version, such as "580.178.04".
        wanted: "12.9", or an update such as "12.4.1".
        boards: the GPUs: forward compatibility is for data-centre boards.
    """
    toolkit = toolkit_of(catalogue, wanted)
    if toolkit is None:
        return Compatibility(UNKNOWN, "", "", f"CUDA {wanted} isn't in this catalogue.")
    needs, where = driver_of(toolkit, wanted), urls(catalogue, toolkit.sources)
    key = driver_key(driver)
    if key >= driver_key(needs):
        return Compatibility(NATIVE, needs, "", "", where)
    if key >= driver_key(toolkit.minor_driver):
        remedy = f"driver {needs} or newer, or cuda-compat-{_dashed(toolkit)} on data-centre boards"
        return Compatibility(MINOR, needs, PTX_BREAKS, remedy, where)
    return _forward(catalogue, driver, toolkit, needs, tuple(boards))


def _forward(
    catalogue: Catalogue, driver: str, toolkit: Toolkit, needs: str, boards: tuple[Board, ...]
) -> Compatibility:
    known = forward_of(catalogue, toolkit.version)
    desks = [b.name for b in boards if b.gpu is not None and not b.gpu.data_centre]
    package = known.package if known is not None else f"cuda-compat-{_dashed(toolkit)}"
    newer = f"driver {needs} or newer ({toolkit.minor_driver} by minor-version compatibility)"
    where = urls(catalogue, (*toolkit.sources, *(known.sources if known is not None else ())))
    if desks:
        breaks = (
            f"{TOO_OLD}; with {package} {NOT_THIS_BOARD}: {join(desks)} isn't a data-centre board"
        )
        return Compatibility(NONE, needs, breaks, newer, where)
    if known is None or not known.branches:
        remedy = f"{newer}; whether {package} serves R{branch_of(driver)} isn't known"
        return Compatibility(UNKNOWN, needs, TOO_OLD, remedy, where)
    if branch_of(driver) in known.branches:
        remedy = f"{package} in the container or on the host (data-centre boards only), or {newer}"
        return Compatibility(FORWARD, needs, f"{TOO_OLD} without {package}", remedy, where)
    served = join(f"R{name}" for name in known.branches)
    breaks = f"{TOO_OLD}; {package} is for {served}, not for R{branch_of(driver)}"
    return Compatibility(NONE, needs, breaks, newer, where)


def _dashed(toolkit: Toolkit) -> str:
    return toolkit.version.replace(".", "-")
