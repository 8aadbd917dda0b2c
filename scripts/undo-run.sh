#!/bin/sh
# Takes back what a run of gpu-bringup changed: files, packages with their marks, boot default, initramfs.
# It lies as undo.sh in the run's folder and needs neither Python nor network: sh, coreutils, awk, and
# dpkg or rpm. It works in a rescue system as well:
#
#   sh undo.sh --show            says what it would do; changes nothing
#   sh undo.sh                   shows it, asks, does it
#   sh undo.sh --step            asks before each part
#   sh undo.sh --yes             asks nothing
#   sh undo.sh --root /mnt       the system that is mounted there (in a chroot of its own)
#   sh undo.sh --only PART       steps, packages, boot, initramfs or done: what gpu-bringup undo calls
#
# Exit status: 0 taken back, 1 something could not be (it says what), 2 bad usage, 4 refused.
set -u
umask 022
LC_ALL=C
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
DEBIAN_FRONTEND=noninteractive
export LC_ALL PATH DEBIAN_FRONTEND

say() { printf '%s\n' "$*"; }
fail() {
    printf 'undo: %s\n' "$1" >&2
    exit "${2:-1}"
}

case $0 in */*) here=${0%/*} ;; *) here=. ;; esac
here=$(CDPATH='' cd -P -- "$here" && pwd) || exit 2
kept=$here/undo
show='' yes='' step='' only='' root=''
while [ $# -gt 0 ]; do
    case $1 in
    --show) show=1 ;;
    --yes) yes=1 ;;
    --step) step=1 ;;
    --only | --root)
        [ $# -ge 2 ] || fail "$1 needs a word after it" 2
        if [ "$1" = --only ]; then only=$2; else root=${2%/}; fi
        shift
        ;;
    *) fail "\"$1\" is not known: --show, --yes, --step, --root DIR, --only PART" 2 ;;
    esac
    shift
done
case $only in '' | steps | packages | boot | initramfs | done) ;; *) fail "there is no part \"$only\"" 2 ;; esac

# File systems that DIR/etc/fstab names and that are not mounted: behind their empty folders nothing
# could be put back, and it would look as if all were well.
all_mounted() { # all_mounted DIR PLACE...
    top=$1
    shift
    [ -r "$top/etc/fstab" ] && [ -r /proc/self/mountinfo ] || return 0
    absent=''
    for place; do
        awk -v p="$place" '$1 !~ /^#/ && $2 == p { found = 1 } END { exit !found }' "$top/etc/fstab" || continue
        awk -v p="$top$place" '$5 == p { found = 1 } END { exit !found }' /proc/self/mountinfo || absent="$absent $top$place"
    done
    [ -z "$absent" ] || fail "mount$absent first ($top/etc/fstab names it, and it is not mounted); nothing was changed" 4
}

# In a mounted system: its own dpkg or rpm, with mounts that vanish with this command.
if [ -n "$root" ]; then
    case $root in /*) ;; *) fail "--root needs a path that begins with /" 2 ;; esac
    [ -x "$root/bin/sh" ] || fail "$root holds no system (no $root/bin/sh)" 2
    case $here in "$root"/*) ;; *) fail "this undo.sh does not lie in $root: run the one that does" 2 ;; esac
    all_mounted "$root" /boot /var /usr /efi
    [ "$(id -u)" = 0 ] || fail 'root is needed for that' 4
    # shellcheck disable=SC2016 # expanded by the inner shell
    exec unshare --mount --fork sh -c '
        root=$1; shift
        for place in proc sys dev run; do
            [ -d "$root/$place" ] && mount --rbind "/$place" "$root/$place" 2>/dev/null
        done
        exec chroot "$root" "$@"
    ' _ "$root" sh "${here#"$root"}/undo.sh" ${show:+--show} ${yes:+--yes} ${step:+--step} ${only:+--only "$only"}
fi
all_mounted '' /boot
[ -n "$show" ] || [ "$(id -u)" = 0 ] || fail 'root is needed: put sudo before the command' 4

work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
problems=0
trouble() {
    printf 'undo: %s\n' "$*" >&2
    problems=$((problems + 1))
}

# A title is said with the first thing that is done below it.
title_waiting=''
line() {
    [ -z "$title_waiting" ] || say "$title_waiting"
    title_waiting=''
    say "$1"
}

# run COMMAND...: do it, or only say it. $ok: statuses that are well.
ok=0
run() {
    line "  \$ $*"
    [ -z "$show" ] || return 0
    status=0
    "$@" || status=$?
    case " $ok " in *" $status "*) return 0 ;; esac
    trouble "$1 ended with exit status $status"
    return 1
}

# An initramfs is rebuilt only for a kernel that is (still) there.
for_kernel() {
    for word; do
        case $word in
        [0-9]*.*) [ -d "/lib/modules/$word" ] || return 0 ;;
        esac
    done
    run "$@"
}

touched() { # was a command of this step started, or a file written for it?
    grep -F "\"step\":\"$1\"" "$here/journal.jsonl" 2>/dev/null |
        grep -q '"event":"\(command-started\|file-written\|step-ended\)"'
}

# --- the steps of this run, written by gpu-bringup
steps=''
irrevocable() { :; }
initramfs() { :; }
# @STEPS@
# --- end of them

# Files that a step replaced or made, the last first: "step<TAB>mode<TAB>owner<TAB>copy<TAB>path" a line.
files_of() {
    [ -f "$here/undo-files" ] || return 0
    awk -F '\t' -v step="$1" '$1 == step { line[++n] = $0 } END { while (n) print line[n--] }' "$here/undo-files" >"$work/files"
    while IFS='	' read -r _ mode owner copy path; do
        case $path in /*) ;; *) continue ;; esac
        if [ "$copy" = - ]; then
            [ -e "$path" ] || [ -L "$path" ] || continue
            line "  removes $path"
            [ -n "$show" ] || rm -f -- "$path" || trouble "$path could not be removed"
        else
            cmp -s "$here/backup/$copy" "$path" && [ "$(stat -c %a "$path")" = "$mode" ] && continue
            line "  restores $path"
            [ -n "$show" ] || put_back "$here/backup/$copy" "$path" "$mode" "$owner" || trouble "$path could not be restored"
        fi
    done <"$work/files"
}

put_back() { # whole or not at all, and never through a symbolic link
    mkdir -p "${2%/*}" && rm -f -- "$2.gpu-bringup~" && cp -- "$1" "$2.gpu-bringup~" &&
        chown "$4" "$2.gpu-bringup~" && chmod "$3" "$2.gpu-bringup~" && mv -f -- "$2.gpu-bringup~" "$2"
}

part_steps() {
    for number in $steps; do
        id='' title=''
        eval "id=\$id_$number title=\$title_$number"
        touched "$id" || continue
        title_waiting="Take back: $title"
        "commands_$number"
        files_of "$id"
        title_waiting=''
    done
}

# --- packages

manager=''
if [ -f "$kept/manager" ]; then manager=$(cat "$kept/manager"); fi

list_packages() {
    if [ "$manager" = apt ]; then
        # shellcheck disable=SC2016 # dpkg-query fills these in
        dpkg-query -W -f '${binary:Package}\t${Version}\t${db:Status-Abbrev}\n' |
            awk -F '\t' '{ s = substr($3, 2, 1); if (s == "n") next; print $1 "\t" $2 "\t" (s == "c" ? "c" : s == "i" || s == "t" || s == "W" ? "i" : "b") }' | sort
    else
        rpm -qa --qf '%{NAME}.%{ARCH}\t%{VERSION}-%{RELEASE}\ti\n' | sort
    fi
}

# Finds $work/back and $work/away: only packages that this run changed, whatever changed since.
compare() {
    list_packages >"$work/now"
    after=$kept/after.packages
    # A run that did not come to its end: all that changed since it began.
    [ -f "$after" ] || after=$work/now
    comm -3 "$kept/before.packages" "$after" | sed 's/^\t//' | cut -f 1 | sort -u >"$work/changed"
    : >"$work/none"
    for pair in "$kept/before.packages:back" "$work/now:away"; do
        if [ "${pair##*:}" = back ]; then other=$work/now; else other=$kept/before.packages; fi
        awk -F '\t' 'FILENAME == ARGV[1] { changed[$1]; next } FILENAME == ARGV[2] { other[$0]; next }
            $1 in changed && !($0 in other)' "$work/changed" "$other" "${pair%:*}" >"$work/${pair##*:}"
    done
    # Only configuration was left of it before: it is removed, not brought back.
    awk -F '\t' '$3 != "c"' "$work/back" >"$work/back.i"
    awk -F '\t' '$3 == "c"' "$work/back" >"$work/back.c"
    # What comes back in another version is replaced, not removed; kernels live side by side.
    awk -F '\t' -v manager="$manager" '
        FILENAME == ARGV[1] { back[$1]; next }
        FILENAME == ARGV[2] { before[$1]++; next }
        !($1 in back) || (manager != "apt" && before[$1] > 1)' "$work/back.i" "$kept/before.packages" "$work/away" >"$work/remove"
}

file_of() { # file_of NAME VERSION: its file in the store, checked; status 1: there is none
    name=$(awk -F '\t' -v n="$1" -v v="$2" '$1 == n && $2 == v { print $3; exit }' "$kept/store/index" 2>/dev/null)
    [ -n "$name" ] && [ -f "$kept/store/$name" ] || return 1
    (cd "$kept/store" && grep -F "  $name" SHA256SUMS | tail -n 1 | sha256sum -c --status -) || {
        trouble "$kept/store/$name is not the file that was kept (its checksum differs)"
        return 1
    }
    printf '%s\n' "$kept/store/$name"
}

# The package of the running kernel stays: without it this system could not load a module any more.
running_kernel() {
    [ "$manager" = apt ] || return 0
    case $1 in linux-image-"$(uname -r)" | linux-image-"$(uname -r)":* | linux-image-unsigned-"$(uname -r)"*) return 0 ;; esac
    return 1
}

# Another dpkg or rpm at work is waited for, ten minutes.
patiently() {
    tries=0
    while :; do
        status=0
        "$@" >"$work/output" 2>&1 || status=$?
        if [ "$status" != 0 ] && [ "$tries" -lt 120 ] && grep -qi "lock.*\(held\|locked\|another process\|unavailable\)\|can't create transaction lock" "$work/output"; then
            [ "$tries" != 0 ] || say '  waiting for another package manager to finish'
            tries=$((tries + 1))
            sleep 5
            continue
        fi
        cat "$work/output"
        return "$status"
    done
}

part_packages() {
    if [ ! -f "$kept/before.packages" ]; then
        say 'Packages: this run kept no list of them.'
        return 0
    fi
    compare
    files='' single='' missing=''
    while IFS='	' read -r name version _; do
        if file=$(file_of "$name" "$version"); then
            say "  brings back $name $version"
            if [ "$manager" != apt ] && [ "$(cut -f 1 "$kept/before.packages" | grep -cxF -e "$name")" -gt 1 ]; then
                single="$single $file"
            else
                files="$files $file"
            fi
        else
            missing="$missing $name=$version"
        fi
    done <"$work/back.i"
    remove='' purge=''
    while IFS='	' read -r name version state; do
        if [ "$manager" = apt ] && running_kernel "$name"; then
            say "  leaves $name: it is the running kernel; undo once more after booting another one"
            continue
        fi
        say "  removes $name $version"
        if [ "$manager" = apt ]; then
            [ "$state" = c ] || remove="$remove $name"
            grep -q "^$name	" "$work/back.c" || purge="$purge $name"
        else
            remove="$remove ${name%.*}-$version.${name##*.}"
        fi
    done <"$work/remove"
    if [ -n "$missing" ]; then
        trouble "no package is kept for:$missing. Put the file into $kept/store and its line into index and SHA256SUMS there, or bring it back with the package manager. No package was changed."
        return 1
    fi
    if [ -z "$files$single$remove$purge" ] && [ ! -s "$work/back" ]; then
        say 'Packages: as they were before.'
        [ -n "$show" ] || restore_marks
        return 0
    fi
    [ -z "$show" ] || return 0
    # shellcheck disable=SC2086 # names and paths without spaces
    if [ "$manager" = apt ]; then back_by_dpkg; else back_by_rpm; fi
    restore_configuration
    restore_marks
    verify
}

# shellcheck disable=SC2086 # names and paths without spaces
back_by_dpkg() {
    set -- --force-downgrade --force-confdef --force-confold --force-depends
    [ -z "$remove" ] || patiently dpkg --force-depends --force-remove-reinstreq --remove $remove ||
        trouble 'dpkg could not remove every package'
    if [ -n "$files" ]; then
        # A second time with more force: packages of one set may shut each other out in between. What
        # was there before fitted together, and is looked at in the end.
        patiently dpkg "$@" --auto-deconfigure --install $files ||
            patiently dpkg "$@" --force-breaks --force-conflicts --force-overwrite --install $files ||
            trouble 'dpkg could not bring every package back'
    fi
    [ -z "$purge" ] || patiently dpkg --force-depends --purge $purge || trouble 'dpkg could not purge every package'
    patiently dpkg --force-confdef --force-confold --configure -a || trouble 'dpkg could not configure every package'
}

# shellcheck disable=SC2086 # names and paths without spaces
back_by_rpm() {
    # Dependencies are looked at when the old ones come back; in between they can't hold.
    [ -z "$remove" ] || patiently rpm -e --nodeps $remove || trouble 'rpm could not remove every package'
    if [ -n "$files" ]; then
        patiently rpm -U --oldpackage --replacepkgs $files ||
            patiently rpm -U --oldpackage --replacepkgs --nodeps $files || trouble 'rpm could not bring every package back'
    fi
    [ -z "$single" ] || patiently rpm -i --oldpackage $single || trouble 'rpm could not bring every package back'
}

restore_configuration() {
    [ -d "$kept/configuration" ] || return 0
    (cd "$kept/configuration" && find . -type f) >"$work/configuration" || trouble "$kept/configuration could not be read"
    while IFS= read -r path <&3; do
        path=${path#.}
        cmp -s "$kept/configuration$path" "$path" ||
            cp -a --remove-destination -- "$kept/configuration$path" "$path" || trouble "$path could not be restored"
        for suffix in rpmnew rpmsave rpmorig dpkg-dist dpkg-old dpkg-new; do
            [ ! -e "$path.$suffix" ] || grep -qxF -e "$path.$suffix" "$kept/beside" 2>/dev/null || rm -f -- "$path.$suffix"
        done
    done 3<"$work/configuration"
}

# Packages whose mark this run changed, or which it touched: as they were. Others are left alone.
marked_wrong() { # marked_wrong LIST NOW: "+name" must be on it, "-name" must not
    after=$kept/after.$1
    [ -f "$after" ] || after=$2
    { comm -3 "$kept/before.$1" "$after" | tr -d '\t'; sed 's/:[a-z0-9]*$//' "$work/changed"; cat "$work/changed"; } | sort -u >"$work/ours"
    comm -23 "$kept/before.$1" "$2" | comm -12 - "$work/ours" | sed 's/^/+/'
    comm -13 "$kept/before.$1" "$2" | comm -12 - "$work/ours" | sed 's/^/-/'
}

restore_marks() {
    if [ "$manager" != apt ]; then
        for copy in "$kept"/before.locks/*; do
            [ -f "$copy" ] || continue
            path=/$(printf '%s' "${copy##*/}" | tr + /)
            cmp -s "$copy" "$path" || cp -p -- "$copy" "$path" || trouble "$path could not be restored"
        done
        for copy in "$kept"/after.locks/*; do
            [ -f "$copy" ] || continue
            [ ! -e "$kept/before.locks/${copy##*/}" ] || continue
            path=/$(printf '%s' "${copy##*/}" | tr + /)
            if cmp -s "$copy" "$path"; then rm -f -- "$path"; fi
        done
        return 0
    fi
    apt-mark showauto 2>/dev/null | sort >"$work/auto"
    marked_wrong auto "$work/auto" >"$work/marks"
    for sign in + -; do
        # shellcheck disable=SC2046 # names without spaces
        set -- $(sed -n "s/^[$sign]//p" "$work/marks")
        [ $# = 0 ] && continue
        if [ "$sign" = + ]; then word=auto; else word=manual; fi
        apt-mark "$word" "$@" >/dev/null 2>&1 || trouble "apt-mark $word failed"
    done
    dpkg --get-selections | awk '$2 == "hold" { print $1 }' | sort >"$work/held"
    marked_wrong held "$work/held" | sed 's/^+\(.*\)/\1 hold/; s/^-\(.*\)/\1 install/' >"$work/selections"
    [ ! -s "$work/selections" ] || dpkg --set-selections <"$work/selections" || trouble 'dpkg could not set the holds'
}

