#!/usr/bin/env bash
# What real commands answer in a Debian 13 root file system, for the test of the simulated host:
# writes tests/cases/conformance/debian13.json, which tests/unit/test_simulated_conformance.py replays.
#
#   sudo tests/rig/conformance.sh [GROUP...]      (tests/conformance.py has the groups)
#
# Environment: RIG_CACHE  folder with the healthy base that tests/rig/faults.sh made
#                         (default: /var/tmp/gpu-bringup-faults)
#              RIG_PYTHON a Python that can import this checkout (default: python3)
# The base is not changed: each group works in a layer of its own, which is thrown away.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
[ "$(id -u)" = 0 ] || { echo "this rig needs root: sudo $0" >&2; exit 4; }
cache=${RIG_CACHE:-/var/tmp/gpu-bringup-faults}
[ -d "$cache/base/etc" ] || { echo "no base in $cache: run tests/rig/faults.sh first" >&2; exit 4; }
# All mounts are this script's own and vanish with it.
exec unshare --mount --propagation private \
    env PYTHONPATH="$here/../../tui:$here/.." "${RIG_PYTHON:-python3}" "$here/conformance/capture.py" "$cache" "$@"
