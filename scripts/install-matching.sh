#!/bin/sh
# Install packages in exactly the version that an installed module package has.
#
#   install-matching.sh MANAGER MODULE-PACKAGE PACKAGE...
#
# MANAGER is apt, dnf or zypper. The version of MODULE-PACKAGE is read from the package database; what
# its maker appends to the driver's version (SUSE: "_k6.4.0_150700.53", dpkg: "-1") is cut off. A
# PACKAGE that ends with "=" gets that version, any other is installed as it is named.
# Exit status: 0 done, 1 no version or not installed, 2 bad usage, else the package manager's.
set -eu
LC_ALL=C
export LC_ALL

fail() {
    printf 'install-matching: %s\n' "$1" >&2
    exit "${2:-1}"
}

[ $# -ge 3 ] || fail 'usage: install-matching.sh MANAGER MODULE-PACKAGE PACKAGE...' 2
manager=$1
module=$2
shift 2
case $manager in
apt) joint='=' tail='-*' ;;
dnf) joint=- tail= ;;
zypper) joint='=' tail= ;;
*) fail "\"$manager\" is none of apt, dnf and zypper" 2 ;;
esac

if [ "$manager" = apt ]; then
    # What is removed, but not purged, still has a version: only an installed package counts.
    # shellcheck disable=SC2016 # dpkg-query fills these in
    found=$(dpkg-query -W -f '${db:Status-Status} ${Version}\n' "$module" 2>/dev/null |
        sed -n 's/^installed //p' | sed 's/^[0-9]*://; s/-[^-]*$//')
    [ -n "$found" ] || fail "$module is not installed: its version decides"
else
    found=$(rpm -q --qf '%{VERSION}\n' "$module") || fail "$module is not installed: its version decides"
fi
version=$(printf '%s\n' "$found" | sed 's/_.*//' | sort -uV | tail -n 1)
case $version in
[0-9]*.[0-9]*) ;;
*) fail "$module has the version \"$version\", which is no driver version" ;;
esac
case $version in
*[!0-9.]*) fail "$module has the version \"$version\", which is no driver version" ;;
esac

count=$#
while [ "$count" -gt 0 ]; do
    name=$1
    shift
    case $name in
    *=) name=${name%=}$joint$version$tail ;;
    esac
    set -- "$@" "$name"
    count=$((count - 1))
done

printf 'install-matching: %s has driver version %s\n' "$module" "$version"
if [ "$manager" = apt ]; then
    exec apt-get -y -o APT::Color=0 -o Dpkg::Progress-Fancy=0 -o Dpkg::Use-Pty=0 \
        -o DPkg::Lock::Timeout=600 -o Dpkg::Options::=--force-confdef \
        -o Dpkg::Options::=--force-confold install --no-install-recommends --allow-downgrades "$@"
fi
if [ "$manager" = dnf ]; then
    exec dnf -y install --setopt=install_weak_deps=False "$@"
fi
exec zypper --non-interactive install --no-recommends --auto-agree-with-licenses --oldpackage "$@"
