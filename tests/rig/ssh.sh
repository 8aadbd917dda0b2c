#!/usr/bin/env bash
# A run over a real SSH connection that is cut in the middle: it goes on by itself, a second session sees
# it and is there at its end; terminals of several kinds are followed without damage.
#
#   sudo tests/rig/ssh.sh
#
# Environment: RIG_CACHE  folder that keeps the base (default: /var/tmp/gpu-bringup-kill; kill-matrix.sh
#              uses the same)
# Needs root, an overlay file system, mmdebstrap and iproute2.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/rig/lib.sh
. "$here/lib.sh"
# shellcheck source=tests/rig/faults/packages.sh
. "$here/faults/packages.sh"
# shellcheck source=tests/rig/kill/base.sh
. "$here/kill/base.sh"
[ "$(id -u)" = 0 ] || { echo "this rig needs root: sudo $0" >&2; exit 4; }
if [ -z "${KILL_OWN_MOUNTS:-}" ]; then
    exec env KILL_OWN_MOUNTS=1 unshare --mount --propagation private bash "${BASH_SOURCE[0]}" "$@"
fi
cache=${RIG_CACHE:-/var/tmp/gpu-bringup-kill}
mkdir -p "$cache"
if [ ! -d "$cache/base" ]; then
    echo "=== making the base in $cache/base (some minutes, once)"
    rm -rf --one-file-system "$cache/base.new"
    kill_base "$cache/base" "$cache/base.log" &
    wait $! || { tail -n 20 "$cache/base.log" >&2; exit 1; }
fi
code=$(mktemp -d "$cache/code.XXXXXX")
chmod 0755 "$code"
trap 'rm -rf --one-file-system "$code"' EXIT
rig_checkout "$code" /opt/gpu-bringup
status=0
python3 -B "$here/kill/ssh.py" --cache "$cache" --code "$code" || status=$?
exit "$status"
