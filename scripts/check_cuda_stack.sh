#!/bin/sh
# Looks, and only looks, at the parts of a working NVIDIA driver: a file to paste over to a server
# that has nothing else. No Python, no root, no nvidia-smi (which would load modules and make
# device files, and may hang). Debian, Ubuntu, RHEL, SUSE and their relatives.
#
#   check_cuda_stack.sh               this machine
#   check_cuda_stack.sh --root DIR    a mounted system, or one laid out in a folder
#
# One line a finding: OK, BROKEN or UNKNOWN. Exit status: 0 all OK, 1 not all OK, 2 bad usage.
# What the findings mean and how to mend them: gpu-bringup check.
LC_ALL=C
PATH=$PATH:/usr/sbin:/sbin
export LC_ALL PATH
# Lists of files are split at line ends only.
IFS='
'

root=
case "$#:${1:-}" in
0:) ;;
2:--root) root=${2%/} ;;
1:-h | 1:--help) sed -n '2,10s/^# \{0,1\}//p' "$0" && exit 0 ;;
*) echo "usage: check_cuda_stack.sh [--root DIR]" >&2; exit 2 ;;
esac
if [ ! -d "$root/" ]; then
    echo "check_cuda_stack.sh: $root is no folder" >&2
    exit 2
fi
# A system that is only mounted has no kernel of its own running, and nothing to say about one.
live=yes
[ -d "$root/proc/sys" ] || live=

bad=0
ok() { printf 'OK       %-11s %s\n' "$1" "$2"; }
broken() {
    bad=$((bad + 1))
    printf 'BROKEN   %-11s %s\n' "$1" "$2"
    [ -z "${3:-}" ] || printf '         %-11s -> %s\n' '' "$3"
}
unknown() {
    bad=$((bad + 1))
    printf 'UNKNOWN  %-11s %s\n' "$1" "$2"
}

# first FILE: its first line, or nothing.
first() {
    line=
    [ -r "$1" ] && { read -r line <"$1" || :; } 2>/dev/null
    printf '%s' "$line"
}

module_field() { modinfo -F "$1" "$2" 2>/dev/null | head -n 1; }

# --- kernel --------------------------------------------------------------------------------------
running=$(first "$root/proc/sys/kernel/osrelease")
if [ -z "$live" ]; then
    ok kernel "none of this system's is running: only its files are looked at"
elif [ -n "$running" ]; then
    ok kernel "$running is running"
else
    unknown kernel "which kernel is running cannot be told here"
fi

# --- GPUs: class 03 is a display or 3D controller, 0680 a bridge such as NVSwitch ------------------
gpus=0
switches=0
if [ -d "$root/sys/bus/pci/devices" ]; then
    for device in "$root"/sys/bus/pci/devices/*; do
        [ "$(first "$device/vendor")" = 0x10de ] || continue
        class=$(first "$device/class")
        name="${device##*/} (10de:$(first "$device/device" | sed 's/^0x//'))"
        driver=
        [ -L "$device/driver" ] && driver=$(readlink "$device/driver") && driver=${driver##*/}
        case "$class" in
        0x0680*) switches=$((switches + 1)) && continue ;;
        0x03*) gpus=$((gpus + 1)) ;;
        *) continue ;;
        esac
        case "$driver" in
        nvidia) ok gpu "$name is driven by nvidia" ;;
        '') broken gpu "$name has no driver" "the nvidia module is not loaded, or refused this GPU: see the lines below, and dmesg" ;;
        nouveau | nova*) broken gpu "$name is held by $driver" "blacklist $driver in /etc/modprobe.d, rebuild the initramfs, reboot" ;;
        vfio-pci) broken gpu "$name is held by vfio-pci" "it is reserved for a virtual machine; this host cannot use it" ;;
        *) broken gpu "$name is held by $driver" "only the driver nvidia can give it to CUDA" ;;
        esac
    done
    [ $gpus -gt 0 ] || broken gpu "no NVIDIA GPU on the PCI bus" "seated, powered, passed through to this machine? The rest can only be prepared"
