#!/bin/bash
# Looks, and only looks, at the parts of a working NVIDIA driver: one file to paste over to a server
# that has nothing else. No Python, no root, and no nvidia-smi unless asked for (it would load modules,
# make device files, and may hang). Debian, Ubuntu, RHEL, Fedora, SUSE, Amazon and their relatives.
# Written for bash; dash and busybox sh run it too, in a rescue shell that has nothing better.
#
#   check_cuda_stack.sh               this machine
#   check_cuda_stack.sh --root DIR    a mounted system, or one laid out in a folder
#   --json                            one JSON document instead of lines
#   --cuda VERSION                    is the driver good enough for this CUDA version?
#   --containers                      containers must get the GPUs too
#   --deep                            also ask nvidia-smi (at most 30 s; it may load modules)
#   --torch[=PYTHON]                  also let PyTorch compute on every GPU (at most 180 s)
#
# One line a finding: OK, BROKEN, UNKNOWN, or NOTE (nothing is wrong, but you should know).
# Exit status: 0 healthy, 1 something is broken or could not be told, 2 bad usage, 4 not here (no /dev).
# What the findings mean and how to mend them: gpu-bringup check.
LC_ALL=C
PATH=$PATH:/usr/sbin:/sbin:/usr/bin:/bin
export LC_ALL PATH
unset CDPATH GREP_OPTIONS
# Lists of files are split at line ends only.
NL='
'
IFS=$NL

# >>> from profiles/catalogue, by: python -m gpu_bringup.export.stack_table <this file>
AS_OF=2026-11-22
# Lowest release of the container toolkit without known holes
TOOLKIT_FLOOR=1.19.1
# CUDA toolkit, driver for all of its features, lowest driver (minor-version compatibility)
TOOLKITS='
11.0 450.51.05 450.51.05
11.1 455.23 450.80.02
11.2 460.27.03 450.80.02
11.3 465.19.01 450.80.02
11.4 470.42.01 450.80.02
11.5 495.29.05 450.80.02
11.6 510.39.01 450.80.02
11.7 515.43.04 450.80.02
11.8 520.61.05 450.80.02
12.0 525.60.13 525.60.13
12.1 530.30.02 525.60.13
12.2 535.54.03 525.60.13
12.3 545.23.06 525.60.13
12.4 550.54.14 525.60.13
12.5 555.42.02 525.60.13
12.6 560.28.03 525.60.13
12.8 570.26 525.60.13
12.9 575.51.03 525.60.13
13.0 580.65.06 580.65.06
13.1 590.44.01 580.65.06
13.2 595.45.04 580.65.06
13.3 610.43.02 580.65.06
13.4 615.71.09 580.65.06
13.5 620.70.06 580.65.06
'
# first and last device id, open modules, first and last branch, first and last CUDA, name
ARCHITECTURES='
0x0020 0x002d unsupported 71 71 - - Fahrenheit_and_Celsius
0x00a0 0x00a0 unsupported 71 71 - - Fahrenheit_and_Celsius
0x0100 0x0103 unsupported 71 71 - - Fahrenheit_and_Celsius
0x0150 0x0153 unsupported 71 71 - - Fahrenheit_and_Celsius
0x0110 0x0113 unsupported 96 96 - - Kelvin
0x0170 0x018d unsupported 96 96 - - Kelvin
0x01a0 0x01a0 unsupported 96 96 - - Kelvin
0x01f0 0x0203 unsupported 96 96 - - Kelvin
0x0250 0x025b unsupported 96 96 - - Kelvin
0x0280 0x028c unsupported 96 96 - - Kelvin
0x00fa 0x00fe unsupported 173 173 - - Rankine
0x0300 0x034e unsupported 173 173 - - Rankine
0x0040 0x004e unsupported 304 304 - - Curie
0x0090 0x009d unsupported 304 304 - - Curie
0x00c0 0x00cf unsupported 304 304 - - Curie
0x00f1 0x00f9 unsupported 304 304 - - Curie
0x0140 0x014f unsupported 304 304 - - Curie
0x0160 0x016f unsupported 304 304 - - Curie
0x01d0 0x01df unsupported 304 304 - - Curie
0x0211 0x0224 unsupported 304 304 - - Curie
0x0240 0x0247 unsupported 304 304 - - Curie
0x0290 0x029f unsupported 304 304 - - Curie
0x02e0 0x02e4 unsupported 304 304 - - Curie
0x038b 0x039e unsupported 304 304 - - Curie
0x03d0 0x03d6 unsupported 304 304 - - Curie
0x0531 0x053e unsupported 304 304 - - Curie
0x07e0 0x07e5 unsupported 304 304 - - Curie
0x0190 0x019f unsupported 304 340 1.0 6.5 Tesla
0x0400 0x043f unsupported 304 340 1.0 6.5 Tesla
0x05e0 0x065f unsupported 304 340 1.0 6.5 Tesla
0x06e0 0x06ff unsupported 304 340 1.0 6.5 Tesla
0x0840 0x087f unsupported 304 340 1.0 6.5 Tesla
0x08a0 0x08bf unsupported 304 340 1.0 6.5 Tesla
0x0a20 0x0a3f unsupported 304 340 1.0 6.5 Tesla
0x0a60 0x0a7f unsupported 304 340 1.0 6.5 Tesla
0x0ca0 0x0cbf unsupported 304 340 1.0 6.5 Tesla
0x10c0 0x10df unsupported 304 340 1.0 6.5 Tesla
0x06c0 0x06df unsupported 304 390 3.0 8.0 Fermi
0x0dc0 0x0dff unsupported 304 390 3.0 8.0 Fermi
0x0e20 0x0e3f unsupported 304 390 3.0 8.0 Fermi
0x0f00 0x0f1f unsupported 304 390 3.0 8.0 Fermi
0x1040 0x109f unsupported 304 390 3.0 8.0 Fermi
0x1140 0x117f unsupported 304 390 3.0 8.0 Fermi
0x1200 0x127f unsupported 304 390 3.0 8.0 Fermi
0x0fc0 0x103f unsupported 304 470 5.0 11.8 Kepler
0x1180 0x11ff unsupported 304 470 5.0 11.8 Kepler
0x1280 0x12ff unsupported 304 470 5.0 11.8 Kepler
0x1340 0x143f unsupported 390 580 6.5 12.9 Maxwell
0x1600 0x167f unsupported 390 580 6.5 12.9 Maxwell
0x1740 0x17ff unsupported 390 580 6.5 12.9 Maxwell
0x15c0 0x15ff unsupported 390 580 8.0 12.9 Pascal
0x1720 0x172f unsupported 390 580 8.0 12.9 Pascal
0x1b00 0x1d7f unsupported 390 580 8.0 12.9 Pascal
0x1d80 0x1dff unsupported 390 580 9.0 12.9 Volta
0x1e00 0x1fff supported 418 - 10.0 - Turing
0x2180 0x21ff supported 418 - 10.0 - Turing
0x2080 0x20ff supported 450 - 11.0 - Ampere
0x2200 0x227f supported 450 - 11.0 - Ampere
0x2400 0x25ff supported 450 - 11.0 - Ampere
0x2680 0x28ff supported 525 - 11.8 - Ada
0x2300 0x23ff supported 520 - 11.8 - Hopper
0x2900 0x29ff required 570 - 12.8 - Blackwell
0x2b00 0x2c7f required 570 - 12.8 - Blackwell
0x2d00 0x2e7f required 570 - 12.8 - Blackwell
0x2f00 0x2f7f required 570 - 12.8 - Blackwell
0x3400 0x3400 required 570 - 12.8 - Blackwell
0x3180 0x327f required 580 - 12.9 - Blackwell_Ultra
0x3340 0x3340 required 580 - 12.9 - Blackwell_Ultra
0x3000 0x30ff required 615 - 13.4 - Rubin
'
# device id, open modules, fabric service: boards that differ from their architecture
BOARDS='
0x1db8 unsupported fm
0x2329 supported fm
0x232c supported fm
0x2342 required -
0x2345 required -
0x2348 required -
0x2901 required nvlsm
0x2909 required nvlsm
0x290a required nvlsm
0x2920 required nvlsm
0x2941 required imex
0x29bc required nvlsm
0x3182 required nvlsm
0x31a1 required imex
0x31c2 required imex
0x31c3 required imex
'
# driver branch, last day of support, lowest release with its newest security fixes
BRANCHES='
71 - -
96 - -
173 - -
304 - -
340 2019-12-31 -
367 - -
390 2022-12-31 -
418 - -
440 - -
450 2023-07-01 450.248.02
455 2021-01-07 -
460 2022-01-01 460.91.03
465 2022-04-19 465.24.02
470 2024-07-20 470.256.02
495 2022-10-12 -
510 2023-01-01 510.108.03
515 2023-05-01 515.105.01
520 2023-10-01 -
525 2023-12-01 525.147.05
530 2023-06-24 530.41.03
535 2026-06-01 535.309.01
545 2024-10-01 545.29.02
550 2025-04-17 550.163.01
555 2025-06-01 555.58
560 2025-08-22 -
565 2025-10-01 -
570 2026-01-13 570.211.01
575 2026-06-03 -
580 2028-06-01 580.178.04
590 2026-03-24 590.48.01
595 2027-03-01 595.91.07
610 2026-08-31 610.57.04
615 - 615.71.09
620 - -
'
# <<< from profiles/catalogue

