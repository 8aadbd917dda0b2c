#!/usr/bin/env bash
# NVIDIA's repository, stood in for by a local one with packages of the real names: adding it with a
# pinned key, the trial build, the installation, and the refusal of a key that isn't the pinned one.
#
#   sudo tests/rig/nvidia-repository.sh [BASE]
#
# BASE: a minimal Debian 13 root file system to copy (made with mmdebstrap when not given).
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/rig/lib.sh
. "$here/lib.sh"
[ "$(id -u)" = 0 ] || { echo "this rig needs root: sudo $0" >&2; exit 4; }
work=${RIG_DIR:-$(mktemp -d /var/tmp/gpu-bringup-rig.XXXXXX)}
root=$work/nvidia-repository
failures=0
expect() {
    local text=$1
    shift
    if "$@"; then echo "  ok      $text"; else echo "  FAILED  $text"; failures=$((failures + 1)); fi
}

echo "=== making the file system"
if [ -n "${1:-}" ]; then cp -a --reflink=auto "$1" "$root"; else rig_make trixie "$root" >"$work/make.log" 2>&1; fi
rig_enter "$root" apt-get update -q >"$work/apt.log" 2>&1
rig_enter "$root" apt-get install -y -q --no-install-recommends linux-image-amd64 python3 python3-venv \
    ca-certificates dpkg-dev apt-utils gnupg >>"$work/apt.log" 2>&1
kernel=$(basename "$(echo "$root"/lib/modules/*)")
rig_checkout "$root" /opt/gpu-bringup