elif [ -n "$live" ]; then
    unknown gpu "the PCI bus cannot be seen from here (container or sandbox?)"
fi

# --- what competes ---------------------------------------------------------------------------------
competing=
for module in nouveau nova_core; do [ -d "$root/sys/module/$module" ] && competing="$competing $module"; done
if [ -z "$live" ]; then
    :
elif [ ! -d "$root/sys/module" ]; then
    unknown nouveau "/sys/module cannot be seen from here"
elif [ -n "$competing" ]; then
    broken nouveau "loaded:$competing" "blacklist it in /etc/modprobe.d, rebuild the initramfs (update-initramfs -u, dracut -f), reboot"
else
    ok nouveau "no competing driver is loaded"
fi

# --- does this kernel refuse unsigned modules? -----------------------------------------------------
enforced=
variable=$root/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c
if [ "$(first "$root/sys/module/module/parameters/sig_enforce")" = Y ]; then
    enforced="the kernel's module.sig_enforce"
fi
case "$(first "$root/sys/kernel/security/lockdown")" in
*'[integrity]'* | *'[confidentiality]'*) enforced="kernel lockdown" ;;
esac
# Four bytes of attributes come first (UEFI variables, Documentation/filesystems/efivarfs.rst).
if [ -r "$variable" ]; then
    case "$(od -An -tu1 -j4 -N1 "$variable" | tr -d ' ')" in
    1) ok secureboot "on${enforced:+; unsigned modules are refused ($enforced)}" ;;
    0) ok secureboot "off${enforced:+; but unsigned modules are refused ($enforced)}" ;;
    *) unknown secureboot "the firmware's variable cannot be read" ;;
    esac
elif [ -d "$root/sys/firmware/efi" ]; then
    unknown secureboot "booted by UEFI, but its variables are not mounted or not readable"
elif [ -d "$root/sys/firmware" ]; then
    ok secureboot "none: not booted by UEFI${enforced:+; but unsigned modules are refused ($enforced)}"
elif [ -n "$live" ]; then
    unknown secureboot "the firmware cannot be seen from here"
fi

# --- for each installed kernel: the module, or what it takes to build one ---------------------------
# In-tree modules such as nvidiafb have similar names; Debian calls the driver's nvidia-current.
driver_files() {
    find "$1" \( -name 'nvidia.ko*' -o -name 'nvidia-current.ko*' -o -name 'nvidia-current-open.ko*' \
        -o -name 'nvidia-tesla*.ko*' -o -name 'nvidia-legacy-*.ko*' \) 2>/dev/null |
        grep -Ev -- '-(uvm|modeset|drm|peermem|vgpu-vfio)\.ko' || :
}

loaded=$(first "$root/sys/module/nvidia/version")
if [ -z "$loaded" ] && [ -r "$root/proc/driver/nvidia/version" ]; then
    loaded=$(sed -n 's/^NVRM version:.* \([0-9][0-9]*\.[0-9][0-9.]*\) .*/\1/p' "$root/proc/driver/nvidia/version")