RUNGS='gpu
platform
packages
kernel
headers
compiler
nouveau
module
signature
loaded
devices
libraries
nvml
fabric
cuda
containers
guard'

usage='usage: check_cuda_stack.sh [--root DIR] [--json] [--cuda VERSION] [--containers] [--deep] [--torch[=PYTHON]]'
bad_usage() {
    printf 'check_cuda_stack.sh: %s\n%s\n' "$1" "$usage" >&2
    exit 2
}

if [ ! -c /dev/null ]; then
    # Every command that is kept quiet would not run at all, and find nothing.
    echo 'check_cuda_stack.sh: there is no /dev/null here: mount /dev first, or look from outside with --root DIR' >&2
    exit 4
fi

root='' as_json='' wanted_cuda='' want_containers='' deep='' torch=''
while [ $# -gt 0 ]; do
    case "$1" in
    --root | --cuda)
        [ -n "${2:-}" ] || bad_usage "$1 needs a value"
        if [ "$1" = --root ]; then root=$2; else wanted_cuda=$2; fi
        shift
        ;;
    --root=?*) root=${1#*=} ;;
    --cuda=?*) wanted_cuda=${1#*=} ;;
    --json) as_json=yes ;;
    --containers) want_containers=yes ;;
    --deep) deep=yes ;;
    --torch) torch=python3 ;;
    --torch=?*) torch=${1#*=} ;;
    -h | --help)
        # Pasted into a shell, it has no file of its own to read.
        case "$0" in *check_cuda_stack*) sed -n '2,18s/^# \{0,1\}//p' "$0" ;; *) printf '%s\n' "$usage" ;; esac
        exit 0
        ;;
    *) bad_usage "what is $1?" ;;
    esac
    shift
