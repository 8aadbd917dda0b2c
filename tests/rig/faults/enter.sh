# shellcheck shell=bash
# Layers over the base, and a way in with firmware and kernel files put in front of the host's.

# layer_open BASE FOLDER: FOLDER/root is BASE with a layer of its own above it; nothing is copied.
layer_open() {
    local base=$1 folder=$2
    mkdir -p "$folder/upper" "$folder/work" "$folder/root" "$folder/shadow"
    mount -t overlay overlay -o "lowerdir=$base,upperdir=$folder/upper,workdir=$folder/work" "$folder/root"
}

# layer_close FOLDER: unmount all below it and remove it.
layer_close() {
    local folder=$1 place
    awk -v top="$folder/" 'index($5, top) == 1 {print $5}' /proc/self/mountinfo | sort -r |
        while read -r place; do umount -l "$place" || true; done
    rm -rf --one-file-system "$folder"
}

# in_layer FOLDER COMMAND...: run a command in it. What lies in FOLDER/shadow is put in front of the
# real file of that path in /proc and /sys (a file by a bind mount, a folder named *.d by a tmpfs
# with the files): what only firmware or a running kernel can tell.
in_layer() {
    local folder=$1
    shift
    # shellcheck disable=SC2016  # expanded by the inner shell
    unshare --mount --fork --kill-child sh -ec '
        folder=$1; shift
        root=$folder/root
        cp /etc/resolv.conf /etc/hosts "$root/etc/"
        for place in proc sys dev; do mount --rbind "/$place" "$root/$place"; done
        if [ -d "$folder/shadow/sys/firmware" ]; then
            mount -t tmpfs tmpfs "$root/sys/firmware"
            cp -a "$folder/shadow/sys/firmware/." "$root/sys/firmware/"
        fi
        find "$folder/shadow" -type f ! -path "*/shadow/sys/firmware/*" -printf "%P\n" |
            while read -r file; do mount --bind "$folder/shadow/$file" "$root/$file"; done
        exec chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb \
            LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive ${FAULT_ENVIRONMENT:-} "$@"
    ' _ "$folder" "$@"
}