fi
kernels=0
on_disk=
for folder in "$root"/lib/modules/*; do
    release=${folder##*/}
    # A removed kernel leaves a folder with nothing but what others had built for it.
    [ -d "$folder/kernel" ] || [ -e "$root/boot/vmlinuz-$release" ] || [ -e "$folder/vmlinuz" ] || continue
    kernels=$((kernels + 1))

    headers=
    utsrelease=$folder/build/include/generated/utsrelease.h
    # In --root the link leads to that system's folders, not to this one's.
    if [ -n "$root" ] && [ -L "$folder/build" ]; then
        target=$(readlink "$folder/build")
        case "$target" in /*) utsrelease=$root$target/include/generated/utsrelease.h ;; esac
    fi
    if [ -r "$utsrelease" ]; then
        built=$(sed -n 's/^#define UTS_RELEASE "\(.*\)".*/\1/p' "$utsrelease")
        if [ "$built" = "$release" ] && [ -e "${utsrelease%/include/*}/Makefile" ]; then headers=yes; else headers="those of ${built:-an unknown kernel}"; fi
    fi

    count=0
    versions=
    for file in $(driver_files "$folder"); do
        if [ ! -e "$file" ]; then
            broken module "$release: $file leads nowhere" "reinstall the driver's module package"
            continue
        fi
        count=$((count + 1))
        version=$(module_field version "$file")
        version=${version:-of unknown version}
        case ", $versions, " in
        *", $version, "*) ;;
        *) versions="${versions:+$versions, }$version" ;;
        esac
        vermagic=$(module_field vermagic "$file")
        # kABI-compatible modules (RHEL and SUSE weak-updates) are built for another release on purpose.
        case "$file" in
        */weak-updates/*) vermagic=$release ;;
        *) [ -L "$file" ] && vermagic=$release ;;
        esac
        if [ -n "$vermagic" ] && [ "${vermagic%% *}" != "$release" ]; then
            broken module "$release: $file was built for ${vermagic%% *}" "build it for $release: dkms autoinstall -k $release"
        elif [ -n "$enforced" ] && command -v modinfo >/dev/null && [ -z "$(module_field signer "$file")" ]; then
            broken signature "$release: $file is not signed, and $enforced refuses it" "sign it with an enrolled key (dkms does, after mokutil --import of its key)"
        fi
    done
    case "$count:$versions" in
    0:*)
        if [ "$headers" = yes ]; then
            broken module "$release: no nvidia module, though its headers are there" "dkms autoinstall -k $release; if it fails, read make.log below /var/lib/dkms"
        else
            broken module "$release: no nvidia module, and no headers to build one" "install the module package or the headers for exactly $release (Debian, Ubuntu: linux-headers-$release; RHEL: kernel-devel-$release; SUSE: kernel-default-devel), then dkms autoinstall -k $release"
        fi
        ;;
    *", "*) broken module "$release: nvidia modules of several versions: $versions" "keep one way of installing: is a runfile's module beside a package's?" ;;
    *) ok module "$release: nvidia $versions" ;;
    esac
    [ "$release" = "$running" ] && on_disk=$versions
    case "$headers:$count" in
    yes:*) ok headers "$release: installed" ;;
    :0 | *:0) ;;
    :*) ok headers "$release: not installed; a prebuilt module needs none" ;;
    *) broken headers "$release: its build folder holds $headers" "reinstall the headers for exactly $release" ;;
    esac
done
if [ $kernels = 0 ]; then
    if [ -n "$loaded" ]; then
        ok module "no kernel is installed on this file system: the driver is the host's"
    else
        unknown module "no kernel is installed on this file system (container?)"
    fi
fi

# --- loaded, and the same as on disk ---------------------------------------------------------------
if [ -n "$loaded" ]; then
    case "$on_disk" in
    '' | "$loaded" | *,* | *unknown*) ok loaded "$loaded" ;;
    *) broken loaded "$loaded is loaded, $on_disk is on disk" "reboot, or stop everything that uses the GPUs and reload the modules" ;;
    esac
    [ -d "$root/sys/module/nvidia_uvm" ] || broken loaded "nvidia_uvm is not loaded; CUDA needs it" "modprobe nvidia-uvm (Debian: nvidia-current-uvm)"
elif [ -z "$live" ]; then
    :
elif [ ! -d "$root/sys/module" ]; then
    unknown loaded "loaded modules cannot be seen from here"
elif [ $gpus -gt 0 ]; then
    broken loaded "the nvidia module is not loaded" "modprobe nvidia says why; so do the lines above"
else
    unknown loaded "the nvidia module is not loaded, and without a GPU cannot be"
fi

# --- device files ----------------------------------------------------------------------------------
if [ -n "$loaded" ]; then
    missing=
    for node in nvidiactl nvidia-uvm; do [ -e "$root/dev/$node" ] || missing="$missing /dev/$node"; done
    for gpu in "$root"/proc/driver/nvidia/gpus/*/information; do
        [ -r "$gpu" ] || continue
        minor=$(sed -n 's/^Device Minor:[^0-9]*\([0-9][0-9]*\).*/\1/p' "$gpu")
        [ -z "$minor" ] || [ -e "$root/dev/nvidia$minor" ] || missing="$missing /dev/nvidia$minor"
    done
    if [ -n "$missing" ]; then
        broken devices "not there:$missing" "start nvidia-persistenced, or run nvidia-modprobe -c 0 -u as root"
    else
        ok devices "there"
    fi
