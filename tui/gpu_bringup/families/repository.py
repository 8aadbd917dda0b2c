"""Foreign repositories: the key is fetched, held against its pinned fingerprints, then trusted.

A plan's commands are argv lists, so the fetching is a POSIX script that travels with the plan as a
file of its own: an exported plan works on a server that has no gpu-bringup. The repository is
switched on only after its key is there: a failed download leaves the package manager as it was.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from gpu_bringup.errors import RefusedError
from gpu_bringup.families.base import Change, PackageManager
from gpu_bringup.model.plan import Command, Write
from gpu_bringup.resources import data_folder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpu_bringup.model.catalogue import PackageRepository

STAGE = "/var/lib/gpu-bringup"
FETCH_KEY = f"{STAGE}/bin/fetch-key.sh"

INSTALL_MATCHING = f"{STAGE}/bin/install-matching.sh"

NVLSM = "-nvlsm"
"""Ends the id of a repository that is added for nvlsm alone."""

DRIVER_NAMES = "*nvidia* cuda* libcuda* libnvcuvid* libnvoptix* libnvsdm* libxnvctrl* nvlsm*"
_CONTAINER_NAMES = "nvidia-container* libnvidia-container*"
"""What the container repository has; it must not be preferred for anything else."""

_KEYRING_WORDS = (
    "# NVIDIA's own package cuda-keyring sets up the same repository; its key comes unchecked. Not",
    "# both: apt refuses one repository with two values of Signed-By.",
)


@lru_cache(maxsize=1)
def fetch_key_script() -> str:
    """Text of scripts/fetch-key.sh."""
    return data_folder("scripts").joinpath("fetch-key.sh").read_text(encoding="utf-8")


@lru_cache(maxsize=1)
def _matching_script() -> str:
    return data_folder("scripts").joinpath("install-matching.sh").read_text(encoding="utf-8")


def install_matching(manager: PackageManager, module: str, names: Sequence[str]) -> Change:
    """Install ``names`` ("name=" for those that must match) in the version of ``module``.

    Which version a distribution's own module package has is known only once it is installed; a
    POSIX script that travels with the plan reads it from the package database.
    """
    usual = manager.install(())
    return Change(
        writes=(Write(INSTALL_MATCHING, _matching_script(), 0o755),),
        commands=(
            Command(
                ("sh", INSTALL_MATCHING, manager.name, module, *names),
                environment=usual.environment,
                package_manager=True,
                network=True,
                ok_statuses=usual.ok_statuses,
            ),
        ),
    )


def nvidia_arch(machine: str) -> str:
    """NVIDIA's name of an architecture in its repositories (620 installation guide, Table 5)."""
    return {"aarch64": "sbsa", "arm64": "sbsa"}.get(machine, machine)


def fill(text: str, distro: str, machine: str) -> str:
    """Fill {distro} and {arch} in.

    Raises:
        RefusedError: the text needs a distribution's name and there is none.
    """
    if "{distro}" in text and not distro:
        raise RefusedError(
            "NVIDIA has no repository that is known to fit this distribution release.",
            meaning="Nothing was changed.",
            hint="Use the distribution's own driver packages, or local ones.",
        )
    return text.replace("{distro}", distro).replace("{arch}", nvidia_arch(machine))


def _fetch(repository: PackageRepository, url: str, key: str) -> Command:
    if not repository.fingerprints:
        raise RefusedError(
            f"{repository.name}: the key's fingerprint isn't known to this program.",
            meaning="Its packages can't be trusted, so it isn't added; nothing was changed.",
            hint="Get the fingerprint from NVIDIA over a way that you trust and add it in "
            f'/etc/gpu-bringup/profiles, in a repository entry with the id "{repository.id}"; or take the '
            "distribution's own packages, where it has some: --source distribution",
        )
    pinned = ",".join(item.replace(" ", "") for item in repository.fingerprints)
    return Command(("sh", FETCH_KEY, url, pinned, key), network=True)


def forget_key(fingerprint: str) -> Command:
    """Take a key out of rpm's database again, by the name that rpm gives it.

    rpm up to 5 names it by the last eight digits of its id, rpm 6 by the whole fingerprint (rpmkeys(8)).
    Status 1: it isn't there, or not under that name; a source that still needs it brings it anew.
    """
    plain = fingerprint.replace(" ", "").lower()
    return Command(("rpm", "-e", "--allmatches", f"gpg-pubkey-{plain[-8:]}"), ok_statuses=(0, 1))