done
case "$wanted_cuda" in
'') ;;
*[!0-9.]* | *..* | .* | *.) bad_usage "$wanted_cuda is no CUDA version such as 12.9" ;;
*.*) ;;
*) bad_usage "$wanted_cuda is no CUDA version such as 12.9" ;;
esac
case "$root" in
'') ;;
/*) ;;
*) root=$PWD/$root ;;
esac
while [ "${root%/}" != "$root" ]; do root=${root%/}; done
[ -d "$root/" ] || bad_usage "$root is no folder"
if [ -n "$root" ] && [ -n "$deep$torch" ]; then
    bad_usage "--deep and --torch can only look at the machine that runs this"
fi

# --- small tools -------------------------------------------------------------------------------------
# Their results go into variables: no process is started for them.

# printable TEXT: $shown is TEXT with a ? for every byte that a terminal might obey, or that is no ASCII.
printable() {
    shown='' rest=$1
    while :; do
        case "$rest" in
        *[!\ -~]*)
            head=${rest%%[!\ -~]*}
            rest=${rest#"$head"}
            rest=${rest#?}
            shown="$shown$head?"
            ;;
        *) shown=$shown$rest && return ;;
        esac
    done
}

# quoted TEXT: $json is TEXT as a JSON string.
quoted() {
    printable "$1"
    json='"' rest=$shown
    while :; do
        case "$rest" in
        *[\"\\]*)
            head=${rest%%[\"\\]*}
            rest=${rest#"$head"}
            letter=${rest%"${rest#?}"}
            rest=${rest#?}
            json="$json$head\\$letter"
            ;;
        *) json="$json$rest\"" && return ;;
        esac
    done
}

# at_least A B: the dotted number A is not below B.
at_least() {
    left=$1. right=$2.
    while [ -n "$right" ]; do
        one=${left%%.*} other=${right%%.*}
        left=${left#*.} right=${right#*.}
        [ "${one:-0}" -gt "${other:-0}" ] && return 0
        [ "${one:-0}" -lt "${other:-0}" ] && return 1
    done
    return 0
}

# a_version TEXT: only digits and dots, and begins with a digit.
a_version() {
    case "$1" in '' | *[!0-9.]* | .* | *. | *..*) return 1 ;; *.*) return 0 ;; *) return 1 ;; esac
}

# columns ROW: $c1 to $c8 are its words.
columns() {
    IFS=' '
    # shellcheck disable=SC2086  # split on purpose
    set -- $1
    IFS=$NL
    c1=${1:-} c2=${2:-} c3=${3:-} c4=${4:-} c5=${5:-} c6=${6:-} c7=${7:-} c8=${8:-}
}

# first FILE: $line is its first line. Status 1: it is not there; 2: it is, but cannot be read.
first() {
    line=
    [ -e "$1" ] || return 1
    [ -f "$1" ] && [ -r "$1" ] || return 2
    { IFS= read -r line <"$1"; } 2>/dev/null || [ -n "$line" ] || [ ! -s "$1" ] || return 2
    return 0
}

# resolve PATH: $real is where its links lead; in --root, links lead to that system's files.
resolve() {
    real=$1 hops=0
    while [ -L "$root$real" ] && [ $hops -lt 20 ]; do
        hops=$((hops + 1))
        target=$(readlink "$root$real") || return
        case "$target" in /*) real=$target ;; *) real=${real%/*}/$target ;; esac
    done
}

# limited SECONDS COMMAND...: its output; status 124 when it had to be stopped.
limited() {
    seconds=$1
    shift
    if command -v timeout >/dev/null && timeout -k 5 5 true 2>/dev/null; then
        timeout -k 5 "$seconds" "$@" </dev/null
        return
    fi
    "$@" </dev/null &
    asked=$!
    while kill -0 $asked 2>/dev/null; do
        [ "$seconds" -gt 0 ] || { kill -9 $asked 2>/dev/null && return 124; }
        seconds=$((seconds - 1))
        sleep 1
    done
    wait $asked
}

# package NAME...: $version of the first of them that is installed, by dpkg's or rpm's records.
package() {
    version=
    for wanted in "$@"; do
        if [ -f "$root/var/lib/dpkg/status" ] && [ -r "$root/var/lib/dpkg/status" ]; then
            found=$(sed -n "/^Package: $wanted\$/,/^\$/{/^Status: /p;/^Version: /p;}" \
                "$root/var/lib/dpkg/status")
            case "$found" in
            'Status: '*' installed'*Version:*)
                version=${found##*Version: }
                version=${version#*:}
                ;;
            esac
        elif [ -z "$root" ] && command -v rpm >/dev/null; then
            # Not in --root: rpm may write beside the database that it reads.
            version=$(limited 20 rpm -q --qf '%{VERSION}\n' "$wanted" 2>/dev/null) || version=
        fi
        version=${version%%-*}
        [ -z "$version" ] || return 0
    done
    return 1
}

# --- findings ----------------------------------------------------------------------------------------
count_broken=0 count_unknown=0 all_json='' before='' told='' state='' cause=''
for rung in $RUNGS; do eval "state_$rung= said_$rung= told_$rung= cause_$rung="; done

# finding STATE RUNG CAUSE TEXT [NEXT]
finding() {
    quoted "$4"
    text_json=$json text_shown=$shown
    quoted "${5:-}"
    next_json=$json next_shown=$shown
    if [ -n "$as_json" ]; then
        quoted "$3"
        [ -n "$3" ] || json=null
        all_json="$all_json${all_json:+,}$NL    {\"rung\": \"$2\", \"state\": \"$1\", \"cause\": $json, \"text\": $text_json, \"next\": $next_json}"
    fi
    eval "before=\$state_$2 told=\$told_$2"
    worse=''
    case "$1:$before" in
    broken:broken) ;;
    broken:*) worse=broken ;;
    unknown:broken | unknown:unknown) ;;
    unknown:*) worse=unknown ;;
    *:) worse=ok ;;
    esac
    [ -z "$worse" ] || eval "state_$2=\$worse said_$2=\$text_json cause_$2=\$3"
    told="$told${told:+, }{\"source\": \"check_cuda_stack.sh\", \"text\": $text_json}"
    eval "told_$2=\$told"
    case "$1" in
    broken) count_broken=$((count_broken + 1)) word=BROKEN ;;
    unknown) count_unknown=$((count_unknown + 1)) word=UNKNOWN ;;
    note) word=NOTE ;;
    *) word=OK ;;
    esac
    [ -z "$as_json" ] || return 0
    printf '%-8s %-11s %s\n' "$word" "$2" "$text_shown"
    [ -z "$next_shown" ] || printf '         %-11s -> %s\n' '' "$next_shown"
}
ok() { finding ok "$1" '' "$2"; }
note() { finding note "$1" '' "$2" "${3:-}"; }
unknown() { finding unknown "$1" '' "$2" "${3:-}"; }
broken() { finding broken "$@"; }

# --- where are we ------------------------------------------------------------------------------------
container=
for mark in .dockerenv run/.containerenv run/systemd/container; do
    [ ! -e "$root/$mark" ] || container=yes
done
# Is the kernel that runs this system's own? A mounted system or a chroot has none to speak of.
live=yes
if [ ! -d "$root/proc/sys" ]; then
    live=
elif [ -z "$root" ] && [ -d /proc/1/root/. ] && ! [ /proc/1/root/. -ef / ]; then
    live=
fi
running=
if [ -n "$live" ]; then
    first "$root/proc/sys/kernel/osrelease" && running=$line
    if [ -z "$running" ] && first "$root/proc/version"; then
        columns "$line"
        running=$c3
    fi
fi

if [ -z "$live" ]; then
    ok kernel "none of this system's is running (mounted, or a chroot): only its files are looked at"
elif [ -n "$running" ]; then
    ok kernel "$running is running"
else
    unknown kernel "which kernel is running cannot be told: /proc is not there or not readable"
fi
if [ -z "$root" ]; then
    machine=$(uname -m)
    case "$machine" in
    x86_64 | aarch64) ;;
    *) broken platform arch-not-supported "NVIDIA has no server driver for $machine" ;;
    esac
fi
no_more_modules=
if [ -n "$live" ] && first "$root/proc/sys/kernel/modules_disabled" && [ "$line" = 1 ]; then no_more_modules=yes; fi

# --- GPUs: class 03 is a display or 3D controller, 0680 a bridge such as NVSwitch ------------------------
gpus=0 bound=0 switches=0 fabric_service='' devices='' names=''
# place DEVICE: what the tables know of a device id: $modules $first_branch $last_branch $first_cuda
# $last_cuda $family $service; empty where nothing is known.
place() {
    modules='' first_branch='' last_branch='' first_cuda='' last_cuda='' family='' service=''
    case "$1" in 0x????) ;; *) return ;; esac
    case "${1#0x}" in *[!0-9a-f]*) return ;; esac
    for row in $ARCHITECTURES; do
        columns "$row"
        if [ $(($1)) -ge $((c1)) ] && [ $(($1)) -le $((c2)) ]; then
            modules=$c3 first_branch=${c4#-} last_branch=${c5#-} first_cuda=${c6#-} last_cuda=${c7#-} family=$c8
        fi
    done
    for row in $BOARDS; do
        columns "$row"
        if [ "$c1" = "$1" ]; then modules=$c2 service=${c3#-}; fi
    done
}
if [ -d "$root/sys/bus/pci/devices" ]; then
    for device in "$root"/sys/bus/pci/devices/*; do
        first "$device/vendor" || continue
        [ "$line" = 0x10de ] || continue
        first "$device/class" || line=
        class=$line
        first "$device/device" || line=
        id=$line
        case "$class" in
        0x0680*) switches=$((switches + 1)) && continue ;;
        0x03*) gpus=$((gpus + 1)) ;;
        *) continue ;;
        esac
        place "$id"
        name="${device##*/} (10de:${id#0x}${family:+, $family})"
        devices="$devices$NL$id"
        quoted "${device##*/}"
        names="$names${names:+, }{\"bus_id\": $json"
        quoted "10de:${id#0x}"
        names="$names, \"pci_id\": $json"
        quoted "$family"
        [ -n "$family" ] || json=null
        names="$names, \"name\": null, \"architecture\": $json, \"compute_capability\": null}"
        [ -z "$service" ] || fabric_service=$service
        driver=
        [ -L "$device/driver" ] && driver=$(readlink "$device/driver") && driver=${driver##*/}
        case "$live:$driver" in
        *:nvidia)
            bound=$((bound + 1))
            ok gpu "$name is driven by nvidia"
            ;;
        :*) ok gpu "$name is here; what drives it is not this system's" ;;
        *:)
            if [ "$(echo "$device"/*)" = "$device/*" ]; then
                unknown gpu "$name: what drives it cannot be seen"
            else
                broken gpu gpu-not-bound "$name has no driver" "the nvidia module is not loaded, or refused this GPU: see the lines below, and dmesg"
            fi
            ;;
        *:nouveau | *:nova*) broken gpu nouveau-loaded "$name is held by $driver" "blacklist $driver in /etc/modprobe.d, rebuild the initramfs, reboot" ;;
        *:vfio-pci) broken gpu gpu-bound-to-vfio "$name is held by vfio-pci" "it is reserved for a virtual machine; this host cannot use it" ;;
        *) broken gpu gpu-not-bound "$name is held by $driver" "only the driver nvidia can give it to CUDA" ;;
        esac
    done
    [ $gpus -gt 0 ] || broken gpu no-gpu-found "no NVIDIA GPU on the PCI bus" "seated, powered, passed through to this machine? The rest can only be prepared"
elif [ -n "$live" ]; then
    unknown gpu "the PCI bus cannot be seen from here: /sys is not there (container, sandbox or rescue shell?)"
fi

# --- what competes -----------------------------------------------------------------------------------
if [ -z "$live" ]; then
    :
elif [ ! -d "$root/sys/module" ]; then
    unknown nouveau "/sys/module cannot be seen from here"
else
    competing=
    for module in nouveau nova_core nova_drm; do
        [ ! -d "$root/sys/module/$module" ] || competing="$competing $module"
    done
    if [ -n "$competing" ]; then
        broken nouveau nouveau-loaded "loaded:$competing" "blacklist it in /etc/modprobe.d, rebuild the initramfs (update-initramfs -u, dracut -f), reboot"
    else
        ok nouveau "no competing driver is loaded"
    fi
fi

# --- does this kernel refuse unsigned modules? ---------------------------------------------------------
enforced=
variable=$root/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c
secure_boot=unknown
if [ -n "$live" ]; then
    if first "$root/sys/module/module/parameters/sig_enforce" && [ "$line" = Y ]; then
        enforced="the kernel's module.sig_enforce"
    fi
    first "$root/sys/kernel/security/lockdown"
    lockdown=$?
    case "$line" in
    *'[integrity]'* | *'[confidentiality]'*) enforced="kernel lockdown" ;;
    esac
    [ $lockdown != 2 ] || unknown signature "whether the kernel is locked down cannot be read: run this as root"
    # Four bytes of attributes come first (UEFI variables, Documentation/filesystems/efivarfs.rst).
    if [ -r "$variable" ]; then
        case "$(od -An -tu1 -j4 -N1 "$variable" 2>/dev/null | tr -d ' ')" in
        1) secure_boot=enabled && ok signature "Secure Boot is on${enforced:+; unsigned modules are refused ($enforced)}" ;;
        0) secure_boot=disabled && ok signature "Secure Boot is off${enforced:+; but unsigned modules are refused ($enforced)}" ;;
        *) unknown signature "Secure Boot: the firmware's variable cannot be read" ;;
        esac
    elif [ -e "$variable" ]; then
        unknown signature "Secure Boot: the firmware's variable is not readable by this user: run this as root"
    elif [ -d "$root/sys/firmware/efi/efivars" ] && [ "$(echo "$root"/sys/firmware/efi/efivars/*)" != "$root/sys/firmware/efi/efivars/*" ]; then
        secure_boot=disabled
        ok signature "Secure Boot: this firmware has none${enforced:+; but unsigned modules are refused ($enforced)}"
    elif [ -d "$root/sys/firmware/efi" ]; then
        unknown signature "Secure Boot: booted by UEFI, but its variables are not mounted or not readable"
    elif [ -d "$root/sys/firmware" ]; then
        secure_boot=unsupported
        ok signature "Secure Boot: none, not booted by UEFI${enforced:+; but unsigned modules are refused ($enforced)}"
    else
        unknown signature "Secure Boot: the firmware cannot be seen from here"
    fi
