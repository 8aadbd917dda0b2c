#!/usr/bin/env bash
# An exported script on a real Debian 12: it refuses another kernel, adds a repository with a pinned
# key, obeys the branch pin, installs stand-ins of NVIDIA's packages, and names the step it stops at.
# Nothing is compiled; about a minute.
#
#   sudo tests/rig/exported-script.sh [BASE]
#
# BASE: a minimal Debian 12 root file system to copy (made with mmdebstrap when not given).
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/rig/lib.sh
. "$here/lib.sh"
[ "$(id -u)" = 0 ] || { echo "this rig needs root: sudo $0" >&2; exit 4; }
work=${RIG_DIR:-$(mktemp -d /var/tmp/gpu-bringup-rig.XXXXXX)}
root=$work/exported-script
kernel=6.1.0-50-amd64
failures=0
expect() {
    local text=$1
    shift
    if "$@"; then echo "  ok      $text"; else echo "  FAILED  $text"; failures=$((failures + 1)); fi
}

if [ -n "${1:-}" ]; then cp -a --reflink=auto "$1" "$root"; else rig_make bookworm "$root" >"$work/make.log" 2>&1; fi
repo=$root/srv/nv/debian12/x86_64
mkdir -p "$repo" "$root/lib/modules/$kernel" "$work/profiles"

stand_in() { # stand_in NAME VERSION [FILE-TO-HOLD]
    local build
    build=$(mktemp -d "$work/build.XXXXXX")
    mkdir "$build/DEBIAN"
    printf 'Package: %s\nVersion: %s\nArchitecture: amd64\nMaintainer: Rig <rig@example.org>\nDescription: stand-in\n' \
        "$1" "$2" >"$build/DEBIAN/control"
    if [ -n "${3:-}" ]; then
        mkdir -p "$build$(dirname "$3")"
        printf 'Package: src:*nvidia*:any\nPin: version 580.*\nPin-Priority: 1000\n' >"$build$3"
    fi
    chmod 0755 "$build"
    dpkg-deb --root-owner-group -b "$build" "$repo/$1_$2.deb" >/dev/null
}
for name in nvidia-driver-cuda nvidia-kernel-open-dkms nvidia-persistenced nvidia-fabricmanager; do
    stand_in "$name" 580.178.04-1
    stand_in "$name" 620.1.1-1
done
stand_in nvidia-driver-pinning-580 1-1 /etc/apt/preferences.d/nvidia-driver-pinning-580
stand_in "linux-headers-$kernel" 99
stand_in linux-headers-amd64 99
export GNUPGHOME=$work/gnupg
mkdir -m 0700 "$GNUPGHOME"
gpg --batch --quiet --passphrase '' --quick-gen-key 'vendor <vendor@example.org>' rsa3072 sign never 2>/dev/null
(
    cd "$repo"
    dpkg-scanpackages -m . >Packages 2>/dev/null
    printf 'Date: %s\nSHA256:\n %s %s Packages\n' "$(date -Ru)" \
        "$(sha256sum Packages | cut -d' ' -f1)" "$(stat -c %s Packages)" >Release
    gpg --batch --clearsign -o InRelease Release
    gpg --armor --export >key.pub
)
fingerprint=$(gpg --with-colons --list-keys | sed -n 's/^fpr:*\([0-9A-F]*\):/\1/p' | head -n 1)
gpgconf --kill all
cat >"$work/profiles/repository.toml" <<PROFILE
[[repository]]
id = "nvidia-cuda"
name = "Mirror of NVIDIA's repository"
format = "apt"
uri = "file:///srv/nv/{distro}/{arch}/"
suite = "/"
key_uri = "file:///srv/nv/{distro}/{arch}/key.pub"
fingerprints = ["$fingerprint"]
sources = ["nvidia-repository"]
PROFILE
# The rig's kernel is the host's: what the script asks for its name answers for Debian's.
cat >"$root/usr/sbin/uname" <<'UNAME'
#!/bin/sh
case $* in -r) echo "${RIG_KERNEL:-6.1.0-50-amd64}" ;; *) exec /usr/bin/uname "$@" ;; esac
UNAME
chmod 0755 "$root/usr/sbin/uname"
gpus=()
for _ in 1 2 3 4 5 6 7 8; do gpus+=(--gpu H100); done
"$here/../../scripts/gpu-bringup" plan --os debian:12 "${gpus[@]}" --kernel "$kernel" --driver 580 \
    --source nvidia-repository --secure-boot off --profiles "$work/profiles" --format shell \
    -o "$root/root/plan.sh" 2>"$work/plan.log"

status=0
rig_enter "$root" env RIG_KERNEL=6.1.0-51-amd64 sh /root/plan.sh >"$work/other.log" 2>&1 || status=$?
expect "another kernel is refused with 4 ($status)" [ "$status" = 4 ]
expect "nothing was written" [ ! -e "$root/var/lib/gpu-bringup" ]
expect "--check knows its host" rig_enter "$root" sh /root/plan.sh --check

for run in first second; do
    status=0
    rig_enter "$root" sh /root/plan.sh >"$work/$run.log" 2>&1 || status=$?
    # A root file system without a kernel has no update-initramfs: there the script must stop.
    expect "the $run run stops at the initramfs ($status)" \
        grep -q "Stopped at step .*, initramfs-$kernel" "$work/$run.log"
done
expect "nothing is written twice" [ "$(grep -c '^wrote:' "$work/second.log")" = 0 ]
# shellcheck disable=SC2016 # dpkg-query fills it in
version() { rig_enter "$root" dpkg-query -W -f '${Version}' "$1"; }
expect "the branch is pinned" [ "$(version nvidia-driver-cuda)" = 580.178.04-1 ]
status=0
rig_enter "$root" sh /root/plan.sh --from fabric-software >"$work/fabric.log" 2>&1 || status=$?
expect "the fabric manager has the module's version" [ "$(version nvidia-fabricmanager)" = 580.178.04-1 ]
[ "$failures" = 0 ] || { echo "$failures failed; logs in $work" >&2; exit 1; }
rm -rf --one-file-system "$work"
