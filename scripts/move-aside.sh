#!/bin/sh
# Take files out of the way that no package owns, without losing one: each is kept, and named.
#
#   move-aside.sh files PATH...            move these files into the store
#   move-aside.sh library-folder FOLDER    take a folder out of the linker's search (ld.so.conf.d)
#   move-aside.sh back PATH...             put back what was kept of these last
#
# A file that a package owns is refused: its package must be changed, not the file. What is moved or
# changed is kept whole below /var/lib/gpu-bringup/aside, under its own path and a number, and how to
# put it back is printed. Exit status: 0 done, 1 refused or failed, 2 bad usage.
set -eu
umask 022
LC_ALL=C
export LC_ALL
store=${GPU_BRINGUP_STATE:-/var/lib/gpu-bringup}/aside

fail() {
    printf 'move-aside: %s\n' "$1" >&2
    exit "${2:-1}"
}

[ $# -ge 2 ] || fail 'usage: move-aside.sh files|library-folder|back PATH...' 2

# The package that owns a file; a merged /usr is known to dpkg under the other name.
owner() {
    if command -v dpkg-query >/dev/null 2>&1; then
        for name in "$1" "${1#/usr}" "/usr$1"; do
            found=$(dpkg-query -S "$name" 2>/dev/null | sed -n 's/^\([^ ]*\): .*/\1/p' | head -n 1) || true
            [ -z "$found" ] || { printf '%s\n' "$found"; return 0; }
        done
    elif command -v rpm >/dev/null 2>&1; then
        rpm -qf --qf '%{NAME}\n' "$1" 2>/dev/null || true
    fi
}

refuse_owned() {
    found=$(owner "$1")
    [ -z "$found" ] ||
        fail "$1 belongs to the package $found: change or remove that package; nothing was changed"
}

# Sets $kept to a free name in the store for a file.
kept_name() {
    number=1
    while [ -e "$store$1.$number" ] || [ -L "$store$1.$number" ]; do number=$((number + 1)); done
    kept=$store$1.$number
    mkdir -p "$(dirname "$kept")"
}

case $1 in
files)
    shift
    for path; do refuse_owned "$path"; done
    for path; do
        [ -e "$path" ] || [ -L "$path" ] || { printf 'move-aside: %s is gone already\n' "$path"; continue; }
        kept_name "$path"
        mv "$path" "$kept"
        printf 'move-aside: moved %s to %s; to put it back: mv %s %s\n' "$path" "$kept" "$kept" "$path"
    done
    ;;
library-folder)
    folder=${2%/}
    changed=
    for path in /etc/ld.so.conf /etc/ld.so.conf.d/*.conf; do
        [ -f "$path" ] || continue
        grep -qxF -e "$folder" -e "$folder/" "$path" || continue
        refuse_owned "$path"
        kept_name "$path"
        cp -p "$path" "$kept"
        awk -v a="$folder" -v b="$folder/" '$0 == a || $0 == b { print "# switched off by gpu-bringup: " $0; next } { print }' \
            "$kept" >"$path"
        printf 'move-aside: %s no longer names %s; to put it back: cp -p %s %s\n' "$path" "$folder" "$kept" "$path"
        changed=1
    done
    [ -n "$changed" ] ||
        fail "no file in /etc/ld.so.conf.d names $folder: look at LD_LIBRARY_PATH"
    ;;
back)
    shift
    for path; do
        number=1
        while [ -e "$store$path.$((number + 1))" ] || [ -L "$store$path.$((number + 1))" ]; do
            number=$((number + 1))
        done
        [ -e "$store$path.$number" ] || [ -L "$store$path.$number" ] ||
            { printf 'move-aside: nothing was kept of %s\n' "$path"; continue; }
        mv -f "$store$path.$number" "$path"
        printf 'move-aside: put %s back\n' "$path"
    done
    ;;
*) fail "\"$1\" is not one of files, library-folder, back" 2 ;;
esac
