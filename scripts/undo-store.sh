#!/bin/sh
# Keeps what undo needs of the packages: which there are, in which version, with which marks, what the
# boot loader starts, and the packages themselves that a run is about to replace or remove.
#
#   undo-store.sh begin FOLDER MANAGER [NAME...]   before the first change: lists, and the old packages
#   undo-store.sh lists FOLDER MANAGER             the same without the packages
#   undo-store.sh fetch FOLDER COMMAND...          before this command: the packages that it will touch
#   undo-store.sh end FOLDER                       after the last change: the lists once more
#   undo-store.sh estimate FOLDER MANAGER [NAME...]   changes nothing; prints "bytes N", "free N" and
#                                                  "missing NAME VERSION" for what can't be had again
#
# MANAGER is apt, dnf or zypper; NAMEs that are not installed are left out. undo.sh in the run's folder
# uses what is kept here, without network and without Python. Exit status: 0 done (what could not be
# kept is said, and stands in FOLDER/missing), 2 bad usage, 5 not enough room (nothing was kept).
set -eu
umask 077
LC_ALL=C
export LC_ALL
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH
margin=100000000 # bytes that stay free
suffixes='rpmnew rpmsave rpmorig dpkg-dist dpkg-old dpkg-new'

fail() {
    printf 'undo-store: %s\n' "$1" >&2
    exit "${2:-1}"
}

