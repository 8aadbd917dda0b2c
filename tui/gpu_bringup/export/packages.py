"""Which packages a plan installs, as a script that fetches them on a machine with network.

For a server without network (``--source local``): the script is carried to a machine of the same
distribution release and processor, fetches the packages with what they depend on, the keys that the
server must know, and writes SHA256SUMS, all into one folder. It changes nothing on that machine.

Sources: apt-get(8) (--download-only), apt.conf(5) (Dir::State::status, Dir::Cache::archives), dnf
download plugin (--resolve --alldeps), zypper(8) (--pkg-cache-dir, --download-only).
"""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from gpu_bringup.errors import RefusedError
from gpu_bringup.families.dnf import nevra
from gpu_bringup.families.repository import DRIVER_NAMES, fill
from gpu_bringup.ladder.steps import without_vague

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gpu_bringup.model.catalogue import Catalogue, PackageRepository
    from gpu_bringup.model.facts import OsFacts
    from gpu_bringup.model.plan import Plan
    from gpu_bringup.model.target import Target

_HEAD = """\
#!/bin/sh
# Packages for a server without network, written by gpu-bringup.
#
#   For:      {system}, {machine}
#   Driver:   {driver}
#   Kernel:   {kernels}
#
# 1. On a machine with network, with the same distribution release and processor:
#      sh {script} FOLDER{more}
{needs}# 2. Carry FOLDER to the server.
# 3. There: gpu-bringup apply --source local --packages FOLDER
#
# These packages, and whatever they depend on:
{names}
set -eu
[ $# -ge 1 ] || {{ echo "usage: sh $0 FOLDER" >&2; exit 2; }}
mkdir -p "$1"
folder=$(cd "$1" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"""

_KEY = """
fetch_key() {{ # fetch_key URL FINGERPRINT OUTPUT: keep a key only if it is the pinned one
    curl -fsSL --proto '=https' -o "$3" "$1"
    found=$(gpg --homedir "$work" --batch --quiet --show-keys --with-colons "$3" |
        awk -F: '$1 == "pub" {{ wait = 1 }} $1 == "fpr" && wait {{ print $10; wait = 0 }}')
    [ "$found" = "$2" ] || {{ echo "$1 is not the key $2 but: $found" >&2; rm -f "$3"; exit 1; }}
}}
{fetch}"""

_APT = """
# The server's own /var/lib/dpkg/status as second argument: then only what that server lacks is fetched.
# Without it everything is, down to libc: more than needed, but never too little.
status=${2:-$work/status}
[ -e "$status" ] || : >"$status"
mkdir -p "$work/sources.list.d" "$work/lists/partial" "$work/archives/partial"
for file in /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources; do
    [ ! -e "$file" ] || cp "$file" "$work/sources.list.d/"
done
"""

_APT_PIN = """
# The repository has several branches: this one, whole.
cat >"$work/preferences" <<'END'
Package: {drivers}
Pin: version {version}-*
Pin-Priority: 1001
END
"""

_APT_GET = """
fetch() {
    apt-get -y -o Debug::NoLocking=1 -o APT::Sandbox::User=root \\
        -o Dir::Etc::sourceparts="$work/sources.list.d" -o Dir::State::lists="$work/lists" \\
        -o Dir::State::status="$status" -o Dir::Cache::archives="$work/archives" \\
        -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= \\
        -o Dir::Etc::preferences="$work/preferences" "$@"
}
fetch update
"""

_SUMS = """
cd "$folder"
sha256sum -- {pattern} >SHA256SUMS
echo "$(wc -l <SHA256SUMS) files in $folder"
"""


def _names(plan: Plan) -> tuple[str, ...]:
    return without_vague(
        tuple(dict.fromkeys(name for step in plan.steps for name in step.packages))
    )


def _repositories(target: Target, catalogue: Catalogue, form: str) -> list[PackageRepository]:
    found = catalogue.repositories.get(target.package.repository)
    chosen = [found] if found is not None else []
    if target.containers:
        chosen += [
            item
            for item in catalogue.repositories.values()
            if item.id.startswith("nvidia-container") and item.format in ("", form)
        ]
    for item in chosen:
        if not item.fingerprints:
            raise RefusedError(
                f"{item.name}: the key's fingerprint isn't known to this program.",
                meaning="Its packages can't be trusted; nothing was written.",
                hint="Add the fingerprint in an entry of your own (--profiles), or take another source.",
            )
    return chosen


def _keys(repositories: Sequence[PackageRepository], distro: str, machine: str) -> str:
    fetch = "".join(
        f"fetch_key {shlex.quote(fill(item.key_uri, distro, machine))} "
        f'{item.fingerprints[0].replace(" ", "")} "$folder/RPM-GPG-KEY-{item.id}"\n'
        for item in repositories
    )
    return _KEY.format(fetch=fetch)


