# shellcheck shell=bash
# The faults: make_NAME makes one in $layer, after_NAME (where there is one) looks whether what it
# left is still there. Both use $newest and $older, the kernels of the base. Source it.
# shellcheck disable=SC2154,SC2034  # layer, newest, older: set by faults.sh, which uses FAULTS

# NAME|expected root cause|live or shadowed|source of the driver (nvidia-repository where empty)|driver
# that is asked for (where empty: what fits, which is the installed one as long as it can work)
# Names that end in -real take a quarter of an hour and more, and are made only when they are named.
FAULTS=(
    "headers-removed|headers-missing|live"
    "headers-deleted|headers-missing|live"
    "meta-missing|headers-meta-not-following|live"
    "build-fails|dkms-build-api-break|live"
    "build-fails-real|dkms-build-api-break|live|distribution"
    "dpkg-killed|dpkg-interrupted|live"
    "source-removed|dkms-tree-broken|live"
    "held-in-the-way|held-or-broken-packages|live||$DRIVER"
    "series-mixed|repo-or-branch-package-conflict|live"
    "runfile-leftovers|mixed-runfile-and-packages|live"
    "var-full|dkms-disk-full|live"
    "boot-full|boot-partition-full|live"
    "compiler-missing|gcc-mismatch|live"
    "nouveau-in-initramfs|nouveau-loaded|live"
    "nvidia-blacklisted|module-blacklisted|live"
    "module-unsigned|sb-unsigned-module|shadowed"
    "module-wrong-key|sb-mok-not-enrolled|shadowed"
    "initramfs-old-module|initramfs-stale-module|live"
    "libcuda-stub|libcuda-stub|live"
    "libcuda-twice|duplicate-userspace-versions|live"
    "key-expired|repo-signing-key|live"
    "key-missing|repo-signing-key|live"
    "module-newer|driver-library-mismatch-stale-on-disk|live"
    "module-older|driver-library-mismatch-stale-on-disk|live"
    "other-flavour|kernel-flavour-change|live"
)

run() { in_layer "$layer" "$@"; }
apt() { run apt-get -y -q -o Dpkg::Use-Pty=0 "$@"; }
modules_of() { printf '/lib/modules/%s/updates/dkms' "$1"; }

# Packages are held by the wizard's own guard; whoever breaks a server takes holds off first.
unhold() { run sh -c 'apt-mark unhold $(apt-mark showhold)'; }
hold() { run apt-mark hold nvidia-driver-cuda nvidia-kernel-open-dkms nvidia-persistenced linux-image-amd64 linux-headers-amd64; }

# drivers VERSION PACKAGE...: those packages in another version, as by hand.
drivers() {
    local version=$1 name files=()
    shift
    for name in "$@"; do files+=("$REPOSITORY/${name}_$version-1_amd64.deb"); done
    run dpkg --force-downgrade --force-depends -i "${files[@]}"
}

# unpacked FILE: the module file without compression; prints its path.
unpacked() {
    case $1 in *.xz) run xz -d "$1" ;; *.zst) run zstd -q --rm -d "$1" ;; esac
    printf '%s\n' "${1%.*z*}"
}

make_headers_removed() {
    unhold
    apt purge linux-headers-amd64 "linux-headers-$newest" "linux-headers-$older"
    apt purge linux-image-amd64
}

make_headers_deleted() { rm -rf "$layer/root/usr/src/linux-headers-$newest"; }

make_meta_missing() {
    unhold
    apt purge linux-headers-amd64 "linux-headers-$newest" linux-image-amd64 "linux-image-$newest"
    apt install --no-install-recommends linux-image-amd64
    ! ls "$layer/root$(modules_of "$newest")"
}

make_build_fails() {
    unhold
    drivers "$FAILING" libcuda1 libnvidia-ml1 nvidia-driver-cuda
    # Built for the old kernel as it was before the update; for the new one it can't be.
    drivers "$FAILING" nvidia-kernel-open-dkms || true
    run dpkg --configure -a || true
    ! ls "$layer/root$(modules_of "$newest")"/nvidia.ko*
}

