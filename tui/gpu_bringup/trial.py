"""Proves candidates before anything on the host is changed: can it be installed, does it compile?

Best candidate first. The package manager is asked in a private copy that has the repositories as
they will be; the modules are compiled against each kernel's headers in a scratch folder, from the
very package that would be installed. The first candidate that stands both tests is chosen.
"""

from __future__ import annotations

import shutil
import threading
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from gpu_bringup import evidence as evidence_store
from gpu_bringup.errors import HostError, RunLockedError
from gpu_bringup.families.detect import family_for
from gpu_bringup.families.scratches import scratch_for
from gpu_bringup.families.source_files import read_source_files
from gpu_bringup.model.answers import SourceKind
from gpu_bringup.model.enums import HeadersState
from gpu_bringup.model.target import Assessment, Reason, Recommendation, Verdict
from gpu_bringup.model.trial import BuildEvidence, TrialEvent
from gpu_bringup.model.unknown import Unknown
from gpu_bringup.paths import cache_folder, state_folder
from gpu_bringup.recommend import proving_order
from gpu_bringup.run import lock
from gpu_bringup.settled import kept
from gpu_bringup.trial_build import (
    DkmsSource,
    Outcome,
    TrialResult,
    find_source,
    objects_done,
    run_trial,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gpu_bringup.families.base import Family, Resolution
    from gpu_bringup.families.scratch import Scratch
    from gpu_bringup.hosts.base import Host, Session
    from gpu_bringup.model.answers import Answers
    from gpu_bringup.model.catalogue import Catalogue
    from gpu_bringup.model.facts import Facts

_PROGRESS_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Judgement:
    """What became of one candidate."""

    state: str
    """"proven", "rejected"; "undecided": it could not be tried just now; "unsupported": not here."""
    text: str
    sentences: tuple[str, ...] = ()
    """One a trial build."""
    package_version: str = ""
    sizes: tuple[tuple[str, int, int], ...] = ()
    """As ``Recommendation.sizes``."""
    shared: bool = False
    """It says nothing of this candidate: others meet the same."""


def describe(assessment: Assessment) -> str:
    """Words for a candidate."""
    target = assessment.target
    package = target.package
    version = f" {package.package_version}" if package.package_version else ""
    kernel = target.kernels[0] if target.kernels else "KERNEL"
    return (
        f"{target.driver.version} {target.driver.flavour.value} "
        f"({package.kernel_package.replace('{kernel}', kernel)}{version})"
    )


def prove_candidates(
    host: Host,
    facts: Facts,
    answers: Answers,
    catalogue: Catalogue,
    recommendation: Recommendation,
    *,
    report: Callable[[TrialEvent], None],
    cancelled: threading.Event | None = None,
) -> Recommendation:
    """See ``engine.prove``."""
    family = None if isinstance(facts.os, Unknown) else family_for(facts.os)
    if family is None or answers.source is SourceKind.LOCAL:
        # A server without network: its folder is read by the plan's own commands alone.
        return recommendation
    order = proving_order(facts, answers, catalogue, evidence_store.load_evidence(state_folder()))
    stays = kept(recommendation)
    if stays is not None:
        # The least change first: whether what is installed compiles after all.
        rest = tuple(item for item in order if not _alike(item, stays))
        order = (stays, *rest)
    if not order:
        return recommendation
    prover = _Prover(host, facts, family, catalogue, report, cancelled or threading.Event())
    try:
        with lock.hold(
            cache_folder() / "trial.lock", refusal=_another_trial, since=f"{datetime.now():%H:%M}"
        ):
            return _in_order(prover, recommendation, order, report)
    except OSError as error:
        raise _no_room(error) from error


def _alike(one: Assessment, other: Assessment) -> bool:
    return (
        one.target.package.id == other.target.package.id
        and one.target.driver == other.target.driver
    )


def _another_trial(path: Path) -> RunLockedError:
    who = lock.holder(path)
    return RunLockedError(
        "Drivers are being proven by another gpu-bringup on this host "
        f"(process {who.get('pid', 'unknown')}, since {who.get('since', 'unknown')}).",
        meaning="Two at once would get into each other's way; nothing was changed.",
        hint="Wait for it, or go on in the other one.",
    )


def _no_room(error: OSError) -> HostError:
    place = error.filename or cache_folder()
    return HostError(
        f"the trial build can't be made: {place}: {error.strerror}",
        meaning="Nothing was changed on this server; no driver was proven.",
        hint=f"It works in {cache_folder()} (df -h shows the room there); "
        "GPU_BRINGUP_STATE names another folder.",
    )


def _in_order(
    prover: _Prover,
    recommendation: Recommendation,
    order: tuple[Assessment, ...],
    report: Callable[[TrialEvent], None],
) -> Recommendation:
    rejected: list[tuple[Assessment, str]] = []
    undecided: list[tuple[Assessment, Judgement]] = []
    sentences: list[str] = []
    for assessment in order:
        if prover.cancelled.is_set():
            break
        judgement = prover.judge(assessment)
        sentences += judgement.sentences
        if judgement.state == "proven":
            return _chosen(recommendation, assessment, judgement, rejected, sentences)
        if judgement.shared and any(text == judgement.text for _, text in rejected):
            # One cause keeps several candidates from being tried: it is said once.
            continue
        report(TrialEvent("rejected", describe(assessment), judgement.text, passed=False))
        rejected.append((assessment, judgement.text))
        if judgement.state in ("undecided", "unsupported"):
            undecided.append((assessment, judgement))
    return _none_proven(recommendation, rejected, undecided, sentences, prover.cancelled.is_set())


def _chosen(
    recommendation: Recommendation,
    assessment: Assessment,
    judgement: Judgement,
    rejected: list[tuple[Assessment, str]],
    sentences: list[str],
) -> Recommendation:
    reason = Reason(
        rule="trial-build",
        verdict=Verdict.OK,
        detail=judgement.text,
        sources=("trial on this host",),
        blocking=False,
    )
    # What this very host has shown stands above what the catalogue expected.
    kept = tuple(
        item if item.verdict is not Verdict.VIOLATED or not item.blocking else _overruled(item)
        for item in assessment.reasons
    )
    chosen = replace(assessment, reasons=(*kept, reason))
    judged = {item.target.package.id for item, _ in rejected} | {assessment.target.package.id}
    others = list(recommendation.alternatives)
    if recommendation.chosen is not None:
        others.insert(0, (recommendation.chosen, "another candidate was proven first"))
    others = [(item, why) for item, why in others if item.target.package.id not in judged]
    return replace(
        recommendation,
        status="recommended",
        chosen=chosen,
        alternatives=(*rejected, *others),
        trials=tuple(sentences),
        sizes=judgement.sizes,
    )


def _overruled(reason: Reason) -> Reason:
    return replace(
        reason,
        blocking=False,
        detail=f"{reason.detail} (expected so by the catalogue; the trial build showed otherwise)",
    )


def _none_proven(
    recommendation: Recommendation,
    rejected: list[tuple[Assessment, str]],
    undecided: list[tuple[Assessment, Judgement]],
    sentences: list[str],
    cancelled: bool,
) -> Recommendation:
    # What could not be tried says nothing about the driver: another time it may work.
    verdict = Verdict.UNKNOWN
    if cancelled:
        detail = "the trial builds were stopped before a candidate was proven"
    elif undecided and len(undecided) == len(rejected):
        detail = f"no candidate could be tried: {undecided[0][1].text}"
        if any(judgement.state == "unsupported" for _, judgement in undecided):
            verdict = Verdict.VIOLATED
    elif undecided and rejected[0][0] is undecided[0][0]:
        # The others don't fit here; of the one that was wanted most nothing was learned.
        detail = f"{describe(rejected[0][0])} could not be tried: {undecided[0][1].text}"
    else:
        verdict = Verdict.VIOLATED
        detail = "no candidate can be installed and compiled for this kernel: " + "; ".join(
            f"{describe(assessment)}: {why}" for assessment, why in rejected
        )
    return replace(
        recommendation,
        status="refused",
        chosen=None,
        alternatives=tuple(rejected),
        refusal=(Reason("trial-build", verdict, detail, ("trial on this host",)),),
        trials=tuple(sentences),
    )


def _sizes(tools: Resolution, everything: Resolution) -> tuple[tuple[str, int, int], ...]:
    """What headers and compiler cost, and what the driver costs on top of them."""
    first = (tools.download_bytes or 0, tools.installed_bytes or 0)
    total = (everything.download_bytes or 0, everything.installed_bytes or 0)
    return (
        ("headers", *first),
        ("module", max(0, total[0] - first[0]), max(0, total[1] - first[1])),
    )


class _Prover:
    """Tries candidates one after another in one scratch folder."""

    def __init__(
        self,
        host: Host,
        facts: Facts,
        family: Family,
        catalogue: Catalogue,
        report: Callable[[TrialEvent], None],
        cancelled: threading.Event,
    ) -> None:
        self._host = host
        self._facts = facts
        self._family = family
        self._catalogue = catalogue
        self._report = report
        self.cancelled = cancelled
        self._folder = cache_folder() / "trial"
        self._files = read_source_files(host, facts)
        self._scratches: dict[tuple[tuple[str, ...], str], Scratch | Judgement] = {}

    def judge(self, assessment: Assessment) -> Judgement:
        name = describe(assessment)
        target = assessment.target
        self._report(TrialEvent("candidate", name, "Looking whether it can be installed"))
        scratch = self._scratch(assessment)
        if isinstance(scratch, Judgement):
            return scratch
        family, package = self._family, target.package
        needed: list[str] = []
        for release in target.kernels:
            needed += self._header_packages(release)
            needed += family.compiler_packages(self._facts.kernel(release))
        if package.route == "dkms":
            needed += family.build_packages()
        missing = scratch.resolve(list(dict.fromkeys(needed)))
        if not missing.ok:
            return Judgement("undecided", f"headers or compiler can't be had: {missing.error}")
        packages = list(family.driver_packages(target.exact_package, target.kernels))
        resolution = scratch.resolve([*dict.fromkeys([*needed, *packages])])
        if not resolution.ok:
            return Judgement("rejected", f"it can't be installed: {resolution.error}")
        size = f"{(resolution.download_bytes or 0) / 1e6:.0f} MB to download"
        self._report(TrialEvent("resolve", name, f"It can be installed; {size}", passed=True))
        sizes = _sizes(missing, resolution)
        if package.route != "dkms":
            text = "its modules come compiled and signed; the package manager can install them"
            return Judgement("proven", text, sizes=sizes)
        return replace(self._build(assessment, scratch, needed), sizes=sizes)

    def _header_packages(self, release: str) -> tuple[str, ...]:
        kernel = self._facts.kernel(release)
        if kernel is not None and kernel.headers.state is HeadersState.COMPLETE:
            return ()
        return self._family.header_packages(release)

    def _scratch(self, assessment: Assessment) -> Scratch | Judgement:
        package = assessment.target.package
        repository = self._catalogue.repositories.get(package.repository)
        if self._already_configured(package.repository):
            repository = None
        key = (package.components, repository.id if repository else "")
        if key not in self._scratches:
            folder = self._folder / f"sources-{len(self._scratches)}"
            scratch = scratch_for(
                self._family, self._host, self._facts, folder, self._files,
                package.components, repository,
            )  # fmt: skip
            if scratch is None:
                self._scratches[key] = Judgement(
                    "unsupported",
                    f"trial builds aren't possible with {self._family.manager.name} yet; "
                    "the catalogue's word stands",
                    shared=True,
                )
            else:
                self._report(
                    TrialEvent("fetch", describe(assessment), "Reading the repositories' indexes")
                )
                error = scratch.prepare()
                self._scratches[key] = (
                    Judgement("undecided", f"the repositories can't be read: {error}", shared=True)
                    if error
                    else scratch
                )
        return self._scratches[key]

    def _already_configured(self, repository: str) -> bool:
        repositories = self._facts.packages.repositories
        if not repository or isinstance(repositories, Unknown):
            return False
        return any(item.enabled and item.kind == "nvidia" for item in repositories)

    def _build(self, assessment: Assessment, scratch: Scratch, needed: list[str]) -> Judgement:
        name = describe(assessment)
        package = assessment.target.package
        kernel_package = package.kernel_package
        pinned = next(
            (
                item
                for item in self._family.driver_packages(
                    assessment.target.exact_package, assessment.target.kernels
                )
                if item.split("=")[0] == kernel_package
            ),
            kernel_package,
        )
        remembered = self._remembered(assessment)
        if remembered is not None:
            return remembered
        self._report(
            TrialEvent("fetch", name, "Downloading the driver's source, headers, compiler")
        )
        unpacked = scratch.unpack(list(dict.fromkeys([*needed, pinned])), wanted=(kernel_package,))
        if unpacked.error:
            return Judgement("undecided", f"a package can't be fetched: {unpacked.error}")
        version = dict(unpacked.packages).get(kernel_package, package.package_version)
        source = find_source((unpacked.root / "usr/src",), assessment.target.driver.version)
        if source is None:
            source = find_source((unpacked.root / "usr/src",), "")
        if source is None:
            return Judgement("undecided", f"{kernel_package} holds no dkms sources")
        sentences: list[str] = []
        for release in assessment.target.kernels:
            if self.cancelled.is_set():
                return Judgement("undecided", "stopped by the operator", tuple(sentences))
            result = self._compile(assessment, source, release, unpacked.root, version)
            sentences.append(f"{name} on {release}: {result.outcome.value}: {result.detail}")
            if result.outcome is not Outcome.PASSED:
                undecided = result.outcome is Outcome.UNDECIDED
                text = (
                    f"the trial build for {release} could not be judged: {result.detail}"
                    if undecided
                    else f"it does not compile on {release}: {result.detail}"
                )
                return Judgement("undecided" if undecided else "rejected", text, tuple(sentences))
        kernels = ", ".join(assessment.target.kernels)
        text = f"compiled in a trial build for {kernels}, from {kernel_package} {version}"
        return Judgement("proven", text, tuple(sentences), version)

    def _remembered(self, assessment: Assessment) -> Judgement | None:
        package = assessment.target.package
        if not package.package_version:
            return None
        known = evidence_store.load_evidence(state_folder())
        sentences: list[str] = []
        for release in assessment.target.kernels:
            item = evidence_store.look_up(
                known,
                package=package.kernel_package,
                package_version=package.package_version,
                kernel=release,
                compiler=self._compiler(release),
            )
            if item is None:
                return None
            outcome = "passed" if item.passed else f"failed: {item.first_error}"
            sentences.append(f"{describe(assessment)} on {release}: {outcome} (built {item.time})")
            if not item.passed:
                text = f"it did not compile on {release} on {item.time[:10]}: {item.first_error}"
                return Judgement("rejected", text, tuple(sentences))
        text = "compiled here before with the same package, kernel and compiler"
        return Judgement("proven", text, tuple(sentences), package.package_version)

    def _compiler(self, release: str) -> str:
        kernel = self._facts.kernel(release)
        if kernel is None or isinstance(kernel.compiler_text, Unknown):
            return ""
        return kernel.compiler_text

    def _compile(
        self, assessment: Assessment, source: DkmsSource, release: str, root: Path, version: str
    ) -> TrialResult:
        name = describe(assessment)
        stamp = datetime.now(timezone.utc).strftime("%Y%m%d-%H%M%S")
        log = (
            state_folder()
            / "evidence/logs"
            / f"{source.name}-{source.version}-{release}-{stamp}.log"
        )
        work = self._folder / "dkms"
        self._report(TrialEvent("build", name, "Compiling", kernel=release, log=str(log)))
        uid = self._host.uid()
        arch = "x86_64" if isinstance(self._facts.os, Unknown) else self._facts.os.arch
        finished = threading.Event()
        watcher = threading.Thread(
            target=self._watch, args=(name, release, work, source, finished), daemon=True
        )
        sessions: list[Session] = []
        stopper = threading.Thread(
            target=self._stop_when_told, args=(sessions, finished), daemon=True
        )
        watcher.start()
        stopper.start()
        try:
            result = run_trial(
                self._host, source, release, root,
                work=work, log=log, triplet=f"{arch}-linux-gnu", arch=arch,
                root_user=uid == 0, opened=sessions.append,
            )  # fmt: skip
        finally:
            finished.set()
            shutil.rmtree(work, ignore_errors=True)
        passed = result.outcome is Outcome.PASSED
        self._report(
            TrialEvent("result", name, result.detail, kernel=release, passed=passed, log=str(log))
        )
        if result.outcome in (Outcome.PASSED, Outcome.FAILED) and not self.cancelled.is_set():
            self._keep(assessment, release, version, result)
        return result

    def _keep(
        self, assessment: Assessment, release: str, version: str, result: TrialResult
    ) -> None:
        evidence_store.remember(
            state_folder(),
            BuildEvidence(
                package=assessment.target.package.kernel_package,
                package_version=version,
                driver=assessment.target.driver.version,
                flavour=assessment.target.driver.flavour,
                kernel=release,
                compiler=self._compiler(release),
                passed=result.outcome is Outcome.PASSED,
                first_error="" if result.outcome is Outcome.PASSED else result.detail,
                time=datetime.now(timezone.utc).isoformat(timespec="seconds"),
                log=str(result.log or ""),
            ),
        )

    def _watch(
        self, name: str, release: str, work: Path, source: DkmsSource, finished: threading.Event
    ) -> None:
        while not finished.wait(_PROGRESS_SECONDS):
            fraction = objects_done(work, source)
            if fraction is not None:
                text = f"Compiling: about {fraction:.0%}"
                self._report(TrialEvent("progress", name, text, kernel=release, fraction=fraction))

    def _stop_when_told(self, sessions: list[Session], finished: threading.Event) -> None:
        while not finished.wait(0.2):
            if self.cancelled.is_set() and sessions:
                sessions[0].interrupt()
                return
