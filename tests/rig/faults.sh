#!/usr/bin/env bash
# Faults made for real in a Debian root file system: `check` must name each, `apply` must repair it,
# and `check` must be content afterwards, with nothing left to plan.
#
#   sudo tests/rig/faults.sh [FAULT...]      (tests/rig/faults.sh --list names them)
#
# Environment: RIG_CACHE  folder that keeps the healthy base (default: /var/tmp/gpu-bringup-faults)
#              RIG_BASE   a minimal Debian 13 to start from (default: made with mmdebstrap)
#              RIG_KEEP=1 keep the layers of failed faults, to look into them
#              RIG_LOCK   a lock file (flock) shared with other heavy work on this machine
# Needs root, an overlay file system and mmdebstrap; nothing but the host's package archive is asked.
# Packages, kernels, headers, dkms, keys, signatures and images are real. The driver is a small
# stand-in under the real packages' names. What only firmware tells (EFI variables) is a file put in
# front of the host's: such rows are marked "shadowed", the others "live".
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/rig/lib.sh
. "$here/lib.sh"
# shellcheck source=tests/rig/faults/packages.sh
. "$here/faults/packages.sh"
# shellcheck source=tests/rig/faults/base.sh
. "$here/faults/base.sh"
# shellcheck source=tests/rig/faults/enter.sh
. "$here/faults/enter.sh"
# shellcheck source=tests/rig/faults/make.sh
. "$here/faults/make.sh"

if [ "${1:-}" = --list ]; then
    printf '%s\n' "${FAULTS[@]%%|*}"
    exit 0
fi
[ "$(id -u)" = 0 ] || { echo "this rig needs root: sudo $0" >&2; exit 4; }
command -v mmdebstrap >/dev/null || [ -n "${RIG_BASE:-}" ] ||
    { echo "needs mmdebstrap: apt-get install mmdebstrap" >&2; exit 4; }
# All mounts are this script's own and vanish with it.
if [ -z "${FAULTS_OWN_MOUNTS:-}" ]; then
    exec env FAULTS_OWN_MOUNTS=1 unshare --mount --propagation private bash "${BASH_SOURCE[0]}" "$@"
fi

cache=${RIG_CACHE:-/var/tmp/gpu-bringup-faults}
mkdir -p "$cache/layers"
if [ ! -d "$cache/base" ]; then
    rig_turn
    echo "=== making the healthy base in $cache/base (some minutes, once)"
    rm -rf --one-file-system "$cache/base.new"
    make_base "$cache/base" "$cache/base.log" || { tail -n 20 "$cache/base.log" >&2; exit 1; }
fi
newest=$(cat "$cache/base/srv/newest")
# shellcheck disable=SC2034  # make.sh uses it
older=$(cat "$cache/base/srv/older")
# This checkout, as a layer between base and faults: the base stays what it was made as.
code=$(mktemp -d "$cache/code.XXXXXX")
layer=
results=$(mktemp "$cache/results.XXXXXX")
trap '[ -z "${layer:-}" ] || layer_close "$layer"; rm -rf --one-file-system "$code" "$results"' EXIT
rig_checkout "$code" /opt/gpu-bringup
tool=/opt/gpu-bringup/scripts/gpu-bringup
failures=0

# ask NAME COMMAND...: gpu-bringup's answer into NAME, its exit status into $status.
ask() {
    local into=$1
    shift
    status=0
    in_layer "$layer" "$tool" "$@" >"$into" 2>"$into.messages" || status=$?
}

judge() { # judge WHAT FILE...: what the answer says, read with the rig's own Python
    local file=$layer/root/srv/answer.json
    cp "$2" "$file"
    in_layer "$layer" python3 /opt/gpu-bringup/tests/rig/faults/judge.py "$1" /srv/answer.json "${@:3}"
}

milliseconds() { date +%s%3N; }

