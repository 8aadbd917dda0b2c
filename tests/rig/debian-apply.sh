#!/usr/bin/env bash
# Debian 12 and 13 root file systems, made fresh from today's archive: a real `apply` in each.
#
#   sudo tests/rig/debian-apply.sh [bookworm] [trixie]
#
# Environment: RIG_DIR   where the file systems are made (default: a new folder below /var/tmp)
#              RIG_KERNEL_<suite>   kernel release (default: the one that linux-image-amd64 brings)
#              RIG_GPU   GPU to plan for (default: H100)
# Prints what was tried, built and signed; fails when a file system doesn't end as it must.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/rig/lib.sh
. "$here/lib.sh"

[ "$(id -u)" = 0 ] || { echo "this rig needs root: sudo $0" >&2; exit 4; }
command -v mmdebstrap >/dev/null || { echo "needs mmdebstrap: apt-get install mmdebstrap" >&2; exit 4; }
suites=("$@")
[ ${#suites[@]} -gt 0 ] || suites=(bookworm trixie)
work=${RIG_DIR:-$(mktemp -d /var/tmp/gpu-bringup-rig.XXXXXX)}
mkdir -p "$work"
failures=0

expect() { # expect TEXT COMMAND...: run it, say whether it holds
    local text=$1
    shift
    if "$@"; then echo "  ok      $text"; else echo "  FAILED  $text"; failures=$((failures + 1)); fi
}

for suite in "${suites[@]}"; do
    root="$work/$suite"
    echo "=== $suite: making the file system in $root"
    start=$SECONDS
    rig_make "$suite" "$root" >"$work/$suite-make.log" 2>&1
    rig_enter "$root" apt-get update -q >"$work/$suite-apt.log" 2>&1
    variable="RIG_KERNEL_$suite"
    kernel=${!variable:-}
    if [ -z "$kernel" ]; then
        kernel=$(rig_enter "$root" apt-cache depends linux-image-amd64 | sed -n 's/.*Depends: linux-image-//p' | head -n 1)
    fi
    # The kernel itself, as an image has it; no headers, no compiler, no driver.
    rig_enter "$root" apt-get install -y -q --no-install-recommends \
        linux-image-amd64 "linux-image-$kernel" python3 python3-venv ca-certificates >>"$work/$suite-apt.log" 2>&1
    rig_checkout "$root" /opt/gpu-bringup
    echo "    $((SECONDS - start)) s; kernel $kernel"
    wish=(--gpu "${RIG_GPU:-H100}" --scenario long-term-stable --source distribution --kernel "$kernel")

    echo "=== $suite: apply"
    start=$SECONDS
    status=0
    rig_enter "$root" /opt/gpu-bringup/scripts/gpu-bringup apply "${wish[@]}" --yes \
        >"$work/$suite-apply.log" 2>&1 || status=$?
    grep -vE '^(Get:|Selecting|Preparing|Unpacking|Setting up|\(Reading)' "$work/$suite-apply.log" | tail -n 60
    echo "    $((SECONDS - start)) s, exit status $status"
    run=$(rig_enter "$root" sh -c 'ls -d /var/lib/gpu-bringup/runs/*/ | tail -n 1')
    journal="$root$run/journal.jsonl"
    modules=$(rig_enter "$root" sh -c "find /lib/modules/$kernel/updates -name 'nvidia*.ko*' | sort")
    echo "=== $suite: what was built and signed"
    for module in $modules; do
        printf '  %s\n' "$module"
        rig_enter "$root" modinfo "$module" | grep -E '^(version|license|signer|vermagic):' | sed 's/^/      /'
    done
    rig_enter "$root" dkms status | sed 's/^/  dkms: /'
    grep '"event": *"trial"' "$journal" | sed -n 's/.*"kind": *"\(result\|rejected\)".*"candidate": *"\([^"]*\)".*"text": *"\([^"]*\)".*/  \1: \2: \3/p'

    expect "apply ends with 0" [ "$status" = 0 ]
    expect "five modules for $kernel" [ "$(wc -l <<<"$modules")" = 5 ]
    signer=$(rig_enter "$root" sh -c "for m in $(echo "$modules" | tr '\n' ' '); do modinfo -F signer \$m; done" | sort -u)
    expect "all signed by one key ($signer)" [ "$signer" = "DKMS module signing key" ]
    expect "the key is 0600" [ "$(stat -c %a "$root/var/lib/dkms/mok.key")" = 600 ]
    expect "dpkg --audit is clean" [ -z "$(rig_enter "$root" dpkg --audit)" ]
    expect "a candidate was rejected before the first step" \
        sh -c "awk '/\"rejected\"/{r=NR} /\"step-started\"/{if(!s)s=NR} END{exit !(r && s && r<s)}' '$journal'"
    # dpkg also lists names that it merely knows of: only "ii" counts.
    desktop=$(rig_enter "$root" sh -c "dpkg-query -W -f '\${db:Status-Abbrev}\${Package}\n' 'xserver-xorg*' 'libgtk*' 'libgl1*' 2>/dev/null | grep '^ii' || true")
    expect "no desktop came along" [ -z "$desktop" ]

    echo "=== $suite: apply once more"
    status=0
    rig_enter "$root" /opt/gpu-bringup/scripts/gpu-bringup apply "${wish[@]}" --yes \
        >"$work/$suite-again.log" 2>&1 || status=$?
    sed 's/^/  /' "$work/$suite-again.log" | tail -n 5
    expect "it ends with 0" [ "$status" = 0 ]
    expect "it finds nothing to do" grep -q "Nothing to do" "$work/$suite-again.log"
    rig_enter "$root" /opt/gpu-bringup/scripts/gpu-bringup check "${wish[@]}" --json >"$work/$suite-check.json" || true
done
echo "=== logs are in $work"
[ "$failures" = 0 ] && echo "=== all as it must be"
exit "$((failures > 0))"