fi

# --- user space: every libcuda and libnvidia-ml that the linker can find has the module's version ----
libraries() {
    if [ -z "$root" ] && command -v ldconfig >/dev/null; then
        ldconfig -p | sed -n 's/^.*lib\(cuda\|nvidia-ml\)\.so\.1 .* => \(.*\)$/\2/p'
    else
        for folder in /usr/lib/x86_64-linux-gnu /usr/lib/aarch64-linux-gnu /usr/lib64 /usr/lib; do
            for name in libcuda.so.1 libnvidia-ml.so.1; do
                if [ -e "$root$folder/$name" ] || [ -L "$root$folder/$name" ]; then echo "$folder/$name"; fi
            done
        done
    fi
    # LD_LIBRARY_PATH wins over all of them.
    [ -n "$root" ] || printf '%s\n' "${LD_LIBRARY_PATH:-}" | tr : '\n' | while read -r folder; do
        for name in libcuda.so libcuda.so.1 libnvidia-ml.so.1; do
            if [ -n "$folder" ] && [ -e "$folder/$name" ]; then echo "$folder/$name"; fi
        done
    done
}
seen=
wrong=
for file in $(libraries | sort -u); do
    real=$(readlink -f "$root$file")
    version=${real##*.so.}
    case "$file:$version" in
    */stubs/*)
        wrong=yes
        broken libraries "LD_LIBRARY_PATH leads to the stub $file, which is only for linking" "remove its folder from LD_LIBRARY_PATH"
        continue
        ;;
    *:[0-9]*.[0-9]*) ;;
    *) version='' ;;
    esac
    seen="$seen ${file##*/}"
    if [ -n "$loaded" ] && [ -n "$version" ] && [ "$version" != "$loaded" ]; then
        wrong=yes
        broken libraries "$file is $version, the loaded module $loaded" "reboot if the driver was just upgraded; else install libraries and module from one source"
    fi
done
missing=
for name in libcuda.so.1 libnvidia-ml.so.1; do
    case "$seen " in *" $name "*) ;; *) missing="$missing $name" ;; esac
done
if [ -n "$missing" ]; then
    broken libraries "not installed:$missing" "install the driver's libraries (Debian: libcuda1 and libnvidia-ml1; RHEL: nvidia-driver-cuda-libs)"
elif [ -z "$wrong" ]; then
    ok libraries "libcuda and libnvidia-ml are installed${loaded:+, of the loaded version}"
fi

# --- NVSwitch systems give no CUDA without the fabric manager -----------------------------------------
if [ $switches -gt 0 ]; then
    manager=
    for comm in "$root"/proc/[0-9]*/comm; do
        # The kernel keeps fifteen characters of nv-fabricmanager.
        [ "$(first "$comm")" = nv-fabricmanage ] && manager=yes && break
    done
    if [ -n "$manager" ]; then
        ok fabric "$switches NVSwitches; the fabric manager is running"
    else
        broken fabric "$switches NVSwitches, and no fabric manager is running" "install nvidia-fabricmanager in exactly the driver's version, and start it"
    fi
fi

if [ $bad = 0 ]; then
    echo "All of this is in order. That CUDA computes right is not tested here: gpu-bringup check --deep"
    exit 0
fi
echo "$bad of these lines need a look. The lowest cause and its repair: gpu-bringup check"
exit 1