fi

# --- modules of the driver ---------------------------------------------------------------------------
# In-tree modules such as nvidiafb have similar names; Debian calls the driver's nvidia-current.
driver_files() {
    find "$1" \( -name 'nvidia.ko*' -o -name 'nvidia-*.ko*' -o -name 'nvidia_*.ko*' \) 2>/dev/null |
        grep -E '/nvidia((-current(-open)?|-tesla[-0-9a-z]*|-legacy-[0-9]+xx)?([-_](uvm|modeset|drm|peermem))?)\.ko(\.(gz|xz|zst))?$' || :
}

# unpacked FILE: the module itself on standard output. Status 3: nothing here can unpack it.
unpacked() {
    case "$1" in
    *.ko) cat "$1" 2>/dev/null ;;
    *.xz) command -v xz >/dev/null || return 3; xz -dc "$1" 2>/dev/null ;;
    *.zst) command -v zstd >/dev/null || return 3; zstd -dcq "$1" 2>/dev/null ;;
    *.gz) command -v gzip >/dev/null || return 3; gzip -dc "$1" 2>/dev/null ;;
    esac
}

# read_module FILE: its fields as lines "name=value", without modinfo.
read_module() {
    unpacked "$1" | tr '\000' '\n' | sed -n \
        -e '/^version=/p' -e '/^vermagic=/p' -e '/^license=/p' \
        -e '$s/.*~Module signature appended~$/signed=yes/p'
}

# module_info FILE: $version $built $flavour $signed ('' where it can't be told).
module_info() {
    version='' built='' flavour='' signed=no fields=''
    if command -v modinfo >/dev/null; then
        fields=$(modinfo "$1" 2>/dev/null | sed -n \
            -e 's/^\(version\|vermagic\|license\): */\1=/p' -e 's/^\(signer\|sig_id\): .*/signed=yes/p')
    fi
    # Not every modinfo can unpack every module, or knows every kind of signature.
    case "$fields" in
    *vermagic=*) [ -z "$enforced" ] || case "$fields" in *signed=yes*) ;; *) fields="$fields$NL$(read_module "$1")" ;; esac ;;
    *) fields=$(read_module "$1") ;;
    esac
    for field in $fields; do
        case "$field" in
        version=*) version=${field#*=} ;;
        vermagic=*) built=${field#*=} && built=${built%% *} ;;
        license=NVIDIA) flavour=proprietary ;;
        license=*GPL*) flavour=open ;;
        signed=yes) signed=yes ;;
        esac
    done
    [ -n "$fields" ] || signed=''
}

loaded='' loaded_flavour=''
if [ -n "$live" ]; then
    first "$root/sys/module/nvidia/version" && loaded=$line
    if [ -r "$root/proc/driver/nvidia/version" ]; then
        said=$(sed -n 's/^NVRM version: //p' "$root/proc/driver/nvidia/version")
        case "$said" in *Open*) loaded_flavour=open ;; ?*) loaded_flavour=proprietary ;; esac
        [ -n "$loaded" ] || loaded=$(printf '%s\n' "$said" | sed -n 's/.* \([0-9][0-9]*\.[0-9][0-9.]*\) .*/\1/p')
    fi
fi

