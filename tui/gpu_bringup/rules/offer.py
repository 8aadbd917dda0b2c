"""Rules about where the driver comes from, and what the operator asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpu_bringup.model.answers import SourceKind
from gpu_bringup.model.package_files import INDEXES, lacking, packages_in
from gpu_bringup.model.target import fill_kernels
from gpu_bringup.model.versions import driver_key
from gpu_bringup.rules.candidates import newest_release
from gpu_bringup.rules.subject import Candidate, Subject, join, ok, unknown, urls, violated

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from gpu_bringup.model.target import Reason


def asked_version(subject: Subject, candidate: Candidate) -> bool:
    """Is it the branch or version that the operator named (or was none named)?"""
    return not subject.answers.driver or candidate.pinned


def operator_choice(subject: Subject, candidate: Candidate) -> Iterator[Reason]:
    """What the operator insists on is kept; everything else is only shown."""
    answers = subject.answers
    if not asked_version(subject, candidate):
        yield violated(
            "operator-choice",
            f"You asked for driver {answers.driver}; this is {candidate.version}.",
        )
    if answers.flavour and answers.flavour != candidate.flavour.value:
        yield violated(
            "operator-choice",
            f"You asked for the {answers.flavour} modules; these are the {candidate.flavour.value} ones.",
        )


def flavour_available(subject: Subject, candidate: Candidate) -> Iterator[Reason]:
    """R620 and later have no proprietary modules; old branches have no open ones."""
    branch = candidate.branch
    if branch is None or not branch.flavours:
        return
    where = urls(subject.catalogue, branch.sources)
    if candidate.flavour in branch.flavours:
        if len(branch.flavours) == 1:
            yield ok(
                "flavour-available",
                f"R{branch.id} has the {candidate.flavour.value} modules only.",
                where,
            )
        return
    yield violated(
        "flavour-available",
        f"R{branch.id} has no {candidate.flavour.value} modules, only "
        f"{join(flavour.value for flavour in branch.flavours)} ones.",
        where,
    )


def _filled(subject: Subject, names: Iterable[str]) -> tuple[str, ...]:
    """Package names with the target's kernels filled in."""
    return fill_kernels(names, tuple(kernel.release for kernel in subject.kernels))


def branch_of_package(subject: Subject, candidate: Candidate) -> Iterator[Reason]:
    """A package whose branch no source confirms may bring another driver than the one named."""
    package = candidate.package
    if package.branch_certain:
        return
    yield unknown(
        "package-branch",
        f"That {package.kernel_package} brings {candidate.version} isn't certain. {package.note}".rstrip(),
        urls(subject.catalogue, package.sources),
    )


def _in_folder(subject: Subject, candidate: Candidate, where: tuple[str, ...]) -> Reason:
    """What the operator's folder has of this driver, by the names of its files."""
    folder, files = subject.answers.local_packages, subject.answers.local_files
    names = _filled(subject, candidate.package.packages)
    if files is None:
        return unknown(
            "source-reachable",
            f"The packages must lie in {folder}: {join(names)}. What is there was not looked at.",
            where,
        )
    held = packages_in(files)
    if not held and any(name in INDEXES for name in files):
        return unknown(
            "source-reachable",
            f"{folder} has an index: whether it has {join(names)} is seen when packages are resolved.",
            where,
        )
    missing = lacking(names, files)
    if missing:
        return violated("source-reachable", f"{folder} lacks {join(missing)}.", where)
    module = candidate.package.kernel_package
    versions = [version.partition("-")[0] for name, version in held if name == module]
    if versions and candidate.version not in versions:
        return violated(
            "source-reachable",
            f"{folder} has {module} {join(versions)}, not {candidate.version}; to take what it has: "
            f"--driver {max(versions, key=driver_key)}",
            where,
        )
    return ok(
        "source-reachable",
        f"{folder} has {join(names)}; whether what they depend on is there is seen when packages are "
        "resolved.",
        where,
    )


