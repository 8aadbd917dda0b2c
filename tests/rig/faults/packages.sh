# shellcheck shell=bash
# Stand-in driver packages of the real names, in a local repository that is signed as NVIDIA's is.
# Source it; needs rig_enter.
# shellcheck disable=SC2154  # here: set by faults.sh

DRIVER=580.178.04
OLDER=580.159.03
# Its source does not compile on the newest kernel of the rig: a function that it calls is gone.
FAILING=580.142
# Debian's own series beside NVIDIA's repository.
SERIES=550.163.01
REPOSITORY=/srv/repository/debian13/x86_64

# deb ROOT NAME VERSION DEPENDS [FOLDER]: a package with a folder's files (DEBIAN/ scripts included).
deb() {
    local root=$1 name=$2 version=$3 depends=$4 files=${5:-} build
    build=$(mktemp -d "$root/srv/build.XXXXXX")
    [ -z "$files" ] || cp -a "$files/." "$build/"
    mkdir -p "$build/DEBIAN"
    cat >"$build/DEBIAN/control" <<CONTROL
Package: $name
Version: $version
Architecture: amd64
Maintainer: Rig <rig@example.org>
Depends: $depends
Description: stand-in for NVIDIA's $name
CONTROL
    chmod 0755 "$build" "$build/DEBIAN"
    rig_enter "$root" dpkg-deb --root-owner-group -b "${build#"$root"}" \
        "$REPOSITORY/${name}_${version}_amd64.deb" >/dev/null
    rm -rf "$build"
}

# dkms_source ROOT FOLDER VERSION: the stand-in module's source as a dkms package brings it.
dkms_source() {
    local root=$1 folder=$2 version=$3 target number=0 module code
    target=$folder/usr/src/nvidia-$version
    mkdir -p "$target" "$folder/DEBIAN"
    cp "$here"/module/nvidia.c "$here"/module/Makefile "$target/"
    sed -i "s/MODULE_VERSION(\"[0-9.]*\")/MODULE_VERSION(\"$version\")/" "$target/nvidia.c"
    if [ "$version" = "$FAILING" ]; then
        code=$(sed 's/[^0-9.].*//; s/\./,/g' "$root/srv/newest")
        cat >>"$target/nvidia.c" <<SOURCE
#include <linux/mm.h>
#include <linux/version.h>
#if LINUX_VERSION_CODE >= KERNEL_VERSION($code)
int stand_in_pfn(struct vm_area_struct *area, unsigned long address, unsigned long *frame);
int stand_in_pfn(struct vm_area_struct *area, unsigned long address, unsigned long *frame)
{
	return follow_pfn(area, address, frame);
}
#endif
SOURCE
    fi
    {
        printf 'PACKAGE_NAME="nvidia"\nPACKAGE_VERSION="%s"\nAUTOINSTALL="yes"\n' "$version"
        # shellcheck disable=SC2016  # dkms fills it in
        printf 'MAKE[0]="make modules KERNEL_UNAME=${kernelver}"\nCLEAN="true"\n'
        for module in nvidia nvidia-uvm nvidia-modeset nvidia-drm nvidia-peermem; do
            printf 'BUILT_MODULE_NAME[%s]="%s"\nDEST_MODULE_LOCATION[%s]="/updates/dkms"\n' \
                "$number" "$module" "$number"
            number=$((number + 1))
        done
    } >"$target/dkms.conf"
    # What dh_dkms writes into a package: register, then build for the kernels that have headers.
    cat >"$folder/DEBIAN/postinst" <<POSTINST
#!/bin/sh
set -e
[ "\$1" = configure ] || exit 0
exec /usr/lib/dkms/common.postinst nvidia $version /usr/share/nvidia "" "\$2"
POSTINST
    cat >"$folder/DEBIAN/prerm" <<PRERM
#!/bin/sh
set -e
dkms remove -m nvidia -v $version --all || true
PRERM
    chmod 0755 "$folder/DEBIAN/postinst" "$folder/DEBIAN/prerm"
}

