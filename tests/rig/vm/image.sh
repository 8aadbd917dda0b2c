# shellcheck shell=bash
# The disks of the virtual machines: a fresh Debian with UEFI, its signed shim, GRUB and kernel, an
# SSH server, a serial console that asks for a login, and this checkout. No driver and no dkms; compiler
# and headers are there unless VM_BARE=1 (unpacking them under emulation takes minutes). Source it after lib.sh; needs root, but neither loop devices nor vfat.
#
# Made in two stages, so that a change of what is put on the disk doesn't fetch the packages again:
# SUITE.tree (packages, as mmdebstrap leaves them) and SUITE.qcow2 (configured, with boot loader).

VM_ROOT_UUID=6f0e1ddc-50c2-4f2c-9d5e-2f7a1d3b8c41
VM_ESP_SERIAL=B007E5F1
VM_DISK_MIB=12288
VM_ESP_MIB=64

# vm_security: the entry of the host's own sources for security updates, else the usual neighbour.
vm_security() {
    local found
    found=$(awk '/^URIs:.*security/{print $2; exit}
        /^deb[[:space:]].*security/{for(i=2;i<=NF;i++) if($i ~ /:\/\//){print $i; exit}}' \
        /etc/apt/sources.list.d/*.sources /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null |
        head -n 1)
    printf '%s\n' "${found:-$(rig_mirror | sed 's,/[^/]*/*$,/debian-security,')}"
}

# vm_tree SUITE FOLDER: the packages of a fresh server. Only the release itself is asked, not its
# updates, so that the kernel is one behind what `apt-get upgrade` would bring.
vm_tree() {
    local suite=$1 folder=$2 packages
    packages=systemd-sysv,udev,dbus,kmod,libpam-systemd,login,linux-image-amd64
    packages=$packages,initramfs-tools,zstd,shim-signed,grub-efi-amd64-signed,grub-efi-amd64-bin,grub2-common
    packages=$packages,efibootmgr,mokutil,openssh-server,sudo,python3,ca-certificates,iproute2,pciutils
    packages=$packages,gpg,procps,less,passwd,e2fsprogs,bash-completion,unattended-upgrades,ncurses-base,ncurses-bin
    [ -n "${VM_BARE:-}" ] || packages=$packages,linux-headers-amd64,gcc,make,libc6-dev
    rm -rf --one-file-system "$folder.new"
    # A small initramfs: under emulation GRUB takes a second for each few MB of it.
    # shellcheck disable=SC2016  # mmdebstrap expands $1
    mmdebstrap --variant=minbase --components=main --include="$packages" \
        --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' \
        --essential-hook='mkdir -p "$1/etc/initramfs-tools/conf.d"
            echo MODULES=list >"$1/etc/initramfs-tools/conf.d/rig"
            printf "virtio_pci\nvirtio_blk\next4\n" >"$1/etc/initramfs-tools/modules"' \
        "$suite" "$folder.new" "deb ${RIG_MIRROR:-$(rig_mirror)} $suite main"
    rm -rf --one-file-system "$folder"
    mv "$folder.new" "$folder"
}

# vm_configure SUITE ROOT CACHE: what an installer and an operator would have set up.
vm_configure() {
    local suite=$1 root=$2 cache=$3 mirror security kernel
    mirror=${RIG_MIRROR:-$(rig_mirror)}
    security=${RIG_SECURITY:-$(vm_security)}
    rm -f "$root/etc/apt/sources.list" "$root"/etc/apt/sources.list.d/*
    cat >"$root/etc/apt/sources.list.d/debian.sources" <<SOURCES
Types: deb
URIs: $mirror
Suites: $suite $suite-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: $security
Suites: $suite-security
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
SOURCES
    # dpkg-deb's translations and the command-not-found indexes are time under emulation, nothing else.
    echo 'Acquire::Languages "none";' >"$root/etc/apt/apt.conf.d/90rig"
    cat >"$root/etc/fstab" <<FSTAB
UUID=$VM_ROOT_UUID / ext4 defaults,noatime 0 1
UUID=${VM_ESP_SERIAL:0:4}-${VM_ESP_SERIAL:4} /boot/efi vfat umask=0077 0 1
FSTAB
    mkdir -p "$root/boot/efi" "$root/boot/grub" "$root/etc/systemd/network"
    cat >"$root/etc/systemd/network/10-rig.network" <<'NETWORK'
[Match]
Name=en*
[Network]
Address=10.0.2.15/24
Gateway=10.0.2.2
DNS=10.0.2.3
NETWORK
    cat >"$root/etc/default/grub" <<'GRUB'
GRUB_DEFAULT=0
GRUB_TIMEOUT=2
GRUB_DISTRIBUTOR=Debian
GRUB_CMDLINE_LINUX_DEFAULT=""
GRUB_CMDLINE_LINUX="console=ttyS0,115200"
GRUB_TERMINAL="console"
GRUB
    # Until update-grub has run in the machine itself (it can't tell devices in a bare folder).
    kernel=$(vm_kernel "$root")
    cat >"$root/boot/grub/grub.cfg" <<GRUB
set timeout=0
search --no-floppy --fs-uuid --set=root $VM_ROOT_UUID
menuentry "Debian" {
    linux /boot/vmlinuz-$kernel root=UUID=$VM_ROOT_UUID ro console=ttyS0,115200
    initrd /boot/initrd.img-$kernel
}
GRUB
    mkdir -p "$root/root/.ssh"
    chmod 0700 "$root/root/.ssh"
    cp "$cache/id.pub" "$root/root/.ssh/authorized_keys"
    printf 'PermitRootLogin prohibit-password\nUseDNS no\n' >"$root/etc/ssh/sshd_config.d/rig.conf"
    # shellcheck disable=SC2016  # the inner shell expands
    rig_enter "$root" sh -ec '
        systemctl enable systemd-networkd ssh
        systemctl mask apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer fstrim.timer \
            systemd-networkd-wait-online.service e2scrub_reap.service getty@tty1.service
        useradd --create-home --shell /bin/bash --groups sudo,adm admin1
        printf "admin1:%s\nroot:%s\n" "$1" "$1" | chpasswd
    ' _ "$VM_PASSWORD"
    # As README's "Start": in a checkout, its own script sets itself up.
    rig_checkout "$root" /opt/gpu-bringup
    chown -R 0:0 "$root/opt/gpu-bringup"
    rig_enter "$root" apt-get update -q
    # `upgrade` adds no packages: all but the kernel is as new as on a server that is kept up to date.
    rig_enter "$root" apt-get upgrade -y -q --no-install-recommends
    rig_enter "$root" /opt/gpu-bringup/scripts/gpu-bringup --version
    rig_enter "$root" python3 -m compileall -q /opt/gpu-bringup/tui
    mkdir -p "$root/srv"
    cp -a "$cache/repository/srv/." "$root/srv/"
    mkdir -p "$root/etc/gpu-bringup/profiles"
    cp "$cache/repository/profile.toml" "$root/etc/gpu-bringup/profiles/rig.toml"
    # rig_enter lent the host's own; a server has none of it.
    rm -f "$root/etc/pip.conf" "$root/usr/sbin/policy-rc.d" "$root"/var/cache/apt/archives/*.deb
    printf 'nameserver 10.0.2.3\n' >"$root/etc/resolv.conf"
    printf '127.0.0.1 localhost rig\n' >"$root/etc/hosts"
    echo rig >"$root/etc/hostname"
}

# vm_kernel ROOT: the newest kernel in it.
vm_kernel() {
    find "$1/lib/modules" -mindepth 1 -maxdepth 1 -printf '%f\n' | sort -V | tail -n 1
}

# vm_esp ROOT IMAGE: the EFI system partition, as grub-install and shim-signed lay it out.
vm_esp() {
    local root=$1 image=$2 folder
    rm -f "$image"
    mkfs.vfat -C -F 32 -i "$VM_ESP_SERIAL" -n ESP "$image" "$((VM_ESP_MIB * 1024))" >/dev/null
    mmd -i "$image" ::/EFI ::/EFI/BOOT ::/EFI/debian
    mcopy -i "$image" "$root/usr/lib/shim/shimx64.efi.signed" ::/EFI/BOOT/BOOTX64.EFI
    mcopy -i "$image" "$root/usr/lib/shim/shimx64.efi.signed" ::/EFI/debian/shimx64.efi
    # GRUB's built-in prefix is /EFI/debian; shim looks for both beside itself.
    for folder in BOOT debian; do
        mcopy -i "$image" "$root/usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed" "::/EFI/$folder/grubx64.efi"
        mcopy -i "$image" "$root/usr/lib/shim/mmx64.efi.signed" "::/EFI/$folder/mmx64.efi"
        # shellcheck disable=SC2016  # GRUB expands
        printf 'search.fs_uuid %s root\nset prefix=($root)/boot/grub\nconfigfile $prefix/grub.cfg\n' \
            "$VM_ROOT_UUID" | mcopy -i "$image" - "::/EFI/$folder/grub.cfg"
    done
}

# vm_disk ROOT OUT: GPT with ESP and root file system, written into a plain file, then qcow2.
vm_disk() {
    local root=$1 out=$2 raw=$2.raw start=$((VM_ESP_MIB + 1)) size
    size=$((VM_DISK_MIB - VM_ESP_MIB - 2))
    rm -f "$raw"
    truncate -s "${VM_DISK_MIB}M" "$raw"
    sfdisk -q "$raw" <<TABLE
label: gpt
start=1MiB, size=${VM_ESP_MIB}MiB, type=uefi, name=esp
start=${start}MiB, size=${size}MiB, type=linux, name=root
TABLE
    vm_esp "$root" "$out.esp"
    dd if="$out.esp" of="$raw" bs=1M seek=1 conv=notrunc,sparse status=none
    mke2fs -q -F -t ext4 -b 4096 -U "$VM_ROOT_UUID" -L root -d "$root" \
        -E "offset=$((start * 1048576)),lazy_itable_init=1,lazy_journal_init=1" "$raw" "$((size * 256))"
    qemu-img convert -O qcow2 "$raw" "$out.new"
    rm -f "$raw" "$out.esp"
    mv "$out.new" "$out"
}