# --- for each installed kernel: the module, or what it takes to build one --------------------------------
kernels=0 on_disk='' on_disk_flavour='' any_version='' running_seen='' dkms='' bootable='' open_versions=''
for folder in "$root"/lib/modules/*; do
    release=${folder##*/}
    # A removed kernel leaves a folder with nothing but what others had built for it.
    [ -d "$folder/kernel" ] || [ -e "$root/boot/vmlinuz-$release" ] || [ -e "$folder/vmlinuz" ] || continue
    kernels=$((kernels + 1))
    quoted "$release"
    bootable="$bootable${bootable:+, }$json"
    [ "$release" != "$running" ] || running_seen=yes

    # Headers: what build leads to must hold a tree of exactly this release, and all that it includes.
    resolve "/lib/modules/$release/build"
    tree=$root$real
    headers=
    if [ -d "$tree" ] && [ ! -x "$tree" ]; then
        headers=unreadable
    elif [ -d "$tree" ]; then
        claimed=
        if [ -r "$tree/include/generated/utsrelease.h" ]; then
            claimed=$(sed -n 's/^#define UTS_RELEASE "\(.*\)".*/\1/p' "$tree/include/generated/utsrelease.h")
        elif first "$tree/include/config/kernel.release"; then
            claimed=$line
        fi
        included=
        # shellcheck disable=SC2016  # a Makefile's own variables
        [ ! -r "$tree/Makefile" ] || included=$(sed -n 's/^include  *\([^ $()]*\)$/\1/p' "$tree/Makefile" | head -n 1)
        case "$included" in
        '') ;;
        /*) included=$root$included ;;
        *) included=$tree/$included ;;
        esac
        if [ -n "$claimed" ] && [ "$claimed" != "$release" ]; then
            headers="its build folder holds those of $claimed"
        elif [ -z "$claimed" ] || [ ! -e "$tree/Makefile" ]; then
            headers="its build folder is not complete"
        elif [ -n "$included" ] && [ ! -e "$included" ]; then
            headers="its build folder needs $included, which is not there"
        else
            headers=yes
        fi
    fi

    count=0 versions='' flavours='' uvm='' unread=''
    for file in $(driver_files "$folder"); do
        resolve "${file#"$root"}"
        if [ ! -e "$root$real" ]; then
            broken module weak-modules-stale-kmod "$release: $file leads nowhere" "reinstall the driver's module package"
            continue
        fi
        part=${file##*/}
        part=${part%%.ko*}
        case "$part" in *[-_]uvm) uvm=yes ;; esac
        case "$part" in *[-_]uvm | *[-_]modeset | *[-_]drm | *[-_]peermem) main= ;; *) main=yes ;; esac
        [ -n "$main" ] || [ -n "$enforced" ] || continue
        if [ ! -r "$root$real" ]; then
            unknown module "$release: $file is not readable by this user: run this as root"
            unread=yes
            [ -z "$main" ] || count=$((count + 1))
            continue
        fi
        module_info "$root$real"
        if [ -n "$enforced" ]; then
            case "$signed" in
            no) broken signature sb-unsigned-module "$release: $file is not signed, and $enforced refuses it" "sign it with an enrolled key (dkms does, after mokutil --import of its key)" ;;
            '') unknown signature "$release: whether $file is signed cannot be told: no modinfo, and nothing that unpacks it" ;;
            esac
        fi
        [ -n "$main" ] || continue
        count=$((count + 1))
        case "$file" in */dkms/*) dkms=yes ;; esac
        [ -z "$flavour" ] || case " $flavours " in *" $flavour "*) ;; *) flavours="${flavours:+$flavours }$flavour" ;; esac
        [ "$flavour" != open ] || open_versions="$open_versions$NL$version"
        if [ -n "$version" ]; then
            any_version=$version
            case ", $versions, " in
            *", $version, "*) ;;
            *) versions="${versions:+$versions, }$version" ;;
            esac
        fi
        # kABI-compatible modules (RHEL and SUSE weak-updates) are built for another release on purpose.
        case "$file" in */weak-updates/*) built=$release ;; esac
        if [ -z "$built" ]; then
            unknown module "$release: which kernel $file was built for cannot be told: no modinfo, and nothing that unpacks it"
        elif [ "$built" != "$release" ]; then
            broken module kernel-upgraded-module-not-built "$release: $file was built for $built" "build it for $release: dkms autoinstall -k $release"
        fi
    done
    case "$count:$versions" in
    0:*)
        if [ "$headers" = yes ]; then
            broken module kernel-upgraded-module-not-built "$release: no nvidia module, though its headers are there" "dkms autoinstall -k $release; if it fails, read make.log below /var/lib/dkms"
        else
            broken module headers-missing "$release: no nvidia module, and no headers to build one" "install the module package or the headers for exactly $release (Debian, Ubuntu: linux-headers-$release; RHEL, Fedora: kernel-devel-$release; SUSE: kernel-default-devel), then dkms autoinstall -k $release"
        fi
        ;;
    *", "*) broken module mixed-runfile-and-packages "$release: nvidia modules of several versions: $versions" "keep one way of installing: is a runfile's module beside a package's?" ;;
    *:) [ -n "$unread" ] || unknown module "$release: an nvidia module of unknown version" ;;
    *)
        ok module "$release: nvidia $versions${flavours:+, $flavours}"
        # Debian's stems carry the flavour, so that one uvm of each is right.
        [ -n "$uvm" ] || broken module kernel-upgraded-module-not-built "$release: nvidia is there without nvidia-uvm, which CUDA needs" "reinstall the driver's module package, or build it again: dkms autoinstall -k $release"
        ;;
    esac
    if [ "$release" = "$running" ]; then
        on_disk=$versions
        on_disk_flavour=$flavours
    fi
    case "$headers:$count" in
    yes:*) ok headers "$release: installed" ;;
    unreadable:*) unknown headers "$release: its build folder is not readable by this user: run this as root" ;;
    :0 | *:0) ;;
    :*) ok headers "$release: not installed; the module that is there needs none" ;;
    *)
        # A module that is there needs no headers today; DKMS will need them at the next build.
        if [ -n "$dkms" ]; then
            broken headers kernel-devel-mismatch "$release: $headers" "reinstall the headers for exactly $release"
        else
            note headers "$release: $headers; the module that is there needs none"
        fi
        ;;
    esac
done
if [ $kernels = 0 ]; then
    if [ -n "$loaded" ]; then
        ok module "no kernel is installed on this file system: the driver is the host's"
    else
        unknown module "no kernel is installed on this file system (container?)"
    fi
elif [ -n "$running" ] && [ -z "$running_seen" ]; then
    if [ -n "$container$loaded" ]; then
        note kernel "/lib/modules has nothing for $running: it is not this file system's kernel, or was removed while it runs"
    else
        broken kernel kernel-modules-package-missing "/lib/modules has nothing for $running, which is running: no module can be loaded" "reboot into an installed kernel, or install the modules of $running again"
    fi
fi

# --- loaded, and the same as on disk -----------------------------------------------------------------
if [ -n "$loaded" ]; then
    case "$on_disk" in
    '' | "$loaded" | *,*) ok loaded "$loaded${loaded_flavour:+, $loaded_flavour} is loaded" ;;
    *) broken loaded driver-library-mismatch-stale-on-disk "$loaded is loaded, $on_disk is on disk" "reboot, or stop everything that uses the GPUs and reload the modules" ;;
    esac
    case "$on_disk:$loaded_flavour:$on_disk_flavour" in
    "$loaded:open:proprietary" | "$loaded:proprietary:open")
        note loaded "the $loaded_flavour modules are loaded, the $on_disk_flavour ones are on disk: the next boot takes those" ;;
    esac
    if [ ! -d "$root/sys/module" ]; then
        unknown loaded "whether nvidia_uvm is loaded cannot be seen from here"
    elif [ ! -d "$root/sys/module/nvidia_uvm" ]; then
        if [ -n "$no_more_modules" ]; then
            broken loaded modules-not-loadable "nvidia_uvm is not loaded, CUDA needs it, and this kernel takes no more modules (kernel.modules_disabled=1)" "reboot, and load it before that is switched on"
        else
            broken loaded uvm-not-loaded "nvidia_uvm is not loaded; CUDA needs it" "modprobe nvidia-uvm (Debian: nvidia-current-uvm)"
        fi
    fi
elif [ -z "$live" ]; then
    :
elif [ ! -d "$root/sys/module" ]; then
    unknown loaded "loaded modules cannot be seen from here"
elif [ -n "$no_more_modules" ]; then
    broken loaded modules-not-loadable "the nvidia module is not loaded, and this kernel takes no more modules (kernel.modules_disabled=1)" "reboot, and load it before that is switched on"
elif [ $gpus -gt 0 ]; then
    broken loaded module-not-loaded "the nvidia module is not loaded" "modprobe nvidia says why; so do the lines above"
else
    unknown loaded "the nvidia module is not loaded, and without a GPU cannot be"
fi

# --- can this driver drive these GPUs at all? ----------------------------------------------------------
driver=${loaded:-${on_disk:-$any_version}}
case "$driver" in *,*) driver= ;; esac
a_version "$driver" || driver=
branch=${driver%%.*}
drives=${loaded_flavour:-$on_disk_flavour}
seen=
for id in $devices; do
    case " $seen " in *" $id "*) continue ;; esac
    seen="$seen $id"
    place "$id"
    if [ -z "$family" ]; then
        note gpu "10de:${id#0x} is not in the tables of $AS_OF: what it needs is not known here"
        continue
    fi
    if [ -n "$branch" ] && [ -n "$last_branch" ] && [ "$branch" -gt "$last_branch" ]; then
        broken gpu legacy-gpu-branch "10de:${id#0x} is a $family GPU: R$last_branch is the last branch that drives it, and this is $driver" "install a driver of R$last_branch"
    elif [ -n "$branch" ] && [ -n "$first_branch" ] && [ "$branch" -lt "$first_branch" ]; then
        broken gpu gpu-not-supported-by-release "10de:${id#0x} is a $family GPU: no driver below R$first_branch drives it, and this is $driver" "install a driver of R$first_branch or later"
    fi
    case "$modules:$drives" in
    required:proprietary) broken module proprietary-module-on-open-only-gpu "10de:${id#0x} ($family) needs the open kernel modules; the proprietary ones are installed" "install the open flavour of the same driver" ;;
    unsupported:open) broken module open-module-on-pre-turing "10de:${id#0x} ($family) needs the proprietary kernel modules; the open ones are installed" "install the proprietary flavour of the same driver" ;;
    esac
done
if [ -n "$branch" ]; then
    for row in $BRANCHES; do
        columns "$row"
        [ "$c1" = "$branch" ] || continue
        today=$(date +%Y-%m-%d)
        if [ "$c2" != - ]; then
            # ISO dates sort as numbers.
            ended=$(printf '%s' "$c2" | tr -d -) now=$(printf '%s' "$today" | tr -d -)
            [ "$now" -le "$ended" ] || note packages "support of driver branch R$branch ended on $c2: no more fixes" "plan a move to a supported branch: gpu-bringup recommend"
        fi
        if [ "$c3" != - ] && ! at_least "$driver" "$c3"; then
            note packages "$driver lacks security fixes that $c3 has" "update within R$branch"
        fi
    done
fi

# --- device files, firmware ----------------------------------------------------------------------------
if [ -n "$loaded" ]; then
    missing=
    for node in nvidiactl nvidia-uvm; do [ -e "$root/dev/$node" ] || missing="$missing /dev/$node"; done
    for gpu in "$root"/proc/driver/nvidia/gpus/*/information; do
        [ -r "$gpu" ] || continue
        minor=$(sed -n 's/^Device Minor:[^0-9]*\([0-9][0-9]*\).*/\1/p' "$gpu")
        [ -z "$minor" ] || [ -e "$root/dev/nvidia$minor" ] || missing="$missing /dev/nvidia$minor"
    done
    if [ -n "$missing" ]; then
        broken devices device-nodes-missing "not there:$missing" "start nvidia-persistenced, or run nvidia-modprobe -c 0 -u as root"
    else
        ok devices "there"
    fi
    if [ -z "$root" ] && [ -c /dev/nvidiactl ] && ! { [ -r /dev/nvidiactl ] && [ -w /dev/nvidiactl ]; }; then
        broken devices device-permissions "this user may not open /dev/nvidiactl" "see the modes of /dev/nvidia*, and NVreg_DeviceFileMode in /proc/driver/nvidia/params"
    fi