[ $# -ge 2 ] || fail 'usage: undo-store.sh begin|lists|fetch|end|estimate FOLDER ...' 2
verb=$1
folder=$2
shift 2

# name<TAB>version<TAB>state (i: installed, c: only configuration is left), sorted. rpm's names carry
# the architecture and may stand there more than once (kernels).
list_packages() {
    if [ "$manager" = apt ]; then
        # shellcheck disable=SC2016 # dpkg-query fills these in
        dpkg-query -W -f '${binary:Package}\t${Version}\t${db:Status-Abbrev}\n' |
            awk -F '\t' '{ s = substr($3, 2, 1); if (s == "n") next; print $1 "\t" $2 "\t" (s == "c" ? "c" : "i") }' | sort
    else
        rpm -qa --qf '%{NAME}.%{ARCH}\t%{VERSION}-%{RELEASE}\ti\n' | sort
    fi
}

# What the boot loader starts: one line a setting, of GRUB's environment and systemd-boot's variables.
list_boot() {
    for file in /boot/grub/grubenv /boot/grub2/grubenv; do
        [ -f "$file" ] || continue
        sed -n "s,^\(saved_entry\|next_entry\)=,$file\t&,p" "$file"
    done
    for name in LoaderEntryDefault LoaderEntryOneShot; do
        file=/sys/firmware/efi/efivars/$name-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f
        [ ! -r "$file" ] ||
            printf '%s\t%s\n' "$name" "$(tail -c +5 "$file" | tr -d '\000')"
    done
}

# snapshot NAME: writes NAME.*; NAME.packages comes last and says that all are whole.
snapshot() {
    : >"$folder/$1.auto"
    : >"$folder/$1.held"
    if [ "$manager" = apt ]; then
        apt-mark showauto 2>/dev/null | sort >"$folder/$1.auto" || :
        dpkg --get-selections | awk '$2 == "hold" { print $1 }' | sort >"$folder/$1.held"
    else
        rm -rf "${folder:?}/$1.locks"
        mkdir "$folder/$1.locks"
        for file in /etc/dnf/plugins/versionlock.list /etc/dnf/versionlock.toml /etc/zypp/locks; do
            [ ! -f "$file" ] || cp -p "$file" "$folder/$1.locks/$(echo "${file#/}" | tr / +)"
        done
    fi
    list_boot >"$folder/$1.boot" 2>/dev/null || :
    list_packages >"$folder/$1.partial"
    sync "$folder/$1.partial" 2>/dev/null || sync
    mv "$folder/$1.partial" "$folder/$1.packages"
}

# Of the names on standard input those that are installed as they were before: "name<TAB>version".
# apt leaves out the machine's own architecture, dpkg's list names it where it must.
installed_of() {
    native=
    [ "$manager" != apt ] || native=$(dpkg --print-architecture)
    awk -F '\t' -v native=":$native" -v manager="$manager" '
        function bare(name) {
            if (manager != "apt") { sub(/\.[^.]*$/, "", name); return name }
            if (native != ":" && substr(name, length(name) - length(native) + 1) == native)
                return substr(name, 1, length(name) - length(native))
            return name
        }
        NR == FNR { wanted[$1] = 1; wanted[bare($1)] = 1; next }
        $3 == "i" && ($1 in wanted || bare($1) in wanted) { print $1 "\t" $2 }
    ' /dev/stdin "$1" | sort -u
}

# The installed packages that any driver installation touches, and those that are named.
wanted_names() {
    for name; do
        name=${name%%=*}
        case $name in '' | -* | *[!A-Za-z0-9.+:_-]*) continue ;; esac
        printf '%s\n' "$name"
    done
    list_packages | cut -f 1 | sed -n '/nvidia\|^libcuda\|^cuda-drivers\|^libnv/p'
}

known() { [ -f "$folder/store/index" ] && grep -qxF -e "$1" "$folder/store/index.names"; }

# The file that the package manager has of it already; nothing where it has none.
cached() {
    file=$(printf '%s_%s' "${1%%:*}" "$2" | sed 's/:/%3a/g')
    for found in "/var/cache/apt/archives/${file}"_*.deb; do
        [ ! -f "$found" ] || { printf '%s\n' "$found"; return; }
    done
}

size_of() { # size_of NAME VERSION: bytes; nothing where the archive does not have it
    if [ "$manager" = apt ]; then
        apt-cache show --no-all-versions "$1=$2" 2>/dev/null | sed -n 's/^Size: //p' | head -n 1
    elif [ "$manager" = dnf ]; then
        dnf -q repoquery --queryformat '%{downloadsize}\n' "${1%.*}-$2.${1##*.}" 2>/dev/null | grep -x '[0-9][0-9]*' | head -n 1
    fi
}

in_archive() { # is this very version offered anywhere now?
    apt-cache policy "$1" 2>/dev/null | awk -v want="$2" '
        /^ *\*\*\* |^     [^ ]/ { here = ($1 == "***" ? $2 : $1) == want; next }
        here && /^ +-?[0-9]+ / && $2 != "/var/lib/dpkg/status" { found = 1 }
        END { exit !found }'
}

free_bytes() { df -Pk "$1" | awk 'NR == 2 { printf "%.0f\n", $4 * 1024 }'; }

# Takes over a file into the store, with its checksum and what is in it.
take() {
    name=${1##*/}
    mv "$1" "$folder/store/$name"
    (cd "$folder/store" && sha256sum "$name" >>SHA256SUMS)
    printf '%s\t%s\t%s\n' "$2" "$3" "$name" >>"$folder/store/index"
    printf '%s\t%s\n' "$2" "$3" >>"$folder/store/index.names"
    keep_configuration "$2"
}

# The configuration files of a package as they are: replaced or removed with it, they would be lost.
keep_configuration() {
    if [ "$manager" = apt ]; then
        # shellcheck disable=SC2016 # dpkg-query fills it in
        dpkg-query -W -f '${Conffiles}\n' "$1" 2>/dev/null | awk 'NF >= 2 { print $1 }'
    else
        rpm -qc "$1" 2>/dev/null || :
    fi | while read -r path; do
        case $path in /*) ;; *) continue ;; esac
        [ -f "$path" ] || continue
        [ ! -L "$path" ] || continue
        mkdir -p "$folder/configuration"
        # What dpkg and rpm leave beside it, as far as it is there already.
        for suffix in $suffixes; do
            [ ! -e "$path.$suffix" ] || printf '%s\n' "$path.$suffix" >>"$folder/beside"
        done
        (cd / && cp -a --parents -- "${path#/}" "$folder/configuration/") ||
            printf 'undo-store: %s could not be kept: undo will not bring it back\n' "$path"
    done
}

# get_all FILE: "name<TAB>version" a line; into the store what is not there yet.
get_all() {
    while read -r name version; do
        known "$name	$version" || printf '%s\t%s\n' "$name" "$version"
    done <"$1" >"$1.left"
    [ -s "$1.left" ] || return 0
    total=0
    while read -r name version; do
        size=$(size_of "$name" "$version")
        total=$((total + ${size:-0}))
    done <"$1.left"
    free=$(free_bytes "$folder")
    if [ $((total + margin)) -gt "$free" ]; then
        fail "the old packages take $((total / 1000000)) MB, and only $((free / 1000000)) MB are free in $folder. Nothing was changed. Free some space there, or take the same steps without keeping them: gpu-bringup apply --without-old-packages (undo then can't bring old versions back without the archive)." 5
    fi
    rm -rf "$folder/store/partial"
    mkdir -p "$folder/store/partial"
    while read -r name version; do
        get_one "$name" "$version" || {
            printf 'undo-store: %s %s could not be kept: no repository and no cache here gave it\n' "$name" "$version"
            grep -qxF -e "$name	$version" "$folder/missing" 2>/dev/null || printf '%s\t%s\n' "$name" "$version" >>"$folder/missing"
            keep_configuration "$name"
        }
    done <"$1.left"
    rm -rf "$folder/store/partial"
}

get_one() {
    case $manager in
    apt)
        found=$(cached "$1" "$2")
        if [ -n "$found" ] && [ "$(dpkg-deb -f "$found" Version)" = "$2" ]; then
            cp "$found" "$folder/store/partial/"
        else
            (cd "$folder/store/partial" && apt-get -q -o APT::Sandbox::User=root -o Acquire::Retries=2 -o Acquire::http::Timeout=30 download "$1=$2" </dev/null) ||
                { command -v dpkg-repack >/dev/null && (cd "$folder/store/partial" && dpkg-repack "$1" </dev/null); } || return 1
        fi
        ;;
    dnf)
        dnf -q -y download --destdir "$folder/store/partial" "${1%.*}-$2.${1##*.}" </dev/null || return 1
        ;;
    zypper)
        # It has no option for the folder: what it downloads stays in its own cache.
        zypper --non-interactive --quiet download "${1%.*}=$2" </dev/null || return 1
        find /var/cache/zypp/packages -name "${1%.*}-$2.${1##*.}.rpm" -exec cp {} "$folder/store/partial/" \;
        ;;
    esac
    for file in "$folder"/store/partial/*.deb "$folder"/store/partial/*.rpm; do
        [ -f "$file" ] || continue
        printf 'undo-store: kept %s %s\n' "$1" "$2"
        if [ -f "$folder/missing" ]; then
            # A repository that the run has added since has it after all.
            grep -vxF -e "$1	$2" "$folder/missing" >"$folder/missing.left" || :
            mv "$folder/missing.left" "$folder/missing"
        fi
        take "$file" "$1" "$2"
        return 0
    done
    return 1
}

# Names of the installed packages that a command would replace or remove.
touched_by() {
    case $1 in
    sh)
        # install-matching.sh MANAGER MODULE-PACKAGE PACKAGE...: the names without their versions.
        case ${2:-} in *install-matching.sh) ;; *) return 0 ;; esac
        shift 4
        for name; do
            shift
            set -- "$@" "${name%=}"
        done
        if [ "$manager" = apt ]; then touched_by apt-get install --no-install-recommends "$@"; else touched_by "$manager" install "$@"; fi
        ;;
    apt-get)
        shift
        apt-get -s "$@" 2>/dev/null | awk '($1 == "Inst" && $3 ~ /^\[/) || $1 == "Remv" || $1 == "Purg" { print $2 }'
        ;;
    dnf)
        shift
        # Its table: a title with a colon, then "name arch version repository size" a line.
        dnf --assumeno "$@" 2>/dev/null | awk '
            /^Transaction Summary/ { exit }
            /^(Upgrading|Downgrading|Reinstalling|Removing|Changing)/ { on = 1; next }
            /^[A-Z][a-z ]*:$/ { on = 0; next }
            /^ +replac/ { print $2; next }
            on && /^ / { print $1 }'
        ;;
    zypper)
        shift
        for word; do
            shift
            case $word in --non-interactive) ;; install | remove | update) set -- "$@" "$word" --dry-run ;; *) set -- "$@" "$word" ;; esac
        done
        zypper --non-interactive --xmlout --no-refresh "$@" 2>/dev/null | awk '
            /<to-(upgrade|downgrade|remove|reinstall|change-arch)/ { on = 1 }
            /<to-install/ { on = 0 }
            on && /<solvable / { match($0, /name="[^"]*"/); print substr($0, RSTART + 6, RLENGTH - 7) }'
        ;;
    esac
}

case $verb in
begin | lists)
    [ $# -ge 1 ] || fail "usage: undo-store.sh $verb FOLDER apt|dnf|zypper" 2
    manager=$1
    shift
    case $manager in apt | dnf | zypper) ;; *) fail "\"$manager\" is none of apt, dnf and zypper" 2 ;; esac
    mkdir -p "$folder/store"
    printf '%s\n' "$manager" >"$folder/manager"
    # A resumed run must not take its own changes for what was there before.
    [ -f "$folder/before.packages" ] || snapshot before
    printf 'undo-store: %s packages are noted\n' "$(wc -l <"$folder/before.packages")"
    if [ "$verb" = begin ]; then
        wanted_names "$@" | installed_of "$folder/before.packages" >"$folder/work"
        get_all "$folder/work"
        rm -f "$folder"/work*
    fi
    ;;
fetch)
    [ -f "$folder/before.packages" ] || fail "$folder has no list of packages" 2
    manager=$(cat "$folder/manager")
    touched_by "$@" | installed_of "$folder/before.packages" >"$folder/work.all"
    # What an earlier step brought is no old package.
    list_packages | cut -f 1,2 >"$folder/work.now"
    grep -xF -f "$folder/work.now" "$folder/work.all" >"$folder/work" || :
    get_all "$folder/work"
    rm -f "$folder"/work*
    ;;
end)
    [ -f "$folder/before.packages" ] || exit 0
    manager=$(cat "$folder/manager")
    snapshot after
    ;;
estimate)
    [ $# -ge 1 ] || fail 'usage: undo-store.sh estimate FOLDER apt|dnf|zypper' 2
    manager=$1
    shift
    place=$folder
    while [ ! -d "$place" ]; do place=$(dirname "$place"); done
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    list_packages >"$folder/work.list"
    wanted_names "$@" | installed_of "$folder/work.list" >"$folder/work"
    total=0
    while read -r name version; do
        size=$(size_of "$name" "$version")
        total=$((total + ${size:-0}))
        [ "$manager" != apt ] || [ -n "$(cached "$name" "$version")" ] || in_archive "$name" "$version" ||
            command -v dpkg-repack >/dev/null || printf 'missing %s %s\n' "$name" "$version"
    done <"$folder/work"
    printf 'packages %s\nbytes %s\nfree %s\nmargin %s\n' "$(wc -l <"$folder/work")" "$total" "$(free_bytes "$place")" "$margin"
    ;;
*) fail "\"$verb\" is not one of begin, lists, fetch, end, estimate" 2 ;;
esac