def _with_modules(candidate: Candidate) -> str:
    """The version, with the modules that were asked for where its branch has none of that kind."""
    branch, flavour = candidate.branch, candidate.flavour
    if branch is None or not branch.flavours or flavour in branch.flavours:
        return candidate.version
    return f"{candidate.version} with {flavour.value} modules (R{branch.id} has none)"


def _may_be_kept(subject: Subject, candidate: Candidate) -> bool:
    """May NVIDIA's repository hold a release that no package on record brings? It keeps old ones."""
    release, branch = subject.distribution, candidate.branch
    repositories = [int(p.branch) for p in release.drivers if p.source == "nvidia-repository"]
    return (
        subject.answers.source in (None, SourceKind.NVIDIA_REPOSITORY)
        and branch is not None
        and (not branch.flavours or candidate.flavour in branch.flavours)
        and bool(repositories)
        and int(branch.id) <= max(repositories)
    )


def source_reachable(subject: Subject, candidate: Candidate) -> Iterator[Reason]:
    """Somebody must offer this driver for this distribution release."""
    release, package = subject.distribution, candidate.package
    where = urls(subject.catalogue, package.sources)
    if not candidate.source_kind:
        offered = join(sorted({p.branch for p in release.drivers}, key=driver_key), "and")
        if _may_be_kept(subject, candidate):
            text = (
                f"NVIDIA's repository for {release.nvidia_distro} keeps older releases: whether "
                f"{candidate.version} is among them, and by which packages, isn't on record"
                + (f" (branches on record: {offered})" if offered else "")
            )
            if subject.strict:
                yield unknown("source-reachable", f"{text}. It is seen when packages are resolved.")
            else:
                yield violated("source-reachable", f"{text}: no steps can be planned for it.")
            return
        yield violated(
            "source-reachable",
            f"No package source known for {release.name} offers {_with_modules(candidate)}"
            + (f"; branches on offer: {offered}." if offered else "."),
        )
    elif candidate.source_kind == "local":
        if subject.answers.local_packages:
            yield _in_folder(subject, candidate, where)
        else:
            yield violated(
                "source-reachable",
                "The local source needs the folder that the packages lie in (--packages FOLDER).",
            )
    elif candidate.source_kind == "nvidia-repository":
        repository = subject.catalogue.repositories.get(package.repository)
        name = repository.name if repository is not None else "NVIDIA's repository"
        distro = release.nvidia_distro or release.name
        as_of = f"(as of {subject.catalogue.as_of})"
        if repository is not None and not repository.fingerprints:
            yield unknown(
                "source-reachable",
                f"{name} for {distro} offers R{package.branch} {as_of}, but the fingerprint of its key isn't "
                "known to this program, which therefore doesn't add it: where it isn't set up already, "
                "the plan refuses.",
                where,
            )
            return
        if driver_key(candidate.version) < driver_key(
            newest_release(subject.catalogue, package.branch)
        ):
            yield unknown(
                "source-reachable",
                f"{name} for {distro} offers R{package.branch} {as_of} and keeps older releases: whether "
                f"{candidate.version} is there is seen when packages are resolved.",
                where,
            )
            return
        known = subject.catalogue.releases.get(candidate.version)
        if known is not None and known.channel not in ("public", "beta"):
            detail = f"{name} for {distro} offers R{package.branch}, {candidate.version} with it {as_of}."
            yield ok("source-reachable", detail, where)
        else:
            yield unknown(
                "source-reachable",
                f"{name} for {distro} offers R{package.branch}, but {candidate.version} isn't among its "
                f"releases on record {as_of}: whether it is there is seen when packages are resolved.",
                where,
            )
    else:
        components = f" (components {join(package.components)})" if package.components else ""
        yield ok(
            "source-reachable",
            f"{release.name} itself offers "
            + f"{join(_filled(subject, (package.kernel_package,)))} {package.package_version}".rstrip()
            + f"{components}.",
            where,
        )