verify() {
    compare
    left=$(cat "$work/back" "$work/remove" | cut -f 1,2 | tr '\t\n' ' ,')
    if [ -z "$left" ]; then say 'Packages: as they were before.'; else trouble "not as before: $left"; fi
    [ "$manager" != apt ] || [ -z "$(dpkg --audit)" ] || trouble "dpkg --audit is not clean: $(dpkg --audit | head -n 3)"
}

# --- boot default

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

part_boot() {
    [ -f "$kept/before.boot" ] || return 0
    list_boot >"$work/boot" 2>/dev/null
    editenv=grub-editenv
    command -v "$editenv" >/dev/null || editenv=grub2-editenv
    after=$kept/after.boot
    [ -f "$after" ] || after=$work/boot
    # Only settings that this run changed. One that was for a single boot is used up, and not set again.
    # From a file: in a pipe the loop would count its problems in a shell of its own.
    comm_sorted "$kept/before.boot" "$after" >"$work/settings"
    while IFS='	' read -r place setting <&3; do
        case $place in
        /*)
            key=${setting%%=*}
            old=$(awk -F '\t' -v p="$place" -v k="$key=" '$1 == p && index($2, k) == 1 { print substr($2, length(k) + 1) }' "$kept/before.boot")
            new=$(awk -F '\t' -v p="$place" -v k="$key=" '$1 == p && index($2, k) == 1 { print substr($2, length(k) + 1) }' "$work/boot")
            [ "$old" != "$new" ] || continue
            if [ "$key" = next_entry ] || [ -z "$old" ]; then run "$editenv" "$place" unset "$key"; else run "$editenv" "$place" set "$key=$old"; fi
            ;;
        LoaderEntryDefault) run bootctl set-default "$(awk -F '\t' '$1 == "LoaderEntryDefault" { print $2 }' "$kept/before.boot")" ;;
        LoaderEntryOneShot) run bootctl set-oneshot '' ;;
        esac
    done 3<"$work/settings"
}

# Places and settings of which the two lists differ, each once.
comm_sorted() {
    sort "$1" >"$work/one"
    sort "$2" >"$work/two"
    comm -3 "$work/one" "$work/two" | sed 's/^\t//' | awk -F '\t' '{ k = $2; sub(/=.*/, "", k); if (!seen[$1, $1 ~ /^\// ? k : ""]++) print }'
}

part_done() {
    [ -z "$show" ] || return 0
    date -u +%Y-%m-%dT%H:%M:%SZ >"$here/undone" || trouble "$here/undone could not be written"
    # What a failed boot on trial says of this run at login.
    if grep -q '"step":"boot-trial"' "$here/journal.jsonl" 2>/dev/null; then rm -f /etc/motd.d/gpu-bringup-boot-trial; fi
}

if [ -n "$only" ]; then
    case $only in initramfs) initramfs ;; *) "part_$only" ;; esac
    [ "$problems" = 0 ] || exit 1
    exit 0
fi

ask() { # 0: yes
    [ -z "$yes" ] || return 0
    [ -t 0 ] || fail 'there is no terminal to ask on: say --yes, or --show to look only' 4
    printf '%s Type yes: ' "$1"
    read -r reply && [ "$reply" = yes ]
}

parts='steps packages boot initramfs'
say "Undo of the run ${here##*/}:"
wish_show=$show
show=1
for part in $parts; do
    case $part in initramfs) initramfs ;; *) "part_$part" ;; esac
done
irrevocable
show=$wish_show
[ -z "$show" ] || exit "$((problems > 0))"
[ "$problems" = 0 ] || fail 'nothing was changed' 1
[ -n "$step" ] || ask 'Take all this back now?' || fail 'you did not say yes; nothing was changed' 4
for part in $parts; do
    [ -z "$step" ] || ask "Take back: $part?" || fail "stopped before: $part" 4
    say "=== $part"
    case $part in initramfs) initramfs ;; *) "part_$part" ;; esac
done
if [ "$problems" = 0 ]; then part_done; fi
if [ "$problems" = 0 ]; then
    say 'Taken back. A reboot may be needed before the old driver is loaded.'
else
    fail "$problems problems, see above; the same command tries again" 1
fi
