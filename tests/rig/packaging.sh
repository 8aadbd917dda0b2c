#!/bin/bash
# Runs the two commands of README.md and the other ways to install on a bare Debian, in a chroot:
#   tests/rig/packaging.sh FOLDER        a minimal root file system (left as it is; a copy is used)
#   tests/rig/packaging.sh bookworm      a suite, from which mmdebstrap makes one
# Long, and run by hand, as root; needs the package archive, a package index and 3 GB beside FOLDER
# (or in TMPDIR). TESTS="-k lock" gives scripts/test these arguments, TESTS=all runs everything.
set -euo pipefail
[ $# = 1 ] || { sed -n '2,6s/^# //p' "$0" >&2; exit 2; }
# Mounts live in a namespace of their own, so that none is left when this ends in any way.
[ -n "${IN_NAMESPACE:-}" ] || IN_NAMESPACE=1 exec unshare --mount --propagation private "$0" "$@"

checkout=$(cd "$(dirname "$0")/../.." && pwd)
if [ -d "$1/etc" ]; then
    base=$(cd "$1" && pwd)
    work=$(mktemp -d "$base.packaging-XXXXXX")
    cp -a --reflink=auto "$base" "$work/root"
else
    work=$(mktemp -d)
    mmdebstrap --variant=minbase "$1" "$work/root"
fi
root=$work/root
end() {
    for place in dev sys proc; do umount --recursive --lazy "$root/$place" || true; done
    findmnt -rno TARGET | grep -q "^$root/" || rm -rf --one-file-system "$work"
}
trap end EXIT
trap "exit 130" INT
trap "exit 143" TERM HUP
for place in proc sys dev; do mount --rbind "/$place" "$root/$place"; done

# What this host needs to reach the archive and the index, the chroot needs as well.
cp -L /etc/resolv.conf /etc/hosts "$root/etc/"
[ ! -f /etc/pip.conf ] || cp /etc/pip.conf "$root/etc/"
cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/host-certificates.crt"
certificates=(PIP_CERT=/etc/host-certificates.crt SSL_CERT_FILE=/etc/host-certificates.crt)
printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
chmod 755 "$root/usr/sbin/policy-rc.d"
mapfile -t settings < <(env | grep -E '^(PIP|UV)_|_proxy=' || true)

in_root() {
    chroot "$root" env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root \
        LC_ALL=C.UTF-8 TERM=dumb DEBIAN_FRONTEND=noninteractive "${settings[@]}" "${certificates[@]}" "$@" </dev/null
}
as_user() {
    in_root setpriv --reuid=admin1 --regid=admin1 --init-groups env HOME=/home/admin1 "$@"
}
offline() {
    # Nothing but a loopback device, and that is down.
    unshare --net chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 TERM=dumb "$@" </dev/null
}
offline_user() {
    offline setpriv --reuid=admin1 --regid=admin1 --init-groups env HOME=/home/admin1 "$@"
}
failed=0
passed=0
expect() { # STATUS TITLE COMMAND...
    local wanted=$1 title=$2 status=0 begun=$SECONDS
    shift 2
    "$@" >"$work/output" 2>&1 || status=$?
    if [ "$status" = "$wanted" ]; then
        passed=$((passed + 1))
        printf 'ok      %3d s  %s\n' $((SECONDS - begun)) "$title"
    else
        failed=$((failed + 1))
        printf 'FAILED  %3d s  %s (exit status %d instead of %d)\n' $((SECONDS - begun)) "$title" "$status" "$wanted"
        sed 's/^/        /' "$work/output" | tail -40
    fi
}

prepare() { # COMMAND...: what the tests rest on; when it fails there is nothing to test
    "$@" >"$work/output" 2>&1 || { echo "FAILED to prepare: $*" && tail -30 "$work/output" && exit 1; }
}
forget_lists() { prepare in_root sh -c 'rm -rf /var/lib/apt/lists/*'; }

place_checkout() { # FOLDER OWNER
    mkdir -p "$root$1"
    (cd "$checkout" && tar -c --exclude=./.venv --exclude=./.git --exclude=./dist --exclude='*_cache' \
        --exclude=__pycache__ .) | tar -x --no-same-owner -C "$root$1"
    in_root chown -R "$2:" "$1"
}

case ${TESTS:-} in
'') tests=(tests/test_architecture.py) ;;
all) tests=() ;;
*) read -r -a tests <<<"$TESTS" ;;
esac
ours='/root/my checkout'
theirs='/home/admin1/gpu tools'
# shellcheck source=/dev/null
. "$root/etc/os-release"
printf '%s, in %s\n' "$PRETTY_NAME" "$root"