# run_fault NAME CAUSE KIND SOURCE DRIVER: make it, find it, mend it, look again, plan again.
run_fault() {
    local name=$1 expected=$2 kind=$3 source=$4 driver=$5 wanted started diagnosis repair verdict=ok found rest left log
    mapfile -t wanted < <(wish "$newest" "$source" "$driver")
    layer=$cache/layers/$name
    rm -rf --one-file-system "$layer"
    layer_open "$code:$cache/base" "$layer"
    log=$cache/$name
    if ! (set -e; "make_$(tr - _ <<<"$name")") >"$log.make" 2>&1; then
        echo "$name: the fault could not be made; see $log.make" >&2
        tail -n 5 "$log.make" >&2
        printf '%s|%s|-|-|%s|NOT MADE\n' "$name" "$expected" "$kind" >>"$results"
        failures=$((failures + 1))
        close_fault 1
        return 0
    fi
    # Once unseen, so that the time is the wizard's, not that of Python compiling itself.
    ask "$log.check.json" check "${wanted[@]}" --json
    started=$(milliseconds)
    ask "$log.check.json" check "${wanted[@]}" --json
    diagnosis=$(($(milliseconds) - started))
    found=$(judge cause "$log.check.json" || echo "no answer, exit status $status")
    judge named "$log.check.json" "$expected" || verdict="wrong cause"
    started=$(milliseconds)
    ask "$log.apply" apply "${wanted[@]}" --yes
    repair=$(($(milliseconds) - started))
    [ "$status" = 0 ] || verdict="$verdict, apply: exit status $status"
    ask "$log.after.json" check "${wanted[@]}" --json
    if [ "$status" != 0 ]; then
        rest=$(judge rest "$log.after.json" | head -n 1)
        verdict="$verdict, afterwards: ${rest:-exit status $status}"
    fi
    ask "$log.plan.json" plan "${wanted[@]}" --json
    left=$(judge steps "$log.plan.json" | tr '\n' ' ')
    [ -z "$left" ] || verdict="$verdict, still planned: $left"
    if declare -F "after_$(tr - _ <<<"$name")" >/dev/null; then
        "after_$(tr - _ <<<"$name")" >"$log.afterwards" 2>&1 || verdict="$verdict, $(tail -n 1 "$log.afterwards")"
    fi
    printf '%s|%s|%s|%s.%s|%s|%s\n' "$name" "$found" "$diagnosis" "$((repair / 1000))" \
        "$((repair % 1000 / 100))" "$kind" "${verdict#ok, }" >>"$results"
    tail -n 1 "$results"
    [ "$verdict" = ok ] || failures=$((failures + 1))
    close_fault "$([ "$verdict" = ok ] && echo 0 || echo 1)"
}

close_fault() { # close_fault FAILED
    if [ "$1" = 1 ] && [ -n "${RIG_KEEP:-}" ]; then
        mkdir -p "$cache/kept"
        rm -rf --one-file-system "${cache:?}/kept/$(basename "$layer")"
        cp -a "$layer/upper" "$cache/kept/$(basename "$layer")"
    fi
    layer_close "$layer"
    layer=
}

for entry in "${FAULTS[@]}"; do
    IFS='|' read -r name cause kind source driver <<<"$entry"
    if [ $# -gt 0 ]; then
        case " $* " in *" $name "*) ;; *) continue ;; esac
    elif [[ $name == *-real ]]; then
        continue
    fi
    rig_turn
    run_fault "$name" "$cause" "$kind" "${source:-}" "${driver:-}"
done
rig_turn_over
echo
{
    echo 'FAULT|ROOT CAUSE (RUNG)|FOUND IN ms|MENDED IN s|HOST|VERDICT'
    cat "$results"
} | awk -F'|' '{for (i = 1; i <= NF; i++) {cell[NR, i] = $i; if (length($i) > width[i]) width[i] = length($i)}; columns = NF}
    END {for (row = 1; row <= NR; row++) {for (i = 1; i < columns; i++) printf "%-*s  ", width[i], cell[row, i]; print cell[row, columns]}}'
echo "=== logs are in $cache"
exit "$((failures > 0))"
