# shellcheck shell=bash
# What the rigs share: fresh Debian file systems and a way into them. Source it; needs root.

# The archive that this host already uses: the first entry of its own sources.
rig_mirror() {
    awk '/^URIs:/{print $2; exit} /^deb[[:space:]]/{for(i=2;i<=NF;i++) if($i ~ /:\/\//){print $i; exit}}' \
        /etc/apt/sources.list.d/*.sources /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null | head -n 1
}

# rig_make SUITE FOLDER: a minimal Debian of that suite with updates and security, main only.
rig_make() {
    local suite=$1 folder=$2 mirror security
    [ -d "$folder/etc" ] && return 0
    mirror=${RIG_MIRROR:-$(rig_mirror)}
    security=${RIG_SECURITY:-${mirror%/*}/debian-security}
    mmdebstrap --variant=minbase --components=main "$suite" "$folder" \
        "deb $mirror $suite main" "deb $mirror $suite-updates main" "deb $security $suite-security main"
}

# rig_enter FOLDER COMMAND...: run a command in it, with mounts that vanish with the command.
rig_enter() {
    local folder=$1
    shift
    # shellcheck disable=SC2016  # expanded by the inner shell
    unshare --mount --fork --kill-child sh -c '
        folder=$1; shift
        cp /etc/resolv.conf /etc/hosts "$folder/etc/"
        printf "#!/bin/sh\nexit 101\n" >"$folder/usr/sbin/policy-rc.d"
        chmod +x "$folder/usr/sbin/policy-rc.d"
        for place in proc sys dev; do mount --rbind "/$place" "$folder/$place"; done
        if [ -f /etc/pip.conf ]; then cp /etc/pip.conf "$folder/etc/"; fi
        mkdir -p "$folder/etc/ssl/certs"
        # A host behind a proxy of its own trusts more than a fresh system does.
        if [ -f /etc/ssl/certs/ca-certificates.crt ]; then
            cp -L /etc/ssl/certs/ca-certificates.crt "$folder/etc/ssl/certs/"
        fi
        exec chroot "$folder" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM="${TERM:-dumb}" \
            LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive "$@"
    ' _ "$folder" "$@"
}

# rig_checkout FOLDER TARGET: put this checkout (what git knows and would know) into the file system.
rig_checkout() {
    local folder=$1 target=$2 top
    top=$(git -C "$(dirname "${BASH_SOURCE[0]}")" rev-parse --show-toplevel)
    rm -rf "${folder:?}$target"
    mkdir -p "$folder$target"
    # Files that are deleted but not committed as such are left out by tar with a warning.
    git -C "$top" ls-files -z --cached --others --exclude-standard |
        tar -C "$top" --null --ignore-failed-read -T - -cf - 2>/dev/null |
        tar -C "$folder$target" -xf -
}

# rig_turn: begin a piece of work when it is this rig's turn. Where RIG_LOCK names a file, one rig works
# at a time: the lock (flock) is given back first, so that whoever waits comes in between. After ten
# minutes of waiting the work goes on beside the other, with less of the processor; from then on it
# waits for seconds only.
rig_turn() {
    [ -n "${RIG_LOCK:-}" ] || return 0
    if [ -n "${rig_turn_file:-}" ]; then
        rig_turn_over
        sleep 0.5
    else
        exec {rig_turn_file}>>"$RIG_LOCK"
    fi
    if flock -w "${rig_turn_wait:-600}" "$rig_turn_file"; then
        renice -n 0 -p $$ >/dev/null
        rig_turn_wait=600
    else
        renice -n 5 -p $$ >/dev/null
        rig_turn_wait=20
    fi
}

# rig_turn_over: give it back, also where something that was started still has the file open.
rig_turn_over() {
    [ -z "${rig_turn_file:-}" ] || flock -u "$rig_turn_file"
}