echo "=== making the repository"
version=580.178.04
repo=$root/srv/repository/debian13/x86_64
mkdir -p "$repo" "$root/srv/profiles"
package() { # package NAME DEPENDS [FOLDER]: a .deb of that name with a folder's files
    local name=$1 depends=$2 files=${3:-} build
    build=$(mktemp -d "$root/srv/build.XXXXXX")
    [ -z "$files" ] || cp -a "$files/." "$build/"
    mkdir -p "$build/DEBIAN"
    cat >"$build/DEBIAN/control" <<CONTROL
Package: $name
Version: $version-1
Architecture: amd64
Maintainer: Rig <rig@example.org>
Depends: $depends
Description: stand-in for NVIDIA's $name
CONTROL
    if [ "$name" = nvidia-kernel-open-dkms ]; then
        cat >"$build/DEBIAN/postinst" <<'POSTINST'
#!/bin/sh
set -e
dkms add -m nvidia -v 580.178.04 2>/dev/null || true
for kernel in /lib/modules/*/build; do
    [ -e "$kernel" ] || continue
    kernel=$(basename "$(dirname "$kernel")")
    dkms install -m nvidia -v 580.178.04 -k "$kernel" --force
done
POSTINST
        chmod 0755 "$build/DEBIAN/postinst"
    fi
    chmod 0755 "$build"
    rig_enter "$root" dpkg-deb -b "${build#"$root"}" "${repo#"$root"}/${name}_$version-1_amd64.deb" >/dev/null
    rm -rf "$build"
}
source=$(mktemp -d "$root/srv/source.XXXXXX")
mkdir -p "$source/usr/src/nvidia-$version"
cp "$here"/module/nvidia.c "$here"/module/Makefile "$source/usr/src/nvidia-$version/"
{
    printf 'PACKAGE_NAME="nvidia"\nPACKAGE_VERSION="%s"\nAUTOINSTALL="yes"\n' "$version"
    # shellcheck disable=SC2016  # dkms fills it in
    printf 'MAKE[0]="make modules KERNEL_UNAME=${kernelver}"\nCLEAN="true"\n'
    number=0
    for module in nvidia nvidia-uvm nvidia-modeset nvidia-drm nvidia-peermem; do
        printf 'BUILT_MODULE_NAME[%s]="%s"\nDEST_MODULE_LOCATION[%s]="/updates/dkms"\n' "$number" "$module" "$number"
        number=$((number + 1))
    done
} >"$source/usr/src/nvidia-$version/dkms.conf"
package nvidia-kernel-open-dkms "dkms, make" "$source"
libraries=$(mktemp -d "$root/srv/libraries.XXXXXX")
mkdir -p "$libraries/usr/lib/x86_64-linux-gnu"
for library in libcuda libnvidia-ml; do
    : >"$libraries/usr/lib/x86_64-linux-gnu/$library.so.$version"
    ln -s "$library.so.$version" "$libraries/usr/lib/x86_64-linux-gnu/$library.so.1"
done
package nvidia-driver-cuda "nvidia-kernel-open-dkms (= $version-1), nvidia-modprobe, nvidia-persistenced" "$libraries"
package nvidia-modprobe libc6
package nvidia-persistenced libc6
package nvidia-driver-pinning-580 libc6
rm -rf "$source" "$libraries"
# shellcheck disable=SC2016  # the inner shell expands
rig_enter "$root" sh -ec '
    export GNUPGHOME=/srv/gnupg
    mkdir -m 0700 "$GNUPGHOME"
    for who in vendor stranger; do
        gpg --batch --quiet --passphrase "" --quick-gen-key "$who <$who@example.org>" rsa3072 sign never
    done
    cd /srv/repository/debian13/x86_64
    apt-ftparchive packages . >Packages
    apt-ftparchive release . >Release
    gpg --batch --quiet --local-user vendor --clearsign -o InRelease Release
    gpg --armor --export vendor >key.pub
    gpg --armor --export stranger >/srv/stranger.pub
    gpg --with-colons --list-keys vendor | sed -n "s/^fpr:*\([0-9A-F]*\):/\1/p" | head -n 1 >/srv/fingerprint
' >/dev/null 2>&1
fingerprint=$(cat "$root/srv/fingerprint")
cat >"$root/srv/profiles/repository.toml" <<PROFILE
[[repository]]
id = "nvidia-cuda-debian13"
name = "Mirror of NVIDIA's repository"
uri = "file:///srv/repository/{distro}/{arch}/"
suite = "/"
key_uri = "file:///srv/repository/{distro}/{arch}/key.pub"
fingerprints = ["$fingerprint"]
sources = ["nvidia-repository"]
PROFILE
wish=(--gpu H200 --scenario long-term-stable --source nvidia-repository --kernel "$kernel" --profiles /srv/profiles)
tool=/opt/gpu-bringup/scripts/gpu-bringup

echo "=== a key that isn't the pinned one"
mv "$repo/key.pub" "$root/srv/key.pub"
cp "$root/srv/stranger.pub" "$repo/key.pub"
status=0
rig_enter "$root" $tool apply "${wish[@]}" --yes >"$work/stranger.log" 2>&1 || status=$?
tail -n 5 "$work/stranger.log" | sed 's/^/  /'
expect "it is refused (exit status $status)" [ "$status" != 0 ]
expect "the host has no such repository" [ ! -e "$root/etc/apt/sources.list.d/gpu-bringup-nvidia-cuda-debian13.sources" ]
mv "$root/srv/key.pub" "$repo/key.pub"

echo "=== apply"
status=0
rig_enter "$root" $tool apply "${wish[@]}" --yes >"$work/apply.log" 2>&1 || status=$?
grep -vE '^(Get:|Selecting|Preparing|Unpacking|Setting up|\(Reading)' "$work/apply.log" | tail -n 40
expect "it ends with 0 (exit status $status)" [ "$status" = 0 ]
expect "five modules" [ "$(rig_enter "$root" sh -c "ls /lib/modules/$kernel/updates/dkms/nvidia*" | wc -l)" = 5 ]
expect "signed" [ "$(rig_enter "$root" sh -c "modinfo -F signer /lib/modules/$kernel/updates/dkms/nvidia.ko*")" = "DKMS module signing key" ]
expect "dpkg --audit is clean" [ -z "$(rig_enter "$root" dpkg --audit)" ]
expect "the branch is pinned" sh -c "chroot '$root' dpkg-query -W nvidia-driver-pinning-580 >/dev/null 2>&1"
rig_enter "$root" $tool apply "${wish[@]}" --yes >"$work/again.log" 2>&1 || true
expect "a second apply finds nothing to do" grep -q "Nothing to do" "$work/again.log"

echo "=== undo"
rig_enter "$root" $tool undo --yes >"$work/undo.log" 2>&1 || true
tail -n 3 "$work/undo.log" | sed 's/^/  /'
expect "the driver is gone" sh -c "! chroot '$root' dpkg-query -W -f '\${Status}\n' nvidia-kernel-open-dkms 2>/dev/null | grep -q '^install ok'"
expect "the repository is gone" [ ! -e "$root/etc/apt/sources.list.d/gpu-bringup-nvidia-cuda-debian13.sources" ]
expect "dpkg --audit is clean" [ -z "$(rig_enter "$root" dpkg --audit)" ]
echo "=== logs are in $work"
[ "$failures" = 0 ] && echo "=== all as it must be"
exit "$((failures > 0))"
