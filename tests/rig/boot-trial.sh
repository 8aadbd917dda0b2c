#!/usr/bin/env bash
# A boot on trial, in a Debian 13 root file system with two kernels: the plan of the real program is
# taken with real GRUB tools, the unit is verified by systemd, and the judging script plays each end of a
# trial: passed, failed, never came up, taken back. The real reboots are the virtual machine's work.
#
#   sudo tests/rig/boot-trial.sh [BASE]
#
# BASE: a minimal Debian 13 root file system to copy (made with mmdebstrap when not given).
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/rig/lib.sh
. "$here/lib.sh"
[ "$(id -u)" = 0 ] || { echo "this rig needs root: sudo $0" >&2; exit 4; }
work=${RIG_DIR:-$(mktemp -d /var/tmp/gpu-bringup-rig.XXXXXX)}
root=$work/boot-trial
mkdir -p "$work"
failures=0
tool=/opt/gpu-bringup/scripts/gpu-bringup
script=/var/lib/gpu-bringup/bin/boot-trial.sh
old=6.12.107+deb13-amd64
new=6.12.115+deb13-amd64
expect() {
    local text=$1
    shift
    if "$@"; then echo "  ok      $text"; else echo "  FAILED  $text"; failures=$((failures + 1)); fi
}
inside() { rig_enter "$root" "$@"; }
environment() { inside grub-editenv /boot/grub/grubenv list; }
# shellcheck disable=SC2317,SC2329  # called by expect
says() { environment | grep -q "$1"; }
# shellcheck disable=SC2317,SC2329  # called by expect
silent() { ! says "$1"; }

echo "=== making the file system"
if [ -n "${1:-}" ]; then cp -a --reflink=auto "$1" "$root"; else rig_make trixie "$root" >"$work/make.log" 2>&1; fi
inside apt-get update -q >"$work/apt.log" 2>&1
inside apt-get install -y -q --no-install-recommends python3 python3-venv ca-certificates systemd kmod \
    grub-common grub2-common grub-pc-bin >>"$work/apt.log" 2>&1
rig_checkout "$root" /opt/gpu-bringup
inside $tool --version
# Kernels of which only the names matter here; this file system has no device of its own to be found.
for release in $old $new; do
    mkdir -p "$root/lib/modules/$release"
    touch "$root/boot/vmlinuz-$release" "$root/boot/initrd.img-$release"
    : >"$root/lib/modules/$release/modules.dep"