fi
seen=
for version in $open_versions; do
    case " $seen " in *" $version "*) continue ;; esac
    seen="$seen $version"
    # What is loaded and drives its GPUs has found its firmware.
    [ "$version" != "$loaded" ] || [ $bound = 0 ] || continue
    first "$root/sys/module/firmware_class/parameters/path" || line=
    at=
    for folder in /lib/firmware /lib/firmware/updates /usr/lib/firmware "$line"; do
        [ -z "$folder" ] || [ ! -d "$root$folder/nvidia/$version" ] || at=$folder
    done
    [ -n "$at" ] || broken devices gsp-firmware-missing "no GSP firmware for $version in /lib/firmware/nvidia, and the open modules start no GPU without it" "install the driver's firmware package (Debian: firmware-nvidia-gsp; Ubuntu: nvidia-firmware-BRANCH; RHEL, SUSE: it comes with the driver's packages)"
done

# --- user space: every libcuda and libnvidia-ml that the linker can find has the module's version -----------
library_folders() {
    printf '%s\n' /usr/lib/x86_64-linux-gnu /usr/lib/aarch64-linux-gnu /usr/lib64 /usr/lib /lib64 \
        /usr/lib64/nvidia /usr/local/nvidia/lib64 /usr/local/nvidia/lib
    for file in "$root"/etc/ld.so.conf "$root"/etc/ld.so.conf.d/*.conf; do
        [ ! -r "$file" ] || sed -n 's|^\(/[^ #]*\).*|\1|p' "$file"
    done
}
libraries() {
    if [ -z "$root" ] && command -v ldconfig >/dev/null; then
        ldconfig -p 2>/dev/null | sed -n -e 's/^.*libcuda\.so\.1 .* => //p' -e 's/^.*libnvidia-ml\.so\.1 .* => //p'
    else
        for folder in $(library_folders); do
            for name in libcuda.so.1 libnvidia-ml.so.1; do
                if [ -e "$root$folder/$name" ] || [ -L "$root$folder/$name" ]; then printf '%s\n' "$folder/$name"; fi
            done
        done
    fi
    # LD_LIBRARY_PATH wins over all of them.
    [ -n "$root" ] || printf '%s\n' "${LD_LIBRARY_PATH:-}" | tr : '\n' | while read -r folder; do
        for name in libcuda.so libcuda.so.1 libnvidia-ml.so.1; do
            if [ -n "$folder" ] && [ -e "$folder/$name" ]; then printf '%s\n' "$folder/$name"; fi
        done
    done
}
seen='' wrong=''
for file in $(libraries | sort -u); do
    resolve "$file"
    version=${real##*.so.}
    case "$file" in
    */stubs/*)
        wrong=yes
        broken libraries libcuda-stub "LD_LIBRARY_PATH leads to the stub $file, which is only for linking" "remove its folder from LD_LIBRARY_PATH"
        continue
        ;;
    */compat/*)
        note libraries "$file is CUDA's forward-compatibility library: it goes with an older module on purpose"
        seen="$seen ${file##*/}"
        continue
        ;;
    esac
    if [ ! -e "$root$real" ]; then
        wrong=yes
        broken libraries driver-libraries-missing "$file leads nowhere" "reinstall the driver's libraries"
        continue
    fi
    # A copy that lost its link: the file beside it may still have the number.
    if ! a_version "$version"; then
        version=
        for beside in "$root${file%.so*}".so.[0-9]*.[0-9]*; do
            [ ! -e "$beside" ] || version="${version:+several }${beside##*.so.}"
        done
        a_version "$version" || version=
    fi
    seen="$seen ${file##*/}"
    if [ -z "$version" ]; then
        note libraries "$file: its version cannot be told"
    elif [ -n "$loaded" ] && [ "$version" != "$loaded" ]; then
        wrong=yes
        broken libraries driver-library-mismatch "$file is $version, the loaded module $loaded" "reboot if the driver was just upgraded; else install libraries and module from one source"
    elif [ -z "$loaded" ] && [ -n "$driver" ] && [ "$version" != "$driver" ]; then
        wrong=yes
        broken libraries driver-library-mismatch "$file is $version, the installed module $driver" "install libraries and module from one source"
    fi
done
missing=
for name in libcuda.so.1 libnvidia-ml.so.1; do
    case "$seen " in *" $name "*) ;; *) missing="$missing $name" ;; esac
done
if [ -n "$missing" ] && [ -z "$wrong" ] && [ $kernels = 0 ]; then
    unknown libraries "not found:$missing; this file system has no kernel, so where its driver's libraries come from cannot be told"
elif [ -n "$missing" ]; then
    broken libraries driver-libraries-missing "not installed:$missing" "install the driver's libraries (Debian: libcuda1 and libnvidia-ml1; Ubuntu: libnvidia-compute-BRANCH; RHEL, Fedora: nvidia-driver-cuda-libs; SUSE: nvidia-compute-G06)"
elif [ -z "$wrong" ]; then
    ok libraries "libcuda and libnvidia-ml are installed${loaded:+, of the loaded version}"
fi

# --- asked for: what the driver itself says ------------------------------------------------------------
if [ -n "$deep" ]; then
    if ! command -v nvidia-smi >/dev/null; then
        broken nvml driver-libraries-missing "there is no nvidia-smi" "install the driver's utilities (Debian: nvidia-smi; Ubuntu: nvidia-utils-BRANCH; RHEL, Fedora: nvidia-driver-cuda)"
    else
        # Only the query: the banner's words changed with R610.
        said=$(limited 30 nvidia-smi --query-gpu=driver_version --format=csv,noheader 2>&1)
        status=$?
        count=0 odd=
        for version in $said; do
            count=$((count + 1))
            [ "$version" = "${loaded:-$version}" ] || odd=$version
        done
        case "$status" in
        0)
            if [ $count -lt $gpus ]; then
                broken nvml gpu-missing-in-nvml "nvidia-smi lists $count of $gpus GPUs" "dmesg has a line with NVRM or Xid for the others"
            elif [ -n "$odd" ]; then
                broken nvml driver-library-mismatch "nvidia-smi says $odd, the loaded module is $loaded" "reboot"
            else
                ok nvml "nvidia-smi lists $count GPUs"
            fi
            ;;
        124 | 137) broken nvml xid-119-gsp-timeout "nvidia-smi did not answer within 30 s" "read dmesg for Xid lines; a GPU may need a reset or a cold start" ;;
        *) broken nvml driver-library-mismatch "nvidia-smi failed (exit status $status): ${said%%"$NL"*}" "the lines above say what is wrong below it" ;;
        esac
    fi
fi

# --- NVSwitch systems give no CUDA without the fabric manager --------------------------------------------
# machine: $machine_is is "virtual" or "bare" as the processor says (CPUID leaf 1), empty where it says
# nothing (arm64 has no such flag).
machine() {
    machine_is=
    [ -r "$root/proc/cpuinfo" ] && grep -q '^flags[[:space:]]*:' "$root/proc/cpuinfo" || return 0
    machine_is=bare
    ! grep -q '^flags[[:space:]]*:.* hypervisor\( \|$\)' "$root/proc/cpuinfo" || machine_is=virtual
}
machine
process() {
    for comm in "$root"/proc/[0-9]*/comm; do
        # The kernel keeps fifteen characters of a name.
        first "$comm" && [ "$line" = "$1" ] && return 0
    done
    return 1
}
if [ $switches -gt 0 ] || [ "$fabric_service" = nvlsm ] || [ "$fabric_service" = fm ]; then
    what="$switches NVSwitches"
    [ $switches -gt 0 ] || what="GPUs that sit on NVLink switches"
    if process nv-fabricmanage; then
        ok fabric "$what; the fabric manager is running"
    elif [ -z "$live" ] || [ ! -e "$root/proc/1/comm" ]; then
        unknown fabric "$what; whether the fabric manager runs cannot be seen from here"
    elif [ $switches = 0 ] && [ "$machine_is" = virtual ]; then
        note fabric "$what, and no fabric manager is running: right in this virtual machine if its host runs it"
    elif [ $switches = 0 ] && [ "$machine_is:$fabric_service" != bare:nvlsm ]; then
        unknown fabric "$what, and no fabric manager is running: right in a virtual machine whose host runs it, wrong on the bare machine; which one this is cannot be seen here" "on the bare machine: install nvidia-fabricmanager in exactly the driver's version${driver:+ ($driver)}, nvlsm as well for Blackwell, and start it"
    else
        broken fabric fabricmanager-not-running "$what, and no fabric manager is running" "install nvidia-fabricmanager in exactly the driver's version, and start it"
    fi
    if [ -n "$driver" ] && package "nvidia-fabricmanager-$branch" nvidia-fabricmanager nvidia-fabric-manager "cuda-drivers-fabricmanager-$branch"; then
        [ "$version" = "$driver" ] ||
            broken fabric fabricmanager-version-mismatch "the fabric manager is $version, the driver $driver: it will not start" "install nvidia-fabricmanager in exactly the version $driver"
    fi
    if [ "$fabric_service" = nvlsm ] && [ $switches = 0 ] && [ -n "$live" ] && process nv-fabricmanage && ! process nvlsm; then
        broken fabric nvlink5-prereqs-missing "these GPUs' NVLink needs nvlsm beside the fabric manager, and it is not running" "install nvlsm, load mlx5_core and ib_umad, restart nvidia-fabricmanager"
    fi
