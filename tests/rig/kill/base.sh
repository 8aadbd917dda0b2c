# shellcheck shell=bash
# The one server that every cell begins with: Debian 13 with a kernel and a compiler, no driver, and
# an archive of its own that a small HTTP server in it serves, so that the network can be taken away.
# Source it after lib.sh and faults/packages.sh.
# shellcheck disable=SC2154  # DRIVER, REPOSITORY: set by faults/packages.sh

ARCHIVE=http://127.0.0.1

# kill_base FOLDER LOG: make it (some minutes, once). Call it as "kill_base ... & wait $!": bash heeds
# set -e in a function only where nobody asks for its status.
kill_base() {
    kill_make "$1.new" >"$2" 2>&1
    mv "$1.new" "$1"
}

kill_make() {
    local root=$1 kernel
    rig_make trixie "$root"
    rig_enter "$root" apt-get update -q
    # Most of the kernel's own modules stay out: depmod reads them all, several times in each cell.
    for part in sound net fs/netfs fs/btrfs fs/xfs fs/ocfs2 drivers/net drivers/media drivers/usb drivers/iio \
        drivers/hwmon drivers/scsi drivers/infiniband drivers/staging drivers/mtd drivers/input drivers/power \
        drivers/gpu/drm/amd drivers/gpu/drm/i915 drivers/gpu/drm/xe; do
        printf 'path-exclude=/lib/modules/*/kernel/%s/*\npath-exclude=/usr/lib/modules/*/kernel/%s/*\n' "$part" "$part"
    done >"$root/etc/dpkg/dpkg.cfg.d/rig"
    # What the plan itself shall bring (dkms, mokutil, the driver) is left out.
    rig_enter "$root" apt-get install -y -q --no-install-recommends \
        linux-image-amd64 linux-headers-amd64 initramfs-tools python3 python3-venv ca-certificates \
        dpkg-dev apt-utils gnupg gcc libc6-dev make openssh-server openssh-client sudo iproute2 procps
    kernel=$(rig_enter "$root" apt-cache depends linux-image-amd64 | sed -n 's/.*Depends: linux-image-//p' | head -n 1)
    printf '%s\n' "$kernel" | tee "$root/srv/kernel" >"$root/srv/newest"
    # An initramfs of seconds: this rig is about interruptions, not about what is in it.
    echo MODULES=list >"$root/etc/initramfs-tools/conf.d/rig"
    rig_enter "$root" update-initramfs -u -k "$kernel"
    kill_vendor "$root"
    kill_mirror "$root"
    rig_checkout "$root" /opt/gpu-bringup
    rig_enter "$root" /opt/gpu-bringup/scripts/gpu-bringup --version
    kill_accounts "$root"
    rm -rf "$root/var/lib/gpu-bringup" "$root/var/cache/gpu-bringup"
}

# kill_vendor ROOT: NVIDIA's repository, stood in for.
kill_vendor() {
    local root=$1
    mkdir -p "$root$REPOSITORY"
    kill_modules "$root"
    # dkms_source takes the module's files from there.
    here=$root/srv/prebuilt driver_packages "$root" "$DRIVER"
    deb "$root" nvidia-modprobe "$DRIVER-1" libc6
    deb "$root" nvidia-persistenced "$DRIVER-1" libc6
    deb "$root" nvidia-driver-pinning-580 "580-1" libc6
    # shellcheck disable=SC2016  # the inner shell expands
    rig_enter "$root" sh -ec '
        export GNUPGHOME=/srv/gnupg
        mkdir -m 0700 "$GNUPGHOME"
        gpg --batch --quiet --passphrase "" --quick-gen-key "vendor <vendor@example.org>" rsa3072 sign never
        gpg --armor --export vendor >/srv/repository/debian13/x86_64/key.pub
        gpg --with-colons --list-keys vendor | sed -n "s/^fpr:*\([0-9A-F]*\):/\1/p" | head -n 1 >/srv/fingerprint
        gpgconf --kill all
    '
    kill_index "$root"
    mkdir -p "$root/srv/profiles"
    cat >"$root/srv/profiles/repository.toml" <<PROFILE
[[repository]]
id = "nvidia-cuda-debian13"
name = "Mirror of NVIDIA's repository"
uri = "$ARCHIVE/repository/{distro}/{arch}/"
suite = "/"
key_uri = "file:///srv/repository/{distro}/{arch}/key.pub"
fingerprints = ["$(cat "$root/srv/fingerprint")"]
sources = ["nvidia-repository"]
PROFILE
}

