#!/usr/bin/env bash
# dnf's version locks for real: the branch lock of Enterprise Linux 10 and the hold of a whole set.
#
#   tests/rig/dnf-versionlock.sh
#
# On Debian the plugin's package can't be installed beside zypper, so it is only unpacked into a
# folder. Needs dnf, rpmbuild, createrepo_c, dpkg-deb and the package archive; changes nothing here.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../.." && pwd)
work=${RIG_DIR:-$(mktemp -d /var/tmp/gpu-bringup-rig.XXXXXX)}
python=${PYTHON:-python3}
failures=0
expect() {
    local text=$1
    shift
    if "$@"; then echo "  ok      $text"; else echo "  FAILED  $text"; failures=$((failures + 1)); fi
}
offers() { # offers VERSION PACKAGE...: would this transaction bring that version?
    local version=$1
    shift
    { dnf_here install --assumeno "$@" || true; } 2>&1 | grep -q " 3:$version-"
}
shut_out() { ! offers "$@"; }

echo "=== making packages, and unpacking the plugin"
mkdir -p "$work/spec" "$work/repos" "$work/plugins" "$work/root/var/log" "$work/deb"
package() { # package NAME VERSION MORE
    printf 'Name: %s\nVersion: %s\nRelease: 1.el10\nEpoch: 3\nSummary: s\nLicense: none\nBuildArch: x86_64\nAutoReqProv: no\n%s\n%%description\ns\n%%files\n' \
        "$1" "$2" "$3" >"$work/spec/$1-$2.spec"
}
for version in 580.126.09 580.178.04 595.91.07; do
    package nvidia-driver-cuda "$version" "Requires: nvidia-kmod = 3:$version"
    package kmod-nvidia-open-dkms "$version" "Provides: nvidia-kmod = 3:$version"
done
rpmbuild --quiet --target x86_64 -bb "$work"/spec/*.spec --define "_topdir $work/build" \
    --define "_rpmdir $work/repo" >"$work/rpmbuild.log" 2>&1
createrepo_c -q "$work/repo"
(cd "$work/deb" && apt-get download -q dnf-plugins-core >/dev/null && dpkg-deb -x ./*.deb .)
printf '[main]\nenabled = 1\nlocklist = %s/locks\n' "$work" >"$work/plugins/versionlock.conf"
: >"$work/locks"
printf '[local]\nname=local\nbaseurl=file://%s/repo\nenabled=1\ngpgcheck=0\n' "$work" >"$work/repos/local.repo"
dnf_here() {
    LC_ALL=C PYTHONPATH="$work/deb/usr/lib/python3/dist-packages" dnf --installroot="$work/root" --releasever=10 --setopt=reposdir="$work/repos" \
        --setopt=cachedir=/var/cache/dnf --setopt=logdir=/var/log --setopt=plugins=1 \
        --setopt=pluginpath="$work/deb/usr/lib/python3/dist-packages/dnf-plugins" \
        --setopt=pluginconfpath="$work/plugins" "$@"
}
command_of() { # command_of EXPRESSION: its words after "dnf", one a line
    PYTHONPATH=$top/tui "$python" -c "
from gpu_bringup.families.dnf import Dnf
print(*$1.argv[1:], sep='\n')"
}

echo "=== an older release of the branch is installed"
dnf_here -y install nvidia-driver-cuda-580.126.09 kmod-nvidia-open-dkms-580.126.09 >"$work/dnf.log" 2>&1
mapfile -t lock < <(command_of 'Dnf(4).hold_branch("580")[0]')
mapfile -t unlock < <(command_of 'Dnf(4).hold_branch("580")[1]')
dnf_here "${lock[@]}" >>"$work/dnf.log" 2>&1
expect "the branch's newest release can be installed" offers 580.178.04 nvidia-driver-cuda-580.178.04
expect "another branch is shut out" shut_out 595.91.07 nvidia-driver-cuda-595.91.07
dnf_here "${unlock[@]}" >>"$work/dnf.log" 2>&1
expect "without the lock it is offered" offers 595.91.07 nvidia-driver-cuda-595.91.07

echo "=== the whole set is held"
mapfile -t hold < <(command_of 'Dnf(4).hold(("nvidia-driver-cuda", "kmod-nvidia-open-dkms"))')
mapfile -t unhold < <(command_of 'Dnf(4).unhold(("nvidia-driver-cuda", "kmod-nvidia-open-dkms"))')
dnf_here "${hold[@]}" >>"$work/dnf.log" 2>&1
expect "not even a release of the same branch moves it" shut_out 580.178.04 nvidia-driver-cuda-580.178.04
dnf_here "${unhold[@]}" >>"$work/dnf.log" 2>&1
expect "released, it moves" offers 580.178.04 nvidia-driver-cuda-580.178.04
expect "no lock is left" test ! -s <(sed '/^#/d;/^$/d' "$work/locks")

echo "=== $failures failures; logs in $work"
[ "$failures" = 0 ]
