#!/usr/bin/env bash
# The kill matrix: each step of a real plan x what can happen in the middle of it. After one restart of
# the tool the server must be exactly what an undisturbed run makes of it.
#
#   sudo tests/rig/kill-matrix.sh [CELL...]     CELL: a part of a cell's name, as "driver" or "power"
#
# Environment: RIG_CACHE  folder that keeps the base (default: /var/tmp/gpu-bringup-kill)
#              RIG_JOBS   cells at a time (default: 2)
#              RIG_KEEP=1 keep what a failed cell left
#              RIG_LOCK   a lock file (flock) shared with other heavy work on this machine: it is held
#                         for some cells at a time and then offered to whoever else waits for it
# Needs root, an overlay file system, mmdebstrap and iproute2. The network is asked only while the base
# is made: it then has a package archive of its own. Packages, dkms, keys, initramfs, sshd are real; the
# driver is a small stand-in under the real packages' names.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/rig/lib.sh
. "$here/lib.sh"
# shellcheck source=tests/rig/faults/packages.sh
. "$here/faults/packages.sh"
# shellcheck source=tests/rig/kill/base.sh
. "$here/kill/base.sh"
[ "$(id -u)" = 0 ] || { echo "this rig needs root: sudo $0" >&2; exit 4; }
# All mounts are this script's own and vanish with it.
if [ -z "${KILL_OWN_MOUNTS:-}" ]; then
    exec env KILL_OWN_MOUNTS=1 unshare --mount --propagation private bash "${BASH_SOURCE[0]}" "$@"
fi
cache=${RIG_CACHE:-/var/tmp/gpu-bringup-kill}
mkdir -p "$cache"
if [ ! -d "$cache/base" ]; then
    command -v mmdebstrap >/dev/null || { echo "needs mmdebstrap: apt-get install mmdebstrap" >&2; exit 4; }
    echo "=== making the base in $cache/base (some minutes, once)"
    rm -rf --one-file-system "$cache/base.new"
    kill_base "$cache/base" "$cache/base.log" &
    wait $! || { tail -n 20 "$cache/base.log" >&2; exit 1; }
fi
# This checkout, as a layer above the base: the base stays what it was made as.
code=$(mktemp -d "$cache/code.XXXXXX")
chmod 0755 "$code"
trap 'rm -rf --one-file-system "$code"' EXIT
rig_checkout "$code" /opt/gpu-bringup
status=0
python3 -B "$here/kill/matrix.py" --cache "$cache" --code "$code" --jobs "${RIG_JOBS:-2}" \
    ${RIG_KEEP:+--keep} "$@" || status=$?
exit "$status"