# kill_modules ROOT: compile the stand-in once. Its Makefile then only copies: dkms, signing, depmod and
# the rest stay what they are, and a cell costs seconds on a small machine.
kill_modules() {
    local root=$1 kernel place=$1/srv/prebuilt
    kernel=$(cat "$root/srv/kernel")
    mkdir -p "$place/module" "$place/$kernel"
    cp "$here"/module/nvidia.c "$here"/module/Makefile "$place/$kernel/"
    rig_enter "$root" make -C "/srv/prebuilt/$kernel" modules "KERNEL_UNAME=$kernel"
    find "$place/$kernel" -type f ! -name '*.ko' -delete
    rig_enter "$root" sh -c "strip --strip-debug /srv/prebuilt/$kernel/*.ko"
    cp "$here"/module/nvidia.c "$place/module/"
    # shellcheck disable=SC2016  # make fills it in
    printf 'modules:\n\tcp /srv/prebuilt/$(KERNEL_UNAME)/*.ko .\n' >"$place/module/Makefile"
}

# kill_index ROOT: sign the repository anew.
kill_index() {
    # shellcheck disable=SC2016  # the inner shell expands
    rig_enter "$1" sh -ec '
        export GNUPGHOME=/srv/gnupg
        cd /srv/repository/debian13/x86_64
        rm -f Packages Release InRelease
        apt-ftparchive packages . >Packages
        apt-ftparchive release . >Release
        gpg --batch --quiet --local-user vendor --clearsign -o InRelease Release
        gpgconf --kill all
    '
}

# kill_mirror ROOT: Debian's archive, as far as the plan and its faults need it.
kill_mirror() {
    local root=$1
    # shellcheck disable=SC2016  # the inner shell expands
    rig_enter "$root" sh -ec '
        export GNUPGHOME=/srv/gnupg
        pool=/srv/debian/pool
        mkdir -p "$pool"
        apt-get clean
        apt-get install -y -q --download-only --reinstall --no-install-recommends \
            dkms openssl kmod mokutil gpg curl zstd xz-utils gcc gcc-14 \
            linux-image-amd64 linux-headers-amd64 make libc6-dev ca-certificates tzdata
        cp /var/cache/apt/archives/*.deb "$pool/"
        apt-get clean
        cd /srv/debian
        for part in main contrib; do mkdir -p "dists/trixie/$part/binary-amd64"; done
        apt-ftparchive packages pool >dists/trixie/main/binary-amd64/Packages
        : >dists/trixie/contrib/binary-amd64/Packages
        apt-ftparchive -o APT::FTPArchive::Release::Codename=trixie -o APT::FTPArchive::Release::Suite=stable \
            -o APT::FTPArchive::Release::Origin=Debian -o APT::FTPArchive::Release::Label=Debian \
            -o APT::FTPArchive::Release::Components="main contrib" \
            -o APT::FTPArchive::Release::Architectures=amd64 release dists/trixie >Release
        gpg --batch --quiet --passphrase "" --quick-gen-key "archive <archive@example.org>" rsa3072 sign never
        gpg --batch --quiet --local-user archive --clearsign -o dists/trixie/InRelease Release
        gpg --export archive >/usr/share/keyrings/rig-archive.gpg
        gpgconf --kill all
        rm -f /etc/apt/sources.list /etc/apt/sources.list.d/*
        rm -rf /var/lib/apt/lists/*
    '
    cat >"$root/etc/apt/sources.list.d/debian.sources" <<SOURCES
Types: deb
URIs: $ARCHIVE/debian/
Suites: trixie
Components: main
Signed-By: /usr/share/keyrings/rig-archive.gpg
SOURCES
    # Proxies of the machine that runs the rig are none of the server's.
    rm -f "$root/etc/pip.conf"
}

# kill_accounts ROOT: an SSH server on loopback, and a key that root may come in with.
kill_accounts() {
    local root=$1
    mkdir -p "$root/run/sshd" "$root/root/.ssh"
    chmod 0700 "$root/root/.ssh"
    rig_enter "$root" ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/id_ed25519
    cp "$root/root/.ssh/id_ed25519.pub" "$root/root/.ssh/authorized_keys"
    chmod 0600 "$root/root/.ssh/authorized_keys"
    cat >"$root/etc/ssh/sshd_config.d/rig.conf" <<'SSHD'
ListenAddress 127.0.0.1
PermitRootLogin prohibit-password
AcceptEnv TERM LANG LC_*
SSHD
}
