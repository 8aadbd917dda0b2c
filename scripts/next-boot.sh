#!/bin/sh
# gpu-bringup hook: prints one line when the next boot would have no working NVIDIA driver, else nothing.
#
#   next-boot upgraded   after packages changed (root): looks, keeps the answer, prints it
#   next-boot login      at a login: prints the answer that was kept; looks again if something is newer
#
# Written by 'gpu-bringup hooks install', taken away by 'gpu-bringup hooks remove'. It needs nothing of
# gpu-bringup, changes nothing but its own note, and always ends with exit status 0. It only says what it
# has seen: where it can't tell which kernel boots next, it speaks up only if no kernel has a module.
# 'gpu-bringup check --next-boot' looks more closely (signing keys, the inside of the initramfs).
PATH=/usr/sbin:/usr/bin:/sbin:/bin
LC_ALL=C
export PATH LC_ALL
top=${GPU_BRINGUP_ROOT:-}
note=$top/var/lib/gpu-bringup/next-boot.note

# The nvidia module's file for a kernel release; nothing where there is none.
module_of() {
    find "$top/lib/modules/$1/" -name 'nvidia*.ko*' 2>/dev/null | while read -r file; do
        case ${file##*/} in
        *[-_]uvm* | *[-_]modeset* | *[-_]drm* | *[-_]peermem* | *[-_]fs* | *[-_]gds*) ;;
        nvidiafb* | *[-_]wmi* | *[-_]ffa* | *[-_]vrs* | *[-_]ec*) ;;
        *) echo "$file" && break ;;
        esac
    done
}

kernels() {
    for image in "$top"/boot/vmlinuz-* "$top"/boot/vmlinux-* "$top"/boot/Image-*; do
        [ -e "$image" ] || continue
        release=${image##*/}
        release=${release#*-}
        case $release in *rescue* | *.old | *.hmac | *.bak) continue ;; esac
        [ -d "$top/lib/modules/$release" ] && echo "$release"
    done | sort -V
}

# The release of the kernel image that a line of a boot menu names ("linux /boot/vmlinuz-X root=…").
release_in() {
    sed -n 's/^[[:space:]]*linux\(efi\|16\)\{0,1\}[[:space:]]\{1,\}[^[:space:]]*\(vmlinuz\|vmlinux\|Image\)-\([^[:space:]]*\).*/\3/p' |
        head -n 1
}

# The kernel that boots next by GRUB's own files; nothing where they don't tell.
next_by_grub() {
    for folder in "$top/boot/grub" "$top/boot/grub2"; do
        [ -r "$folder/grub.cfg" ] || continue
        once=$(sed -n 's/^next_entry=//p' "$folder/grubenv" 2>/dev/null | head -n 1)
        saved=$(sed -n 's/^saved_entry=//p' "$folder/grubenv" 2>/dev/null | head -n 1)
        wanted=$(sed -n 's/^[[:space:]]*set default="\(.*\)"[[:space:]]*$/\1/p' "$folder/grub.cfg" |
            grep -v next_entry | tail -n 1)
        # shellcheck disable=SC2016  # GRUB's variable, not ours
        case $wanted in *'${saved_entry}'*) wanted=$saved ;; esac
        grep -q next_entry "$folder/grub.cfg" && [ -n "$once" ] && wanted=$once
        if grep -q blscfg "$folder/grub.cfg" && [ -d "$top/boot/loader/entries" ]; then
            entry="$top/boot/loader/entries/${wanted%.conf}.conf"
            [ -n "$wanted" ] && [ -r "$entry" ] && release_in <"$entry"
            return
        fi
        last=${wanted##*>}
        case $last in
        '' | 0) [ "$last" = "${wanted:-$last}" ] && release_in <"$folder/grub.cfg" ;;
        *[!0-9]*)
            awk -v want="$last" '
                hit { print; next }
                /^[ \t]*(menuentry|submenu) / && index($0, "\047" want "\047") { hit = 1 }
            ' "$folder/grub.cfg" | release_in
            ;;
        esac
        return
    done
}