# Debian 13 as it is: its own driver does not compile on its own newest kernel.
make_build_fails_real() {
    unhold
    apt purge nvidia-driver-cuda nvidia-kernel-open-dkms nvidia-persistenced nvidia-modprobe \
        nvidia-driver-pinning-580 libcuda1 libnvidia-ml1 "linux-headers-$older" "linux-image-$older"
    rm -f "$layer"/root/etc/apt/sources.list.d/gpu-bringup-* "$layer"/root/etc/apt/preferences.d/*gpu-bringup-*
    sed -i 's/ main.*$/ main contrib non-free non-free-firmware/' "$layer/root/etc/apt/sources.list"
    apt update
    # The libraries were there before the kernel moved, and work still.
    apt install --no-install-recommends libcuda1 libnvidia-ml1 nvidia-smi
    ! apt install --no-install-recommends nvidia-open-kernel-dkms
    run dpkg-query -W -f '${Status}' nvidia-open-kernel-dkms | grep half-configured
    grep -r 'error:' "$layer"/root/var/lib/dkms/nvidia-current-open/*/build/make.log
}

make_dpkg_killed() {
    unhold
    run dkms remove -m nvidia -v "$DRIVER" --all
    # A session of its own, so that dkms and make die with it, as in a power cut.
    # shellcheck disable=SC2016  # the inner shell expands
    run bash -c '
        dpkg --unpack "$1"
        setsid dpkg --configure -a &
        installer=$!
        for _ in $(seq 600); do
            [ -n "$(ls -d /var/lib/dkms/nvidia/*/build 2>/dev/null)" ] && break
            sleep 0.1
        done
        kill -9 -- "-$installer"
    ' _ "$REPOSITORY/nvidia-kernel-open-dkms_$DRIVER-1_amd64.deb"
    sleep 1
    run dpkg-query -W -f '${Status}' nvidia-kernel-open-dkms | grep half-configured
}

make_source_removed() {
    run dkms remove -m nvidia -v "$DRIVER" -k "$newest"
    rm -rf "$layer/root/usr/src/nvidia-$DRIVER"
    # dkms complains of the missing source, and ends with 0.
    run dkms autoinstall -k "$newest" || true
    ! ls "$layer/root$(modules_of "$newest")"/nvidia.ko*
}

make_held_in_the_way() {
    make_build_fails
    run dpkg --configure -a || true
    # The server was mended as far as dpkg goes, and the broken release is held.
    run sed -i '/^exec/s/$/ || true/; s/^exec //' /var/lib/dpkg/info/nvidia-kernel-open-dkms.postinst
    run dpkg --configure -a
    hold
    rm -rf "$layer/root/var/lib/dkms/nvidia/$FAILING/build"
}

make_series_mixed() {
    run dpkg --force-downgrade --force-depends -i "$REPOSITORY/libcuda1_$SERIES-2_amd64.deb"
}

make_runfile_leftovers() {
    local root=$layer/root folder
    folder=$root/usr/lib/x86_64-linux-gnu
    cp "$folder/libcuda.so.$DRIVER" "$folder/libcuda.so.$FAILING"
    cp "$folder/libnvidia-ml.so.$DRIVER" "$folder/libnvidia-ml.so.$FAILING"
    ln -sf "libcuda.so.$FAILING" "$folder/libcuda.so.1"
    ln -sf "libnvidia-ml.so.$FAILING" "$folder/libnvidia-ml.so.1"
    printf 'nvidia-installer log file\n' >"$root/var/log/nvidia-installer.log"
    # What nvidia-installer --uninstall does: its files go, links that it took over with them.
    cat >"$root/usr/bin/nvidia-uninstall" <<UNINSTALL
#!/bin/sh
cd /usr/lib/x86_64-linux-gnu || exit 1
rm -f libcuda.so.$FAILING libnvidia-ml.so.$FAILING libcuda.so.1 libnvidia-ml.so.1
rm -f /usr/bin/nvidia-uninstall
ldconfig
UNINSTALL
    chmod 0755 "$root/usr/bin/nvidia-uninstall"
}

# small_disk FOLDER BYTES: that folder on a file system of its own, with what is in it.
small_disk() {
    local folder=$1 size=$2 place=$layer/root/$1
    mkdir -p "$layer/disks"
    truncate -s "$size" "$layer/disks/$folder.img"
    mkfs.ext4 -q -m 0 -d "$place" "$layer/disks/$folder.img"
    mount -o loop "$layer/disks/$folder.img" "$place"
}

