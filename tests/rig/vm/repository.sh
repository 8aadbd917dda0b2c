# shellcheck shell=bash
# NVIDIA's repository, stood in for: packages of the real names whose module compiles in seconds and
# answers as the real one does without a GPU. Made once, natively, for all machines.
# Source it after lib.sh and faults/packages.sh.
# shellcheck disable=SC2154  # DRIVER, OLDER, FAILING: faults/packages.sh

# vm_repository CACHE LOG: CACHE/repository/srv and CACHE/repository/profile.toml.
vm_repository() {
    local log=$2 builder=$1/builder target=$1/repository distribution pair
    if [ ! -d "$builder" ]; then
        rm -rf --one-file-system "$builder.new"
        mmdebstrap --variant=minbase --components=main --include=gcc,libc6-dev,dpkg-dev,apt-utils,gnupg \
            bookworm "$builder.new" "deb ${RIG_MIRROR:-$(rig_mirror)} bookworm main" >"$log" 2>&1
        mv "$builder.new" "$builder"
    fi
    rm -rf "$builder/srv" "$target"
    # packages.sh puts packages here, as each machine will see them.
    REPOSITORY=/srv/repository/pool
    mkdir -p "$builder$REPOSITORY" "$target"
    {
        driver_packages "$builder" "$DRIVER"
        deb "$builder" nvidia-modprobe "$DRIVER-1" libc6
        deb "$builder" nvidia-persistenced "$DRIVER-1" libc6
        deb "$builder" nvidia-driver-pinning-580 "580-1" libc6
        # shellcheck disable=SC2016  # the inner shell expands
        rig_enter "$builder" sh -ec '
            export GNUPGHOME=/srv/gnupg
            mkdir -m 0700 "$GNUPGHOME"
            gpg --batch --quiet --passphrase "" --quick-gen-key "vendor <vendor@example.org>" rsa3072 sign never
            cd /srv/repository/pool
            apt-ftparchive packages . >Packages
            apt-ftparchive release . >Release
            gpg --batch --quiet --local-user vendor --clearsign -o InRelease Release
            gpg --armor --export vendor >key.pub
            gpg --with-colons --list-keys vendor | sed -n "s/^fpr:*\([0-9A-F]*\):/\1/p" | head -n 1 >fingerprint
            gpgconf --kill all
        '
    } >>"$log" 2>&1
    mkdir -p "$target/srv"
    mv "$builder/srv/repository" "$target/srv/repository"
    for distribution in debian12 debian13; do
        mkdir -p "$target/srv/repository/$distribution"
        ln -s ../pool "$target/srv/repository/$distribution/x86_64"
    done
    # Where the catalogue says NVIDIA's servers, this host has a mirror: an operator's own profile.
    for pair in nvidia-cuda:"Debian 12" nvidia-cuda-debian13:"Debian 13"; do
        cat <<PROFILE
[[repository]]
id = "${pair%%:*}"
name = "Mirror of NVIDIA's repository (${pair#*:})"
uri = "file:///srv/repository/{distro}/{arch}/"
suite = "/"
key_uri = "file:///srv/repository/{distro}/{arch}/key.pub"
fingerprints = ["$(cat "$target/srv/repository/pool/fingerprint")"]
sources = ["nvidia-repository"]

PROFILE
    done >"$target/profile.toml"
}