libcuda_version() {
    library=$(ldconfig -p 2>/dev/null | sed -n 's/.*libcuda\.so\.1 .*=> //p' | head -n 1)
    [ -n "$library" ] || return 0
    readlink -f "$library" | sed -n 's/.*\.so\.\([0-9][0-9]*\.[0-9.]*\)$/\1/p'
}

# Why this kernel will have no working driver; nothing where no reason was found.
reason_for() {
    file=$(module_of "$1")
    if [ -z "$file" ]; then
        echo "there is no nvidia module for it"
        return
    fi
    [ -n "$top" ] && return # versions and signatures are asked of the running system only
    # Asked once: unpacking a packed module takes most of the time of all this.
    told=$(modinfo "$file" 2>/dev/null)
    have=$(echo "$told" | sed -n 's/^version:[[:space:]]*//p')
    want=$(libcuda_version)
    if [ -n "$have" ] && [ -n "$want" ] && [ "$have" != "$want" ]; then
        echo "its nvidia module is $have, but libcuda is $want"
    elif mokutil --sb-state 2>/dev/null | grep -q 'SecureBoot enabled' &&
        [ -n "$told" ] && ! echo "$told" | grep -q '^sig_key:\|^signer:'; then
        echo "its nvidia module is not signed, and Secure Boot is on"
    fi
}

look() {
    all=$(kernels)
    [ -n "$all" ] || return 0
    with=
    for release in $all; do
        [ -n "$(module_of "$release")" ] && with="$with $release"
    done
    # Where there never was a driver, nobody misses one.
    [ -n "$with" ] || [ -n "$(libcuda_version)" ] || [ -d "$top/var/lib/dkms/nvidia" ] ||
        [ -n "$(find "$top/var/lib/dkms" -prune -name 'nvidia*' 2>/dev/null)" ] || return 0
    next=$(next_by_grub)
    if [ -z "$next" ]; then
        if [ -z "$with" ]; then
            echo "no kernel here has an nvidia module"
            return
        fi
        [ "$(echo "$all" | wc -l)" = 1 ] || return 0
        next=$all
    fi
    reason=$(reason_for "$next")
    [ -n "$reason" ] && echo "the next boot starts $next: $reason"
}

line() {
    found=$(look)
    [ -n "$found" ] || return 0
    more=
    command -v gpu-bringup >/dev/null 2>&1 && more=" See: gpu-bringup check --next-boot"
    echo "gpu-bringup: NVIDIA driver will not work: $found.$more"
}

keep() {
    folder=${note%/*}
    [ -d "$folder" ] || mkdir -p "$folder" 2>/dev/null || return 0
    [ -w "$folder" ] || return 0
    printf '%s' "${1:+$1
}" >"$note.$$" 2>/dev/null && chmod 0644 "$note.$$" && mv -f "$note.$$" "$note"
    rm -f "$note.$$"
}

fresh() {
    [ -r "$note" ] || return 1
    newer=$(find "$top/boot" "$top/boot/grub" "$top/boot/grub2" "$top/boot/grub/grubenv" \
        "$top/boot/grub2/grubenv" "$top/boot/grub/grub.cfg" "$top/boot/grub2/grub.cfg" \
        "$top/lib/modules" "$top"/lib/modules/*/modules.dep "$top/etc/ld.so.cache" \
        -prune -newer "$note" 2>/dev/null | head -n 1)
    [ -z "$newer" ]
}

case ${1:-} in
upgraded)
    text=$(line 2>/dev/null)
    keep "$text" 2>/dev/null
    [ -z "$text" ] || echo "$text"
    ;;
login)
    if fresh; then
        cat "$note" 2>/dev/null
    else
        text=$(line 2>/dev/null)
        keep "$text" 2>/dev/null
        [ -z "$text" ] || echo "$text"
    fi
    ;;
*) echo "usage: next-boot upgraded|login" >&2 ;;
esac
exit 0
