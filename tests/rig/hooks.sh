#!/usr/bin/env bash
# The hooks on a real Debian: a kernel that apt brings without a driver module is told in one line, at the
# end of apt's own output and at login; everything is gone after 'hooks remove'.
#
#   sudo tests/rig/hooks.sh [BASE]
#
# BASE: a minimal Debian root file system to copy (made with mmdebstrap when not given).
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/rig/lib.sh
. "$here/lib.sh"
[ "$(id -u)" = 0 ] || { echo "this rig needs root: sudo $0" >&2; exit 4; }
work=${RIG_DIR:-$(mktemp -d /var/tmp/gpu-bringup-rig.XXXXXX)}
root=$work/hooks
failures=0
expect() {
    local text=$1
    shift
    if "$@"; then echo "  ok      $text"; else echo "  FAILED  $text"; failures=$((failures + 1)); fi
}
says() { grep -q "NVIDIA driver will not work: the next boot starts $1: there is no nvidia module" "$2"; }
silent() { ! grep -q "NVIDIA driver" "$1"; }
gb() { rig_enter "$root" env PYTHONPATH=/opt/gpu-bringup/tui PYTHONDONTWRITEBYTECODE=1 python3 -m gpu_bringup "$@"; }

echo "=== making the file system"
mkdir -p "$work"
if [ -n "${1:-}" ]; then cp -a --reflink=auto "$1" "$root"; else rig_make trixie "$root" >"$work/make.log" 2>&1; fi
rig_enter "$root" apt-get update -q >"$work/apt.log" 2>&1
rig_enter "$root" apt-get install -y -q --no-install-recommends python3 login >>"$work/apt.log" 2>&1
rig_checkout "$root" /opt/gpu-bringup

