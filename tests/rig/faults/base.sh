# shellcheck shell=bash
# The one healthy system that every fault is made on. Source it after lib.sh and packages.sh.

# wish KERNEL [SOURCE [DRIVER]]: what all commands of this rig ask for: an H200 to come, this kernel.
wish() {
    printf '%s\n' --gpu H200 --scenario long-term-stable --source "${2:-nvidia-repository}" \
        --kernel "$1" --profiles /srv/profiles
    [ -z "${3:-}" ] || printf '%s\n' --driver "$3"
}

# newest_kernel ROOT: the release that linux-image-amd64 brings.
newest_kernel() {
    rig_enter "$1" apt-cache depends linux-image-amd64 | sed -n 's/.*Depends: linux-image-//p' | head -n 1
}

# older_kernel ROOT: another release that the archive still has with its headers.
older_kernel() {
    local newest
    newest=$(newest_kernel "$1")
    rig_enter "$1" apt-cache search --names-only '^linux-headers-[0-9].*[0-9]-amd64$' |
        sed -n 's/^linux-headers-\([^ ]*\) .*/\1/p' | grep -vxF "$newest" | sort -V | tail -n 1
}

# make_base FOLDER LOG: kernels, headers, dkms and the stand-in driver, set up by the wizard itself.
make_base() {
    local base=$1 log=$2 newest older wanted
    if [ -n "${RIG_BASE:-}" ]; then
        cp -a --reflink=auto "$RIG_BASE" "$base.new"
    else
        rig_make trixie "$base.new" >"$log" 2>&1
    fi
    rig_enter "$base.new" apt-get update -q >>"$log" 2>&1
    newest=$(newest_kernel "$base.new")
    older=$(older_kernel "$base.new")
    # Two kernels, as a server has after an update; what the wizard must bring itself is left out
    # (gcc is here for the stand-in libraries).
    rig_enter "$base.new" apt-get install -y -q --no-install-recommends \
        linux-image-amd64 linux-headers-amd64 "linux-image-$older" "linux-headers-$older" \
        initramfs-tools python3 python3-venv ca-certificates dpkg-dev apt-utils gnupg gcc libc6-dev \
        dkms make openssl kmod xz-utils zstd >>"$log" 2>&1
    printf '%s\n' "$newest" >"$base.new/srv/newest"
    printf '%s\n' "$older" >"$base.new/srv/older"
    make_repository "$base.new" >>"$log" 2>&1
    rig_checkout "$base.new" /opt/gpu-bringup
    mapfile -t wanted < <(wish "$newest")
    rig_enter "$base.new" /opt/gpu-bringup/scripts/gpu-bringup apply "${wanted[@]}" --yes >>"$log" 2>&1
    # The old kernel too has its module, as it had before the update.
    rig_enter "$base.new" dkms autoinstall -k "$older" >>"$log" 2>&1
    rm -rf "$base.new/var/lib/gpu-bringup/runs"
    mv "$base.new" "$base"
}
