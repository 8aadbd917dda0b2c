"""Does a driver's module build on a kernel? One place for the rules and for ``compat``.

The order of truth: a trial build or install on this host (exact package version, exact release) >
a build in the catalogue (exact driver, flavour and kernel) > changes of the kernel's API > the newest
kernel that a release is known for. What is decided above is not contradicted below.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpu_bringup.model.target import Verdict
from gpu_bringup.rules.breaks import breaks
from gpu_bringup.rules.finding import Finding, Module
from gpu_bringup.rules.limits import limit
from gpu_bringup.rules.packaged import package_of
from gpu_bringup.rules.subject import TargetKernel, urls

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gpu_bringup.model.catalogue import Build, Catalogue
    from gpu_bringup.model.trial import BuildEvidence


def judge(
    catalogue: Catalogue,
    module: Module,
    kernel: TargetKernel,
    evidence: Sequence[BuildEvidence] = (),
) -> tuple[Finding, ...]:
    """Everything known of this build, the decisive finding first.

    Measured results end the matter; what a lower source says against them is left out.
    """
    predicted = predict(catalogue, module, kernel)
    measured = _from_host(module, kernel, evidence) or _from_catalogue(
        catalogue, module, kernel, predicted[0]
    )
    if measured is None and predicted[0].verdict is Verdict.VIOLATED:
        measured = _patched_elsewhere(catalogue, module, kernel, predicted[0])
    if measured is None:
        return predicted
    return (measured, *(f for f in predicted if f.verdict is measured.verdict))


def predict(catalogue: Catalogue, module: Module, kernel: TargetKernel) -> tuple[Finding, ...]:
    """What follows without anybody's build of exactly this, the decisive finding first."""
    rest = [*breaks(catalogue, module, kernel), limit(catalogue, module, kernel)]
    # A change that the driver copes with doesn't prove that it builds: the limit speaks first.
    order = {Verdict.VIOLATED: 0, Verdict.UNKNOWN: 1, Verdict.OK: 2}

    def place(finding: Finding) -> tuple[int, bool]:
        if finding.verdict is Verdict.OK:
            return order[finding.verdict], finding.rule != "driver-kernel"
        # A failure whose error is known tells more than one that is only inferred.
        return order[finding.verdict], not finding.first_error

    found = tuple(sorted(rest, key=place))
    if kernel.foreign and found[0].verdict is Verdict.OK:
        detail = (
            f"{kernel.label} is a kernel of {kernel.foreign}, with patches of their own: {module.label} "
            "builds on the upstream kernel of that number; whether it does on this one only a build shows."
        )
        return (
            Finding("driver-kernel", Verdict.UNKNOWN, "none", detail, found[0].sources),
            *found,
        )
    return found


def _from_host(
    module: Module, kernel: TargetKernel, evidence: Iterable[BuildEvidence]
) -> Finding | None:
    """The latest trial build of exactly this package version on exactly this release."""
    package = module.package
    fitting = [
        item
        for item in evidence
        if item.kernel == kernel.release
        and item.driver == module.driver
        and item.flavour is module.flavour
        and (
            package is None
            or not package.package_version
            or not item.package_version
            or item.package_version == package.package_version
        )
    ]
    if not fitting:
        return None
    last = max(fitting, key=lambda item: item.time)
    name = f"{last.package} {last.package_version}".strip() or module.label
    if last.passed:
        detail = f"A trial build of {name} on this host passed for {kernel.release} ({last.time})."
        return Finding("measured-build", Verdict.OK, "host", detail)
    detail = f"A trial build of {name} on this host failed for {kernel.release}: {last.first_error}"
    return Finding("measured-build", Verdict.VIOLATED, "host", detail, first_error=last.first_error)


def _same_kernel(build: Build, kernel: TargetKernel) -> bool:
    names = {kernel.release, kernel.release.removesuffix(".x86_64").removesuffix(".aarch64")}
    return build.kernel in names or (bool(kernel.version) and build.kernel == kernel.version)


def _same_package(build: Build, module: Module) -> bool:
    """A result for one distribution's package says nothing of another package of that version."""
    if module.package is None:
        return True
    if not build.package:
        return not module.patched
    if not module.patched:
        return False
    words = build.package.replace("=", " ").split()
    return module.package.package_version in words or not module.package.package_version


def _from_catalogue(
    catalogue: Catalogue, module: Module, kernel: TargetKernel, predicted: Finding
) -> Finding | None:
    """The build of exactly this, or what builds of a distribution's patched packages say of it."""
    fitting = [
        build
        for build in catalogue.builds
        if build.driver == module.driver
        and build.flavour is module.flavour
        and _same_kernel(build, kernel)
        and _same_package(build, module)
    ]
    own = [build for build in fitting if not build.package and not module.packaged]
    if own or module.package is not None:
        return _told(catalogue, module, own or fitting)
    if not fitting:
        return None
    passed = {build.passed for build in fitting}
    # What fails with patches fails without; what builds with them need not.
    agreed = passed == {False} or predicted.verdict is Verdict.OK
    agreed |= module.packaged and predicted.verdict is not Verdict.VIOLATED
    if len(passed) == 1 and agreed:
        return _told(catalogue, module, fitting)
    # Patched packages build where NVIDIA's own release doesn't: which of them is meant?
    words = "; ".join(
        f"{build.package} {'builds' if build.passed else f'fails with “{build.error}”'}"
        for build in fitting
    )
    detail = (
        f"That depends on the package. On {kernel.label}, {words}. Of NVIDIA's own release: "
        f"{predicted.detail} Name the package's version as the driver (such as "
        f"{fitting[0].package.split()[-1]}) to be told of it."
    )
    sources = urls(catalogue, [source for build in fitting for source in build.sources])
    return Finding("measured-build", Verdict.UNKNOWN, "none", detail, sources)


def _patched_elsewhere(
    catalogue: Catalogue, module: Module, kernel: TargetKernel, predicted: Finding
) -> Finding | None:
    """A distribution's package of this version is patched for kernels that NVIDIA's own fails on."""
    if module.package is not None:
        return None
    for row in catalogue.package_limits:
        if row.package.partition("-")[0] != module.driver or row.flavour is not module.flavour:
            continue
        package = package_of(row.package, row.flavour)
        found = predict(catalogue, Module(module.driver, module.flavour, package), kernel)[0]
        if found.verdict is Verdict.OK:
            detail = (
                f"That depends on the package. Of NVIDIA's own release: {predicted.detail} The "
                f"distribution's package {row.package} has patches for kernels up to Linux "
                f"{row.newest}: name its version as the driver to be told of it."
            )
            sources = (*predicted.sources, *found.sources)
            return Finding("driver-kernel", Verdict.UNKNOWN, "none", detail, sources)
    return None


def _told(catalogue: Catalogue, module: Module, builds: Sequence[Build]) -> Finding | None:
    """The first that failed decides, else the first of all; None: there is none."""
    build = next((b for b in builds if not b.passed), builds[0] if builds else None)
    if build is None:
        return None
    name = f"{module.label}" + (f" ({build.package})" if build.package else "")
    sources = urls(catalogue, build.sources)
    if build.passed:
        detail = f"{name} was built on Linux {build.kernel}: it passed."
        return Finding("measured-build", Verdict.OK, "measured", detail, sources)
    detail = f"{name} was built on Linux {build.kernel}: it failed with “{build.error}”."
    return Finding(
        "measured-build", Verdict.VIOLATED, "measured", detail, sources, first_error=build.error
    )