# A boot menu as grub-mkconfig writes it, newest kernel first, made anew by each kernel's own hook.
install -d "$root/etc/kernel/postinst.d" "$root/etc/kernel/postrm.d" "$root/boot/grub"
cat >"$root/etc/kernel/postinst.d/zz-rig-menu" <<'MENU'
#!/bin/sh
{
    echo 'set default="0"'
    for image in $(ls /boot/vmlinuz-* | sort -rV); do
        release=${image#/boot/vmlinuz-}
        printf "menuentry 'Debian, with Linux %s' \$menuentry_id_option 'gnulinux-%s' {\n" "$release" "$release"
        printf '\tlinux\t%s root=/dev/vda1 ro quiet\n}\n' "$image"
    done
} >/boot/grub/grub.cfg
MENU
chmod 0755 "$root/etc/kernel/postinst.d/zz-rig-menu"

kernel() { # kernel RELEASE [with-module]: a package of that kernel
    local release=$1 build
    build=$(mktemp -d "$root/srv/build.XXXXXX")
    chmod 0755 "$build"
    install -d "$build/DEBIAN" "$build/boot" "$build/lib/modules/$release/kernel"
    echo image >"$build/boot/vmlinuz-$release"
    : >"$build/lib/modules/$release/modules.dep"
    if [ -n "${2:-}" ]; then
        install -d "$build/lib/modules/$release/updates/dkms"
        echo module >"$build/lib/modules/$release/updates/dkms/nvidia-current.ko"
    fi
    printf 'Package: linux-image-%s\nVersion: 1\nArchitecture: amd64\nMaintainer: Rig <rig@example.org>\nDescription: stand-in\n' \
        "$release" >"$build/DEBIAN/control"
    printf '#!/bin/sh\nexec run-parts --arg=%s /etc/kernel/postinst.d\n' "$release" >"$build/DEBIAN/postinst"
    chmod 0755 "$build/DEBIAN/postinst"
    dpkg-deb --root-owner-group -b "$build" "$root/srv/linux-image-$release.deb" >/dev/null
    rm -rf "$build"
}
kernel 6.98.0-1-amd64 with-module
kernel 6.99.0-1-amd64
kernel 6.99.0-2-amd64 with-module
rig_enter "$root" apt-get install -y -q /srv/linux-image-6.98.0-1-amd64.deb >>"$work/apt.log" 2>&1

# bind mounts of rig_enter leave these behind; they are not the hooks' doing
snapshot() { (cd "$root" && find etc usr var/lib -xdev \( -type f -o -type d \) ! -path "etc/ld.so.cache" ! -path "usr/lib/modules/*" ! -path "var/lib/dpkg/*" ! -path "var/lib/apt/*" | sort); }
snapshot >"$work/before"

echo "=== installing"
gb hooks status >"$work/status" 2>&1 && code=0 || code=$?
expect "status says not installed" test "$code" = 1
gb hooks install >"$work/install"
cat "$work/install"
gb hooks status >/dev/null && code=0 || code=$?
expect "status says installed" test "$code" = 0
expect "apt reads its configuration" rig_enter "$root" apt-config dump >/dev/null

echo "=== apt"
rig_enter "$root" apt-get install -y -q --reinstall /srv/linux-image-6.98.0-1-amd64.deb >"$work/quiet" 2>&1
expect "silent while the next boot has its module" silent "$work/quiet"
rig_enter "$root" apt-get install -y -q /srv/linux-image-6.99.0-1-amd64.deb >"$work/loud" 2>&1
tail -n 3 "$work/loud"
expect "one line after a kernel without a module" says 6.99.0-1-amd64 "$work/loud"
expect "exactly one line" test "$(grep -c 'NVIDIA driver' "$work/loud")" = 1

echo "=== login"
shell() { rig_enter "$root" bash -c 'if [ -f /etc/update-motd.d/98-gpu-bringup ]; then run-parts /etc/update-motd.d; else bash -lic true; fi'; }
shell >"$work/login" 2>&1
expect "the line at login" says 6.99.0-1-amd64 "$work/login"
rig_enter "$root" dpkg -i /srv/linux-image-6.99.0-2-amd64.deb >>"$work/apt.log" 2>&1
shell >"$work/login" 2>&1
expect "silent at login after dpkg alone mended it" silent "$work/login"
rig_enter "$root" dpkg -r linux-image-6.99.0-2-amd64 >>"$work/apt.log" 2>&1
rig_enter "$root" /etc/kernel/postinst.d/zz-rig-menu
shell >"$work/login" 2>&1
expect "the line again after dpkg alone broke it" says 6.99.0-1-amd64 "$work/login"

echo "=== gpu-bringup itself gone"
mv "$root/usr/local/lib/gpu-bringup" "$root/srv/kept"
rig_enter "$root" apt-get install -y -q --reinstall /srv/linux-image-6.99.0-1-amd64.deb >"$work/orphan" 2>&1 && code=0 || code=$?
expect "apt goes on without the check" test "$code" = 0
expect "and says nothing" silent "$work/orphan"
mv "$root/srv/kept" "$root/usr/local/lib/gpu-bringup"
printf '#!/bin/sh\n# gpu-bringup hook\nsleep 60\n' >"$root/usr/local/lib/gpu-bringup/next-boot"
begin=$(date +%s)
rig_enter "$root" apt-get install -y -q --reinstall /srv/linux-image-6.99.0-1-amd64.deb >"$work/hang" 2>&1 && code=0 || code=$?
expect "a check that hangs is given up, apt goes on" test "$code" = 0
expect "within seconds" test $(($(date +%s) - begin)) -lt 30

echo "=== removing"
gb hooks remove
snapshot >"$work/after"
expect "no trace is left" diff "$work/before" "$work/after"
rig_enter "$root" apt-get install -y -q --reinstall /srv/linux-image-6.99.0-1-amd64.deb >"$work/removed" 2>&1
expect "apt is silent again" silent "$work/removed"
if [ "$failures" = 0 ]; then echo "all held"; else echo "$failures failed; see $work"; exit 1; fi