# fill FILE LEAVE: a file that leaves that many bytes on its file system.
fill() {
    local free
    free=$(df --output=avail -B1 "$(dirname "$1")" | tail -n 1)
    fallocate -l "$((free - $2))" "$1"
}

make_var_full() {
    run dkms remove -m nvidia -v "$DRIVER" -k "$newest"
    small_disk var 6G
    # What fills it in life: packages that apt has kept.
    fill "$layer/root/var/cache/apt/archives/linux-image-kept_1_amd64.deb" 300000
    ! run dkms autoinstall -k "$newest"
}

make_boot_full() {
    local used third
    unhold
    # Kernels have piled up, as they do where nobody removes them.
    third=$(run apt-cache search --names-only '^linux-image-[0-9].*[0-9]-amd64$' |
        sed -n 's/^linux-image-\([^ ]*\) .*/\1/p' | sort -V | grep -vxF -e "$newest" -e "$older" | tail -n 1)
    apt install --no-install-recommends "linux-image-$third"
    used=$(du -s -B1 "$layer/root/boot" | cut -f1)
    mkdir -p "$layer/disks/boot"
    mount -t tmpfs -o "size=$((used + 12000000))" tmpfs "$layer/disks/boot"
    cp -a "$layer/root/boot/." "$layer/disks/boot/"
    mount --bind "$layer/disks/boot" "$layer/root/boot"
    ! apt install --reinstall --no-install-recommends "linux-image-$newest"
}

make_compiler_missing() {
    run dkms remove -m nvidia -v "$DRIVER" -k "$newest"
    # The kernel's compiler alone: its program was cleared away, another one may be there.
    rm "$layer"/root/usr/bin/gcc-[0-9]* "$layer"/root/usr/bin/x86_64-linux-gnu-gcc-[0-9]*
    run dkms autoinstall -k "$newest" || true
    ! ls "$layer/root$(modules_of "$newest")"/nvidia.ko*
}

make_nouveau_in_initramfs() {
    local file=/etc/modprobe.d/gpu-bringup-nouveau.conf
    printf 'nouveau\n' >>"$layer/root/etc/initramfs-tools/modules"
    run mv "$file" /srv/
    run update-initramfs -u -k "$newest"
    # The file is written, the image is forgotten.
    run cp /srv/gpu-bringup-nouveau.conf "$file"
    run lsinitramfs "/boot/initrd.img-$newest" | grep nouveau.ko
}

make_nvidia_blacklisted() {
    printf '# written by a tool that is gone\nblacklist nvidia\nblacklist nvidia_uvm\nalias nvidia off\n' \
        >"$layer/root/etc/modprobe.d/blacklist-nvidia.conf"
    run update-initramfs -u -k "$newest"
}

after_nvidia_blacklisted() {
    moved blacklist-nvidia.conf
}

# moved NAME: a file of that name is kept elsewhere, not removed, and the run named it.
moved() {
    find "$layer/root/var/lib/gpu-bringup" "$layer/root/etc/modprobe.d" ! -name "$1" -name "*$1*" |
        grep . >/dev/null || { echo "$1 was not kept"; return 1; }
    cat "$cache/$(basename "$layer").apply"* | grep "$1" >/dev/null || { echo "$1 was not named"; return 1; }
}

# secure_boot: firmware that enforces Secure Boot and knows dkms's key (EFI variables).
secure_boot() {
    local folder=$layer/shadow/sys/firmware/efi/efivars
    mkdir -p "$folder"
    printf '\006\000\000\000\001' >"$folder/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
    # An EFI_SIGNATURE_LIST (UEFI 2.10, 32.4.1) of one X.509 certificate, owner: shim.
    run python3 - /var/lib/dkms/mok.pub /srv/mok-list <<'PYTHON'
import struct, sys, uuid
certificate = open(sys.argv[1], "rb").read()
kind = uuid.UUID("a5c059a1-94e4-4aa7-87b5-ab155c2bf072").bytes_le
owner = uuid.UUID("605dab50-e046-4300-abb6-3dd810dd8b23").bytes_le
size = 16 + len(certificate)
header = kind + struct.pack("<III", 28 + size, 0, size)
open(sys.argv[2], "wb").write(b"\6\0\0\0" + header + owner + certificate)
PYTHON
    mv "$layer/root/srv/mok-list" "$folder/MokListRT-605dab50-e046-4300-abb6-3dd810dd8b23"
}