def _apt(
    repositories: Sequence[PackageRepository],
    names: Iterable[str],
    distro: str,
    machine: str,
    version: str,
) -> str:
    entries = "".join(
        f'gpg --homedir "$work" --batch --yes --dearmor -o "$work/{item.id}.gpg" \\\n'
        f'    "$folder/RPM-GPG-KEY-{item.id}"\n'
        f'cat >"$work/sources.list.d/{item.id}.sources" <<END\n'
        "Types: deb\n"
        f"URIs: {fill(item.uri, distro, machine).replace('$', chr(92) + '$')}\n"
        f"Suites: {item.suite or '/'}\n"
        f"Signed-By: $work/{item.id}.gpg\n"
        "END\n"
        for item in repositories
    )
    return (
        _APT
        + entries
        + _APT_PIN.format(drivers=DRIVER_NAMES, version=version)
        + _APT_GET
        + f"fetch install --download-only --no-install-recommends {shlex.join(names)}\n"
        + 'mv "$work"/archives/*.deb "$folder/"\n'
        + _SUMS.format(pattern="*.deb")
    )


def _dnf(
    repositories: Sequence[PackageRepository],
    names: Iterable[str],
    distro: str,
    machine: str,
    version: str,
) -> str:
    words: list[str] = []
    for item in repositories:
        uri = fill(item.uri, distro, machine)
        words += [f"--repofrompath={item.id},{uri}", f"--setopt={item.id}.module_hotfixes=1"]
    return (
        "\n# The plugin is in dnf-plugins-core. Each package's signature is checked on the server.\n"
        'dnf -y download --resolve --alldeps --destdir "$folder" \\\n'
        f"    {shlex.join(words)} \\\n    {shlex.join(map(nevra, names))}\n"
        + _SUMS.format(pattern="*.rpm")
    )


def _zypper(
    repositories: Sequence[PackageRepository],
    names: Iterable[str],
    distro: str,
    machine: str,
    version: str,
) -> str:
    adds = "".join(
        f'rpm --import "$folder/RPM-GPG-KEY-{item.id}"\n'
        f"zypper --non-interactive addrepo --refresh {shlex.quote(fill(item.uri, distro, machine))} "
        f"gpu-bringup-{item.id}\n"
        for item in repositories
    )
    removes = "".join(f"zypper removerepo gpu-bringup-{item.id}\n" for item in repositories)
    return (
        "\n# As root. zypper fetches what this machine lacks: use one that is installed as the server is.\n"
        f"{adds}"
        'zypper --non-interactive --pkg-cache-dir "$work/cache" install --download-only --no-recommends '
        f"--auto-agree-with-licenses \\\n    {shlex.join(names)}\n"
        f"{removes}"
        "find \"$work/cache\" -name '*.rpm' -exec mv {} \"$folder/\" ';'\n"
        + _SUMS.format(pattern="*.rpm")
    )


# dnf and zypper don't need the version: their names carry it.
_FETCH = {"apt": _apt, "dnf": _dnf, "zypper": _zypper}


def packages_script(
    plan: Plan, target: Target, catalogue: Catalogue, manager: str, os: OsFacts, distro: str
) -> str:
    """The script's text.

    Args:
        plan: whose packages are fetched.
        manager: "apt", "dnf" or "zypper".
        os: of the server.
        distro: NVIDIA's name of it ("debian13").

    Raises:
        RefusedError: the plan installs nothing, or a repository's key isn't known.
    """
    names = _names(plan)
    if not names:
        raise RefusedError(
            "this plan installs no packages, so there are none to fetch",
            meaning="Nothing was written and nothing was changed.",
            hint="gpu-bringup plan shows what it does.",
        )
    form = "apt" if manager == "apt" else "rpm"
    repositories = _repositories(target, catalogue, form)
    own = [name for name in target.package.components if name not in ("main",)]
    needs = (
        f"#    It must have {', '.join(own)} switched on in its package sources.\n" if own else ""
    )
    more = " [COPY OF THE SERVER'S /var/lib/dpkg/status]" if manager == "apt" else ""
    head = _HEAD.format(
        system=os.name or f"{os.id} {os.version}",
        machine=os.arch,
        driver=f"{target.driver.version} {target.driver.flavour.value}",
        kernels=", ".join(target.kernels) or "not named",
        script="fetch-packages.sh",
        more=more,
        needs=needs,
        names="\n".join(f"#   {re.sub('[^ -~]', '?', name)}" for name in names),
    )
    keys = _keys(repositories, distro, os.arch)
    return (
        head + keys + _FETCH[manager](repositories, names, distro, os.arch, target.driver.version)
    )