def _switch_on(staged: str, target: str) -> Command:
    return Command(("install", "-D", "-m", "0644", staged, target))


def _preference(repository: PackageRepository, host: str) -> str:
    """Text of the preferences file, by what the repository is for (apt_preferences(5))."""
    if repository.id.endswith(NVLSM):
        return (
            "# Written by gpu-bringup: from this repository comes only what no other archive has\n"
            "# (nvlsm); the driver stays the distribution's own.\n"
            f'Package: *\nPin: origin "{host}"\nPin-Priority: 100\n'
        )
    container = repository.id.startswith("nvidia-container")
    what = "the container toolkit's packages" if container else "driver packages"
    return (
        f"# Written by gpu-bringup: {what} come from\n"
        f"# {repository.name}, also where another\n"
        "# archive has a higher version, so that two sources never mix. Of several records that match\n"
        "# a version apt takes the first it reads (apt_preferences(5)): this file's name puts it last,\n"
        "# so that a branch pin (nvidia-driver-pinning-...) is obeyed.\n"
        f"Package: {_CONTAINER_NAMES if container else DRIVER_NAMES}\n"
        f'Pin: origin "{host}"\n'
        "Pin-Priority: 600\n"
    )


def apt_repository(
    repository: PackageRepository, distro: str, machine: str, manager: PackageManager
) -> Change:
    """A deb822 file, its key in /etc/apt/keyrings, and a preference for its driver packages.

    Raises:
        RefusedError: no pinned fingerprint, or no name of this distribution there.
    """
    uri = fill(repository.uri, distro, machine)
    name = f"gpu-bringup-{repository.id}"
    key = f"/etc/apt/keyrings/{name}.gpg"
    suite = repository.suite or "/"
    lines = [
        f"# {repository.name}. Written by gpu-bringup; to take it back, remove this file and",
        f"# {key}, then run: apt-get update",
        *(_KEYRING_WORDS if "/cuda/repos/" in uri else ()),
        "Types: deb",
        f"URIs: {uri}",
        f"Suites: {suite}",
        *([] if suite.endswith("/") else ["Components: main"]),
        f"Signed-By: {key}",
    ]
    preference = _preference(repository, urlsplit(uri).hostname or "")
    staged = f"{STAGE}/repositories/{name}.sources"
    target = f"/etc/apt/sources.list.d/{name}.sources"
    return Change(
        writes=(
            Write(FETCH_KEY, fetch_key_script(), 0o755),
            Write(staged, "\n".join(lines) + "\n"),
            Write(f"/etc/apt/preferences.d/zz-{name}", preference),
        ),
        commands=(
            # A fresh image comes without indexes: nothing could be installed before they are read.
            manager.refresh(),
            manager.install(("ca-certificates", "gpg")),
            _fetch(repository, fill(repository.key_uri, distro, machine), key),
            _switch_on(staged, target),
            manager.refresh(),
        ),
        undo=(Command(("rm", "-f", target, key)),),
    )


def rpm_repository(
    repository: PackageRepository,
    distro: str,
    machine: str,
    manager: PackageManager,
    *,
    folder: str,
    tools: tuple[str, ...] = (),
) -> Change:
    """A .repo file in ``folder`` whose key is a local file that was checked before.

    Raises:
        RefusedError: no pinned fingerprint, or no name of this distribution there.
    """
    uri = fill(repository.uri, distro, machine)
    name = f"gpu-bringup-{repository.id}"
    key = f"/etc/pki/rpm-gpg/RPM-GPG-KEY-{name}"
    text = (
        f"# Written by gpu-bringup; to take it back, remove this file and {key}\n"
        f"[{name}]\n"
        f"name={repository.name}\n"
        f"baseurl={uri}\n"
        "enabled=1\n"
        "gpgcheck=1\n"
        f"gpgkey=file://{key}\n"
    )
    staged = f"{STAGE}/repositories/{name}.repo"
    target = f"{folder}/{name}.repo"
    return Change(
        writes=(Write(FETCH_KEY, fetch_key_script(), 0o755), Write(staged, text)),
        commands=(
            *([manager.install(tools)] if tools else []),
            _fetch(repository, fill(repository.key_uri, distro, machine), key),
            Command(("rpm", "--import", key)),
            _switch_on(staged, target),
            manager.refresh(),
        ),
        undo=(
            Command(("rm", "-f", target, key)),
            *(forget_key(item) for item in repository.fingerprints),
        ),
    )