make_module_unsigned() {
    local file plain
    secure_boot
    for file in "$layer/root$(modules_of "$newest")"/nvidia*.ko*; do
        plain=$(unpacked "${file#"$layer/root"}")
        run strip --strip-debug "$plain"
    done
    run depmod -a "$newest"
    [ -z "$(run modinfo -F signer "$(modules_of "$newest")/nvidia.ko")" ]
}

make_module_wrong_key() {
    local file plain
    secure_boot
    run openssl req -new -x509 -newkey rsa:2048 -nodes -days 36500 -subj "/CN=Key of another server" \
        -keyout /srv/other.key -outform DER -out /srv/other.der
    for file in "$layer/root$(modules_of "$newest")"/nvidia*.ko*; do
        plain=$(unpacked "${file#"$layer/root"}")
        run strip --strip-debug "$plain"
        run "/lib/modules/$newest/build/scripts/sign-file" sha256 /srv/other.key /srv/other.der "$plain"
    done
    run depmod -a "$newest"
    run modinfo -F signer "$(modules_of "$newest")/nvidia.ko" | grep "another server"
}

make_initramfs_old_module() {
    local set=(libcuda1 libnvidia-ml1 nvidia-driver-cuda nvidia-kernel-open-dkms)
    unhold
    drivers "$OLDER" "${set[@]}"
    printf 'nvidia\n' >>"$layer/root/etc/initramfs-tools/modules"
    run update-initramfs -u -k "$newest"
    sleep 1
    drivers "$DRIVER" "${set[@]}"
    hold
    run lsinitramfs "/boot/initrd.img-$newest" | grep 'dkms/nvidia.ko'
}

make_libcuda_stub() {
    local folder=$layer/root/usr/local/cuda/lib64/stubs
    mkdir -p "$folder"
    cp "$layer/root/usr/lib/x86_64-linux-gnu/libcuda.so.$DRIVER" "$folder/libcuda.so"
    ln -s libcuda.so "$folder/libcuda.so.1"
    printf '/usr/local/cuda/lib64/stubs\n' >"$layer/root/etc/ld.so.conf.d/000-cuda.conf"
    run ldconfig
    run ldconfig -p >"$layer/libraries"
    grep -m 1 libcuda.so.1 "$layer/libraries" | grep stubs
}

after_libcuda_stub() { moved 000-cuda.conf; }

make_libcuda_twice() {
    cp "$layer/root/usr/lib/x86_64-linux-gnu/libcuda.so.$DRIVER" "$layer/root/usr/local/lib/libcuda.so.$FAILING"
    run ldconfig
    run ldconfig -p | grep libcuda.so.1 | grep /usr/local/lib
}

after_libcuda_twice() { moved "libcuda.so.$FAILING"; }

make_key_expired() {
    cp "$layer/root/srv/expired.gpg" "$layer/root/etc/apt/keyrings/gpu-bringup-nvidia-cuda-debian13.gpg"
    ! run apt-get update -o APT::Update::Error-Mode=any
}

make_key_missing() {
    rm "$layer/root/etc/apt/keyrings/gpu-bringup-nvidia-cuda-debian13.gpg"
    ! run apt-get update -o APT::Update::Error-Mode=any
}

make_module_newer() {
    unhold
    drivers "$OLDER" libcuda1 libnvidia-ml1 nvidia-driver-cuda
}

make_module_older() {
    unhold
    drivers "$OLDER" nvidia-kernel-open-dkms
}

make_other_flavour() {
    local cloud=${newest%-amd64}-cloud-amd64 build=/srv/flavour file
    apt install --no-install-recommends "linux-headers-$cloud"
    run cp -r "/usr/src/nvidia-$DRIVER" "$build"
    run make -C "$build" modules "KERNEL_UNAME=$cloud"
    run rm -f "$(modules_of "$newest")"/nvidia.ko.xz "$(modules_of "$newest")"/nvidia.ko
    run cp "$build/nvidia.ko" "$(modules_of "$newest")/nvidia.ko"
    run depmod -a "$newest"
    apt purge "linux-headers-$cloud"
    run modinfo -F vermagic "$(modules_of "$newest")/nvidia.ko" | grep cloud
}