elif [ "$fabric_service" = imex ] && [ -n "$live" ]; then
    if process nvidia-imex; then
        ok fabric "nvidia-imex is running"
    else
        note fabric "these GPUs belong to an NVLink rack, and nvidia-imex is not running: memory cannot be shared between its trays" "install nvidia-imex in exactly the driver's version, and start it"
    fi
fi

# --- driver and CUDA -----------------------------------------------------------------------------------
# toolkit_version FOLDER: $toolkit is the CUDA version of a toolkit folder, such as 13.0.
toolkit_version() {
    toolkit=
    if [ -r "$root$1/version.json" ]; then
        toolkit=$(tr -d ' \t\r\n"' <"$root$1/version.json" |
            sed -n 's/.*[{,]cuda:{name:[^,}]*,version:\([0-9][0-9]*\.[0-9][0-9]*\).*/\1/p')
    elif [ -r "$root$1/version.txt" ]; then
        toolkit=$(sed -n 's/^CUDA Version \([0-9][0-9]*\.[0-9][0-9]*\).*/\1/p' "$root$1/version.txt")
    fi
    if [ -z "$toolkit" ]; then
        toolkit=${1##*/cuda-}
        a_version "$toolkit" || toolkit=
    fi
}
# The line with "release" is the third in some versions of nvcc and the fourth in others.
cuda_release() {
    sed -n 's/.*release \([0-9][0-9]*\.[0-9][0-9]*\),.*/\1/p' | head -n 1
}
# needs CUDA: $full and $least are the drivers that this version needs for all features, and at the least.
needs() {
    full='' least='' exact=''
    for row in $TOOLKITS; do
        columns "$row"
        if [ "$c1" = "$1" ]; then
            full=$c2 least=$c3 exact=yes
            return
        fi
        # An older CUDA never needs a newer driver.
        if [ -z "$full" ] && at_least "$c1" "$1"; then full=$c2 least=$c2; fi
    done
}
# judge CUDA WORDS STATE: is the driver good enough?
judge() {
    needs "$1"
    if [ -z "$full" ]; then
        unknown cuda "$2: newer than the tables of $AS_OF; the driver that CUDA $1 needs is not known here"
    elif at_least "$driver" "$full"; then
        ok cuda "$2: driver $driver serves all of it${exact:+ (it needs $full)}"
    elif [ -z "$exact" ]; then
        unknown cuda "$2: not in the tables of $AS_OF; $full would surely do, whether $driver does is not known here"
    elif at_least "$driver" "$least"; then
        ok cuda "$2: driver $driver serves it by minor-version compatibility (all of it, and PTX made by it, needs $full)"
    elif [ "$3" = note ]; then
        note cuda "$2: not with driver $driver; it needs $least at the least, $full for all of it"
    elif [ -e "$root/usr/local/cuda-$1/compat/libcuda.so.1" ] || [ -e "$root/usr/local/cuda/compat/libcuda.so.1" ]; then
        unknown cuda "$2: driver $driver is too old for it by itself (needs $least); its forward-compatibility libraries are there, and work on data-centre GPUs where LD_LIBRARY_PATH names them"
    else
        broken cuda cuda-driver-too-old "$2: driver $driver is too old; it needs $least at the least, $full for all of it" "install a newer driver, or an older CUDA"
    fi
}
# For the GPUs: what this CUDA compiles for.
judge_gpus() {
    seen=
    for id in $devices; do
        place "$id"
        [ -n "$family" ] || continue
        case " $seen " in *" $family "*) continue ;; esac
        seen="$seen $family"
        if [ -n "$last_cuda" ] && ! at_least "$last_cuda" "$1"; then
            broken cuda gpu-not-supported-by-release "CUDA $1 has no code for $family GPUs: $last_cuda was the last that did" "use CUDA $last_cuda or older here"
        elif [ -z "$first_cuda" ]; then
            broken cuda gpu-not-supported-by-release "$family GPUs are older than CUDA: no CUDA program runs on them"
        elif ! at_least "$1" "$first_cuda"; then
            note cuda "CUDA $1 is older than $family GPUs: its own libraries have no code for them; use $first_cuda or later"
        fi
    done
}
toolkits='' used=''
for folder in "$root"/usr/local/cuda "$root"/usr/local/cuda-*; do
    [ -d "$folder" ] || [ -L "$folder" ] || continue
    resolve "${folder#"$root"}"
    [ -d "$root$real" ] || continue
    toolkit_version "$real"
    [ -n "$toolkit" ] || continue
    case " $toolkits " in *" $toolkit "*) continue ;; esac
    case "$folder" in */cuda) used=$toolkit ;; esac
    toolkits="$toolkits $toolkit"