prepare in_root apt-get -qq update
prepare in_root useradd --create-home admin1
place_checkout "$ours" root
place_checkout "$theirs" admin1
expect 4 'no python3 at all: says what to install' in_root "$ours/scripts/gpu-bringup" --version
grep -q 'apt-get install -y python3 ' "$work/output" || { echo 'FAILED  the command is not named'; failed=1; }
prepare in_root apt-get -qq install -y --no-install-recommends python3
forget_lists

expect 4 'a user without sudo, no package lists: says what to run' as_user "$theirs/scripts/gpu-bringup" --version
grep -q 'apt-get install -y python3-venv ' "$work/output" || { echo 'FAILED  the command is not named'; failed=1; }
expect 1 'root, no network: says so' offline "$ours/scripts/gpu-bringup" --version
grep -q 'build-zipapp' "$work/output" || { echo 'FAILED  the way without a network is not named'; failed=1; }
[ -z "$(find "$root$ours/.venv" -mindepth 1 -not -name .lock)" ] || { echo 'FAILED  something is left behind'; failed=1; }
expect 0 'root, first run' in_root "$ours/scripts/gpu-bringup" --version
expect 0 'root, second run, no network, another folder' offline env -C / "$ours/scripts/gpu-bringup" --version
expect 1 'nothing was installed on the host' in_root dpkg-query -W python3-venv python3-pip python3-pip-whl
expect 0 'root, scripts/test' in_root "$ours/scripts/test" "${tests[@]}"
expect 0 'root, scripts/test again, no network' offline "$ours/scripts/test" "${tests[@]}"
# shellcheck disable=SC2016  # expanded by the shell inside
expect 0 "root, dpkg --audit" in_root sh -c 'test -z "$(dpkg --audit)"'

prepare in_root sh -c 'apt-get -qq update && apt-get -qq install -y --no-install-recommends sudo'
echo 'admin1 ALL=(ALL) NOPASSWD: ALL' >"$root/etc/sudoers.d/admin1"
forget_lists
expect 0 'user with sudo, first run' as_user "$theirs/scripts/gpu-bringup" --version
expect 0 'user, second run, no network' offline_user "$theirs/scripts/gpu-bringup" --version
expect 0 'user, scripts/test' as_user "$theirs/scripts/test" "${tests[@]}"
expect 0 'user, scripts/test again, no network' offline_user "$theirs/scripts/test" "${tests[@]}"
# shellcheck disable=SC2016
expect 0 "user in root's checkout: an environment in the home folder" as_user sh -c \
    'sudo cp -r "$1" /opt/shared && sudo rm -rf /opt/shared/.venv && /opt/shared/scripts/gpu-bringup --version' - "$ours"
expect 0 "root in the user's checkout" in_root "$theirs/scripts/gpu-bringup" --version

expect 0 'one file: built' as_user "$theirs/scripts/build-zipapp" -o /tmp/gpu-bringup.pyz
expect 0 'one file: root, no network' offline python3 /tmp/gpu-bringup.pyz --version
expect 0 'one file: user, no network' offline_user python3 /tmp/gpu-bringup.pyz --version
expect 0 'one file: HOME not there' offline_user env HOME=/nonexistent python3 /tmp/gpu-bringup.pyz --version

prepare in_root sh -c 'apt-get -qq update && apt-get -qq install -y --no-install-recommends python3-venv'
prepare in_root sh -c 'python3 -m venv /opt/v && /opt/v/bin/pip -q install uv'
expect 0 'pip install .' in_root /opt/v/bin/pip -q install "$ours"
expect 0 'pip install .: runs' in_root /opt/v/bin/gpu-bringup --version
expect 0 'pip install .: the scripts are executable' in_root sh -c \
    'test -x /opt/v/lib/python3*/site-packages/gpu_bringup/_data/scripts/check_cuda_stack.sh'
expect 0 'uvx --from .' in_root env UV_SYSTEM_CERTS=1 /opt/v/bin/uvx --from "$ours" gpu-bringup --version
# shellcheck disable=SC2016
expect 0 'with python3-venv: first run' in_root sh -c \
    'rm -rf "$1/.venv" && "$1/scripts/gpu-bringup" --version' - "$ours"

printf '%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" = 0 ]
