#!/usr/bin/env bash
# Virtual machines with UEFI, Secure Boot enforced and Microsoft's keys, in software emulation: the
# product brings each from a fresh Debian to a driver module that the kernel accepts, through the
# real wizard on the serial console, real reboots, the real MokManager and real power cuts.
#
#   sudo tests/rig/vm.sh [--suite bookworm|trixie]... [SCENARIO...]
#   sudo tests/rig/vm.sh --list      the scenarios
#   sudo tests/rig/vm.sh --build     only make what is cached
#
# Environment: RIG_CACHE  folder that keeps disks and states (default: /var/tmp/gpu-bringup-vm; 8 GB)
#              RIG_MIRROR, RIG_SECURITY  archive entries (default: those of this host's own sources)
#              RIG_LOCK   a file that is locked while a scenario runs, for rigs that share the cores
#              RIG_KEEP_STATES=1  begin with the states that an older checkout left as well
# Pictures of the serial console and logs: $RIG_CACHE/evidence-SUITE-SCENARIO (run/ for what failed).
# Needs root, the package archive, and from it: qemu-system-x86 qemu-utils ovmf mtools dosfstools fdisk
# e2fsprogs mmdebstrap openssh-client python3-pexpect python3-pyte. Needs no KVM, loop device or vfat.
# The driver is a stand-in under the real packages' names (tests/rig/module): compiling the real one
# would take the emulated machine most of an hour. dkms, kernels, keys, signatures, shim, GRUB and
# MokManager are the real ones.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/rig/lib.sh
. "$here/lib.sh"
# shellcheck source=tests/rig/faults/packages.sh
. "$here/faults/packages.sh"
# shellcheck source=tests/rig/vm/repository.sh
. "$here/vm/repository.sh"
# shellcheck source=tests/rig/vm/image.sh
. "$here/vm/image.sh"

if [ "${1:-}" = --list ]; then exec /usr/bin/python3 "$here/vm/run.py" --list; fi
[ "$(id -u)" = 0 ] || { echo "this rig needs root: sudo $0" >&2; exit 4; }
needed=()
for pair in qemu-system-x86_64:qemu-system-x86 qemu-img:qemu-utils mcopy:mtools mkfs.vfat:dosfstools \
    sfdisk:fdisk mke2fs:e2fsprogs mmdebstrap:mmdebstrap ssh:openssh-client; do
    command -v "${pair%:*}" >/dev/null || needed+=("${pair#*:}")
done
[ -e /usr/share/OVMF/OVMF_CODE_4M.secboot.fd ] || needed+=(ovmf)
for module in pexpect pyte; do /usr/bin/python3 -c "import $module" 2>/dev/null || needed+=("python3-$module"); done
if [ ${#needed[@]} -gt 0 ]; then
    echo "needs: apt-get install --no-install-recommends ${needed[*]}" >&2
    exit 4
fi

cache=${RIG_CACHE:-/var/tmp/gpu-bringup-vm}
# Of machines that live for minutes and can be reached from this host alone.
export VM_PASSWORD=rig-password
build=
suites=()
arguments=()
while [ $# -gt 0 ]; do
    case $1 in
    --suite) suites+=("$2") && shift ;;
    --build) build=only ;;
    *) arguments+=("$1") ;;
    esac
    shift
done
[ ${#suites[@]} -gt 0 ] || suites=(bookworm trixie)
mkdir -p "$cache"
[ -f "$cache/id" ] || ssh-keygen -q -t ed25519 -N '' -C rig -f "$cache/id"

# A function behind || would go on after its first failure: the end of this script tells of it instead.
log=
tell() {
    local status=$?
    if [ "$status" != 0 ] && [ -n "$log" ]; then tail -n 20 "$log" >&2; fi
}
trap tell EXIT

# fresh STAMP TEXT: is what the stamp says still so?
fresh() { [ -f "$1" ] && [ "$(cat "$1")" = "$2" ]; }
digest() { cat "$@" | sha256sum | cut -d' ' -f1; }

inputs=$(digest "$here"/faults/packages.sh "$here"/module/* "$here/vm/repository.sh")
if ! fresh "$cache/repository.stamp" "$inputs"; then
    start=$SECONDS
    log=$cache/repository.log
    vm_repository "$cache" "$log"
    echo "$inputs" >"$cache/repository.stamp"
    printf '%-44s %5d s\n' "stand-in packages made" $((SECONDS - start))
fi
for suite in "${suites[@]}"; do
    packages=$(declare -f vm_tree | digest)
    if ! fresh "$cache/$suite.tree.stamp" "$packages"; then
        start=$SECONDS
        log=$cache/$suite.tree.log
        vm_tree "$suite" "$cache/$suite.tree" >"$log" 2>&1
        echo "$packages" >"$cache/$suite.tree.stamp"
        printf '%-44s %5d s\n' "$suite: packages unpacked" $((SECONDS - start))
    fi
    inputs=$(digest "$here/vm/image.sh" "$here/../../scripts/constraints.txt" "$cache/repository.stamp" "$cache/id.pub")
    if ! fresh "$cache/$suite.stamp" "$inputs"; then
        start=$SECONDS
        rm -rf --one-file-system "$cache/$suite.root" "$cache/states/$suite"-*
        cp -a --reflink=auto "$cache/$suite.tree" "$cache/$suite.root"
        log=$cache/$suite.log
        vm_configure "$suite" "$cache/$suite.root" "$cache" >"$log" 2>&1
        vm_disk "$cache/$suite.root" "$cache/$suite.qcow2"
        rm -rf --one-file-system "$cache/$suite.root"
        echo "$inputs" >"$cache/$suite.stamp"
        printf '%-44s %5d s\n' "$suite: disk made" $((SECONDS - start))
    fi
done
log=
[ "$build" != only ] || exit 0
exec /usr/bin/python3 "$here/vm/run.py" --cache "$cache" --suites "${suites[*]}" -- "${arguments[@]}"