done
toolkits=${toolkits# }
if [ -z "$toolkits" ] && [ -z "$root" ] && command -v nvcc >/dev/null; then
    used=$(limited 20 nvcc --version 2>/dev/null | cuda_release)
    toolkits=$used
    [ -n "$used" ] || unknown cuda "nvcc is there but does not say its version"
fi
if [ -z "$driver" ]; then
    [ -z "$toolkits$wanted_cuda" ] || unknown cuda "which CUDA can be used cannot be told without the driver's version"
else
    [ -z "$wanted_cuda" ] || { judge "$wanted_cuda" "CUDA $wanted_cuda, asked for" broken && judge_gpus "$wanted_cuda"; }
    for toolkit in $(printf '%s\n' "$toolkits" | tr ' ' '\n'); do
        [ "$toolkit" != "$wanted_cuda" ] || continue
        if [ "$toolkit" = "$used" ] || [ -z "$used" ]; then
            judge "$toolkit" "CUDA toolkit $toolkit, installed" broken
            judge_gpus "$toolkit"
        else
            judge "$toolkit" "CUDA toolkit $toolkit, installed beside $used" note
        fi
    done
    best='' family_of=''
    for row in $TOOLKITS; do
        columns "$row"
        if at_least "$driver" "$c2"; then best=$c1; fi
        if at_least "$driver" "$c3"; then family_of=$c1; fi
    done
    if [ -n "$toolkits$wanted_cuda" ]; then
        :
    elif [ -n "$best" ]; then
        ok cuda "no toolkit, and none is needed to serve models: driver $driver serves CUDA up to $best with all features$([ "$best" = "$family_of" ] || printf ', up to %s by minor-version compatibility' "$family_of")"
    else
        note cuda "driver $driver is older than every CUDA of the tables"
    fi
fi

# --- containers ------------------------------------------------------------------------------------------
engines=
for name in dockerd:docker containerd:containerd crio:cri-o podman:podman; do
    for folder in /usr/bin /usr/sbin /usr/local/bin /usr/local/sbin; do
        [ ! -e "$root$folder/${name%%:*}" ] || { engines="${engines:+$engines, }${name#*:}" && break; }
    done
done
if [ -n "$engines" ] || [ -n "$want_containers" ]; then
    ctk=
    for folder in /usr/bin /usr/local/bin /usr/local/nvidia/toolkit; do
        [ ! -e "$root$folder/nvidia-ctk" ] || ctk=$folder/nvidia-ctk
    done
    configured='' specs=''
    for file in "$root"/etc/docker/daemon.json "$root"/etc/containerd/config.toml "$root"/etc/containerd/conf.d/* \
        "$root"/etc/crio/crio.conf "$root"/etc/crio/crio.conf.d/*; do
        [ ! -r "$file" ] || [ ! -f "$file" ] || ! grep -v '^[[:space:]]*#' "$file" | grep -q nvidia || configured=yes
    done
    for file in "$root"/etc/cdi/* "$root"/var/run/cdi/* "$root"/run/cdi/*; do
        [ ! -r "$file" ] || [ ! -f "$file" ] || ! grep -q 'nvidia\.com/' "$file" || specs="$specs$NL$file"
    done
    if [ -z "$ctk" ] && [ -n "$want_containers" ]; then
        broken containers container-toolkit-missing "the NVIDIA container toolkit is not installed: no container gets a GPU" "install nvidia-container-toolkit, then nvidia-ctk runtime configure, or nvidia-ctk cdi generate"
    elif [ -z "$ctk" ]; then
        note containers "$engines is installed, the NVIDIA container toolkit is not: containers get no GPU"
    elif [ -z "$configured$specs" ]; then
        if [ -n "$want_containers" ]; then
            broken containers container-toolkit-missing "the container toolkit is installed, but ${engines:-no container engine} knows nothing of it" "nvidia-ctk runtime configure --runtime=docker (or containerd, crio), then restart that; or nvidia-ctk cdi generate --output=/var/run/cdi/nvidia.yaml"
        else
            note containers "the container toolkit is installed, but ${engines:-no container engine} knows nothing of it" "nvidia-ctk runtime configure, or nvidia-ctk cdi generate"
        fi
    else
        ok containers "the container toolkit is installed and known to ${engines:-CDI}"
    fi
    if [ -n "$ctk" ] && [ "$TOOLKIT_FLOOR" != - ] && package nvidia-container-toolkit && a_version "$version" && ! at_least "$version" "$TOOLKIT_FLOOR"; then
        note containers "container toolkit $version lets a container reach the host; $TOOLKIT_FLOOR closes the known holes" "update nvidia-container-toolkit"
    fi
    # A CDI file names the libraries of one driver version: after an upgrade it leads nowhere.
    for file in $specs; do
        version=$(sed -n 's/.*libcuda\.so\.\([0-9][0-9]*\.[0-9][0-9.]*[0-9]\).*/\1/p' "$file" | head -n 1)
        [ -z "$version" ] || [ -z "$driver" ] || [ "$version" = "$driver" ] ||
            broken containers container-toolkit-missing "${file#"$root"} was made for driver $version, this is $driver" "nvidia-ctk cdi generate --output=${file#"$root"}"
    done
    file=$root/etc/nvidia-container-runtime/config.toml
    if [ -r "$file" ] && grep -Eq '^[[:space:]]*no-cgroups[[:space:]]*=[[:space:]]*true' "$file"; then
        note containers "no-cgroups is true in /etc/nvidia-container-runtime/config.toml: right for rootless containers only"
    fi
fi

# --- the next kernel upgrade ---------------------------------------------------------------------------
if [ -n "$dkms" ] && [ -f "$root/var/lib/dpkg/status" ] && [ -r "$root/var/lib/dpkg/status" ]; then
    if grep -q '^Package: linux-headers-[a-z]' "$root/var/lib/dpkg/status"; then
        ok guard "a headers meta-package is installed: the next kernel comes with its headers"
    else
        note guard "no headers meta-package is installed: the next kernel comes without headers, and DKMS builds nothing for it" "install linux-headers-amd64 (Debian; arm64 likewise) or linux-headers-generic (Ubuntu)"
    fi
fi

# --- asked for: does a framework compute on every GPU? ---------------------------------------------------
if [ -n "$torch" ]; then
    program='
import sys
try:
    import torch
except Exception as error:
    print("import torch:", error)
    sys.exit(4)
print("torch", torch.__version__, "for CUDA", torch.version.cuda)
if not torch.cuda.is_available():
    try:
        torch.cuda.init()
    except Exception as error:
        print("torch.cuda.is_available() is False:", str(error).split("\n")[0])
    else:
        print("torch.cuda.is_available() is False")
    sys.exit(3)
for number in range(torch.cuda.device_count()):
    ones = torch.ones((256, 256), device="cuda:%d" % number)
    if float((ones @ ones).sum()) != 256.0 ** 3:
        print("cuda:%d computes wrong" % number)
        sys.exit(5)
print("%d GPUs compute right" % torch.cuda.device_count())
'
    said=$(limited 180 "$torch" -c "$program" 2>&1)
    status=$?
    said=$(printf '%s\n' "$said" | grep -v '^[[:space:]]*$' | tail -n 2 | tr '\n' ' ')
    said=${said% }
    case "$status" in
    0) ok cuda "$said" ;;
    3) broken cuda cuda-init-failed "$said" "this PyTorch cannot use the GPUs: is it a CUDA build, and the driver new enough for its CUDA?" ;;
    5) broken cuda gpu-wrong-results "$said" "take the GPU out of service" ;;
    124 | 137) broken cuda cuda-init-failed "PyTorch did not answer within 180 s" "read dmesg for Xid lines" ;;
    126 | 127) broken cuda cuda-init-failed "$torch cannot be run: $said" "name the Python that has PyTorch: --torch=/path/to/python" ;;
    *) broken cuda cuda-init-failed "the PyTorch test failed (exit status $status): $said" "name the Python that has PyTorch: --torch=/path/to/python" ;;
    esac
fi

# --- the verdict ---------------------------------------------------------------------------------------
verdict=healthy
[ $count_unknown = 0 ] || verdict=unknown
[ $count_broken = 0 ] || verdict=broken
if [ -n "$as_json" ]; then
    os_id='' os_version='' os_name=''
    for file in "$root/etc/os-release" "$root/usr/lib/os-release"; do
        if [ ! -f "$file" ] || [ ! -r "$file" ]; then continue; fi
        while IFS= read -r line || [ -n "$line" ]; do
            value=${line#*=}
            case "$value" in \"*\" | \'*\') value=${value#?} && value=${value%?} ;; esac
            case "$line" in
            ID=*) os_id=$value ;;
            VERSION_ID=*) os_version=$value ;;
            PRETTY_NAME=*) os_name=$value ;;
            esac
        done <"$file"
        break
    done
    quoted "$os_id" && os_id=$json
    quoted "$os_version" && os_version=$json
    quoted "$os_name" && os_name=$json
    quoted "$running"
    [ -n "$running" ] || json=null
    running=$json
    quoted "$driver"
    [ -n "$driver" ] || json=null
    driver=$json
    root_cause=null rungs_json=''
    for rung in $RUNGS; do
        eval "state=\$state_$rung said=\$said_$rung told=\$told_$rung cause=\$cause_$rung"
        causes=
        if [ "$state" = broken ]; then
            quoted "$cause"
            causes="{\"cause\": $json, \"title\": $said, \"confidence\": 0.9, \"evidence\": [], \"sources\": []}"
            [ "$root_cause" != null ] || root_cause="{\"rung\": \"$rung\", \"cause\": $json, \"summary\": $said}"
        fi
        [ -n "$said" ] || said='""'
        rungs_json="$rungs_json${rungs_json:+,}$NL    {\"id\": \"$rung\", \"state\": \"${state:-skipped}\", \"summary\": $said, \"evidence\": [$told], \"causes\": [$causes]}"
    done
    printf '{"schema": 1, "verdict": "%s", "tables_of": "%s",\n' "$verdict" "$AS_OF"
    printf ' "host": {"os": {"id": %s, "version": %s, "name": %s},\n' "$os_id" "$os_version" "$os_name"
    printf '          "kernel": {"running": %s, "bootable": [%s]}, "secure_boot": "%s", "driver": %s,\n' "$running" "$bootable" "$secure_boot" "$driver"
    printf '          "gpus": [%s]},\n "root_cause": %s,\n' "$names" "$root_cause"
    printf ' "rungs": [%s],\n "findings": [%s],\n "repair": []}\n' "$rungs_json" "$all_json"
else
    case "$verdict" in
    healthy) echo "Healthy: nothing here is broken.${torch:-" That CUDA computes right is not tested here: gpu-bringup check --deep, or --torch"}" ;;
    broken) echo "Broken: $count_broken of these lines. The lowest cause and its repair: gpu-bringup check" ;;
    *) echo "Unknown: $count_unknown of these lines could not be told, so this is not called healthy. gpu-bringup check knows more ways to look" ;;
    esac
fi
[ "$verdict" = healthy ] || exit 1
exit 0