done
# shellcheck disable=SC2016  # the stand-in expands it
printf '#!/bin/sh\ncase "$*" in *fs_uuid*) echo 0f0f ;; *target=fs*) echo ext2 ;; *target=device*) echo /dev/rig ;; *) echo "" ;; esac\n' >"$root/usr/local/sbin/grub-probe"
chmod 0755 "$root/usr/local/sbin/grub-probe"
sed -i 's,/usr/sbin/grub-probe,/usr/local/sbin/grub-probe,' "$root"/usr/sbin/grub-mkconfig "$root"/usr/share/grub/grub-mkconfig_lib
mkdir -p "$root/boot/grub"
printf 'GRUB_DEFAULT=0\nGRUB_TIMEOUT=1\nGRUB_DISABLE_OS_PROBER=true\n' >"$root/etc/default/grub"
inside grub-editenv /boot/grub/grubenv create
inside update-grub >"$work/grub.log" 2>&1
cp "$root/boot/grub/grub.cfg" "$work/grub.cfg.before"
expect "both kernels are in GRUB's menu" [ "$(grep -c "menuentry .*\($old\|$new\)'" "$root/boot/grub/grub.cfg")" -ge 2 ]
expect "grub.cfg obeys a choice for one boot" grep -q next_entry "$root/boot/grub/grub.cfg"

set_up() { # the plan of the program, as its exported script, for a host on which the old kernel runs
    inside $tool record -o /srv/host.json >/dev/null 2>&1 || true
    inside python3 - <<PYTHON
import json
record = json.load(open("/srv/host.json"))
record["files"]["/proc/sys/kernel/osrelease"] = "$old\n"
record["commands"]["uname -r"] = {"exit": 0, "output": "$old\n"}
json.dump(record, open("/srv/host.json", "w"))
PYTHON
    inside $tool recover --host /srv/host.json --boot-trial $new --within 1 --check 'test -e /srv/good' --format shell \
        >"$root/srv/trial.sh" 2>"$work/words.log"
    # The export refuses another kernel than the plan's, and asks for the reboot: here only its steps.
    inside sh /srv/trial.sh >"$work/set-up.log" 2>&1 || true
}

echo "=== setting the trial up"
set_up
sed 's/^/    /' "$work/words.log"
environment | sed 's/^/    /'
expect "the old kernel is the default" says "saved_entry=.*$old"
expect "the new one is chosen for one boot" says "next_entry=.*$new"
# shellcheck disable=SC2016  # GRUB's variable
expect "grub.cfg boots what is saved" grep -q 'set default="${saved_entry}"' "$root/boot/grub/grub.cfg"
expect "the unit is enabled" [ -L "$root/etc/systemd/system/multi-user.target.wants/gpu-bringup-boot-trial.service" ]
inside systemd-analyze verify --man=no /etc/systemd/system/gpu-bringup-boot-trial.service >"$work/verify.log" 2>&1 || true
expect "systemd-analyze verify has nothing to say of it" [ -z "$(grep -i 'gpu-bringup' "$work/verify.log")" ]
cp -a --reflink=auto "$root" "$work/ready"
again() { rm -rf "$root"; cp -a --reflink=auto "$work/ready" "$root"; }

# The kernel's answer to the module: taken (there is no GPU), or refused.
answer() { printf '#!/bin/sh\necho "modprobe: ERROR: could not insert nvidia: %s" >&2\nexit 1\n' "$1" >"$root/usr/local/sbin/modprobe"; chmod 0755 "$root/usr/local/sbin/modprobe"; }
boots() { # boots RELEASE: what the unit runs; GRUB has used up the one-shot choice
    inside grub-editenv /boot/grub/grubenv unset next_entry
    inside env GPU_BRINGUP_RUNNING="$1" GPU_BRINGUP_REBOOT='touch /srv/rebooted' GPU_BRINGUP_PAUSE=1 sh $script check >>"$work/boots.log" 2>&1
}

echo "=== it passes"
answer 'No such device'
touch "$root/srv/good"
expect "the new kernel's boot ends with 0" boots $new
expect "passed" [ "$(inside sh $script status | head -n 1)" = passed ]
expect "nothing is pinned any more" silent saved_entry
expect "grub.cfg is as it was: its first entry, the new kernel, is the default" cmp -s "$root/boot/grub/grub.cfg" "$work/grub.cfg.before"
expect "the unit is gone" [ ! -e "$root/etc/systemd/system/gpu-bringup-boot-trial.service" ]
expect "and its link" [ ! -L "$root/etc/systemd/system/multi-user.target.wants/gpu-bringup-boot-trial.service" ]

echo "=== the kernel refuses the module"
again
answer 'Key was rejected by service'
touch "$root/srv/good"
status=0
boots $new || status=$?
expect "the unit fails ($status), after its minute" [ "$status" = 1 ]
expect "it asked for a reboot" [ -e "$root/srv/rebooted" ]
expect "the next boot is the old kernel" sh -c "! grep -q next_entry= '$root/boot/grub/grubenv' && grep -q 'saved_entry=.*$old' '$root/boot/grub/grubenv'"
expect "the old kernel's boot ends with 0" boots $old
expect "failed, and it says why" sh -c "grep -q '^failed' '$root/var/lib/gpu-bringup/boot-trial/result' && grep -q 'Key was rejected' '$root/var/lib/gpu-bringup/boot-trial/log'"
expect "the old kernel stays the default" says "saved_entry=.*$old"

echo "=== a check of the operator's fails"
again
answer 'No such device'
status=0
boots $new || status=$?
expect "the unit fails ($status)" [ "$status" = 1 ]
expect "it names the check" grep -q 'test -e /srv/good' "$root/var/lib/gpu-bringup/boot-trial/log"

echo "=== it never came up: the power was cycled, the old kernel boots"
again
expect "the old kernel's boot ends with 0" boots $old
expect "failed: never came up" grep -q 'never came up' "$root/var/lib/gpu-bringup/boot-trial/result"

echo "=== called off before the reboot"
again
inside sh $script cancel >>"$work/boots.log" 2>&1
expect "no choice for one boot is left" silent next_entry
expect "the unit is gone" [ ! -e "$root/etc/systemd/system/gpu-bringup-boot-trial.service" ]

echo "=== logs are in $work"
[ "$failures" = 0 ] && echo "=== all as it must be"
exit "$((failures > 0))"