# library ROOT FOLDER SONAME FILE: a real shared object with that soname.
library() {
    local root=$1 folder=$2 soname=$3 file=$4
    mkdir -p "$folder"
    printf 'int gpu_bringup_rig_stand_in;\n' >"$root/srv/stand-in.c"
    rig_enter "$root" gcc -shared -fPIC -Wl,-soname,"$soname" -o /srv/stand-in.so /srv/stand-in.c
    mv "$root/srv/stand-in.so" "$folder/$file"
    rm "$root/srv/stand-in.c"
    ln -sf "$file" "$folder/$soname"
}

# driver_packages ROOT VERSION: one release of the driver, split as NVIDIA's repository splits it.
driver_packages() {
    local root=$1 version=$2 files pair
    files=$(mktemp -d "$root/srv/files.XXXXXX")
    dkms_source "$root" "$files" "$version"
    deb "$root" nvidia-kernel-open-dkms "$version-1" "dkms, make" "$files"
    rm -rf "$files"
    for pair in libcuda1:libcuda libnvidia-ml1:libnvidia-ml; do
        files=$(mktemp -d "$root/srv/files.XXXXXX")
        library "$root" "$files/usr/lib/x86_64-linux-gnu" "${pair#*:}.so.1" "${pair#*:}.so.$version"
        mkdir -p "$files/DEBIAN"
        printf 'activate-noawait ldconfig\n' >"$files/DEBIAN/triggers"
        deb "$root" "${pair%:*}" "$version-1" libc6 "$files"
        rm -rf "$files"
    done
    deb "$root" nvidia-driver-cuda "$version-1" "libcuda1 (= $version-1), libnvidia-ml1 (= $version-1), \
nvidia-modprobe, nvidia-persistenced"
}

# make_repository ROOT: two releases of the driver, and what goes with them.
make_repository() {
    local root=$1 files
    mkdir -p "$root$REPOSITORY"
    driver_packages "$root" "$FAILING"
    driver_packages "$root" "$OLDER"
    driver_packages "$root" "$DRIVER"
    deb "$root" nvidia-modprobe "$DRIVER-1" libc6
    deb "$root" nvidia-persistenced "$DRIVER-1" libc6
    deb "$root" nvidia-driver-pinning-580 "580-1" libc6
    files=$(mktemp -d "$root/srv/files.XXXXXX")
    library "$root" "$files/usr/lib/x86_64-linux-gnu" libcuda.so.1 "libcuda.so.$SERIES"
    deb "$root" libcuda1 "$SERIES-2" libc6 "$files"
    rm -rf "$files"
    # shellcheck disable=SC2016  # the inner shell expands
    rig_enter "$root" sh -ec '
        export GNUPGHOME=/srv/gnupg
        mkdir -m 0700 "$GNUPGHOME"
        gpg --batch --quiet --passphrase "" --quick-gen-key "vendor <vendor@example.org>" rsa3072 sign never
        gpg --batch --quiet --passphrase "" --faked-system-time 20250101T000000 \
            --quick-gen-key "gone <gone@example.org>" rsa3072 sign 2025-06-01
        cd /srv/repository/debian13/x86_64
        apt-ftparchive packages . >Packages
        apt-ftparchive release . >Release
        gpg --batch --quiet --local-user vendor --clearsign -o InRelease Release
        gpg --armor --export vendor >key.pub
        gpg --export gone >/srv/expired.gpg
        gpg --with-colons --list-keys vendor | sed -n "s/^fpr:*\([0-9A-F]*\):/\1/p" | head -n 1 >/srv/fingerprint
        gpgconf --kill all
    '
    mkdir -p "$root/srv/profiles"
    cat >"$root/srv/profiles/repository.toml" <<PROFILE
[[repository]]
id = "nvidia-cuda-debian13"
name = "Mirror of NVIDIA's repository"
uri = "file:///srv/repository/{distro}/{arch}/"
suite = "/"
key_uri = "file:///srv/repository/{distro}/{arch}/key.pub"
fingerprints = ["$(cat "$root/srv/fingerprint")"]
sources = ["nvidia-repository"]
PROFILE
}
