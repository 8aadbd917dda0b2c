#!/usr/bin/env bash
# Undo after success, on Debian 12 and 13: a driver is upgraded by a real `apply` from a local
# repository, and by a second run packages are purged, held and marked, files and the boot default
# changed. Then the repository and the network go away, and undo brings all of it back: by
# `gpu-bringup undo`, by `undo --step`, and by the plain undo.sh from outside (as a rescue system does).
# After that, dnf: an upgrade with real rpm and dnf, taken back without a repository.
#
#   sudo tests/rig/undo.sh [bookworm] [trixie] [dnf]
#
# Environment: RIG_DIR   where the file systems are made (default: a new folder below /var/tmp)
#              RIG_BASE_<suite>   a minimal root file system to copy (default: made with mmdebstrap)
#              RIG_LOCK           a lock file (flock) shared with other heavy work on this machine
# Prints a digest of the package list, versions, marks, holds, files of /etc and boot default before and
# after each undo; fails where two that must be equal are not.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/rig/lib.sh
. "$here/lib.sh"
[ "$(id -u)" = 0 ] || { echo "this rig needs root: sudo $0" >&2; exit 4; }
wanted=("$@")
[ ${#wanted[@]} -gt 0 ] || wanted=(bookworm trixie dnf)
work=${RIG_DIR:-$(mktemp -d /var/tmp/gpu-bringup-rig.XXXXXX)}
mkdir -p "$work"
failures=0
old=580.126.09
new=580.178.04
tool=/opt/gpu-bringup/scripts/gpu-bringup

expect() {
    local text=$1
    shift
    if "$@"; then echo "  ok      $text"; else echo "  FAILED  $text"; failures=$((failures + 1)); fi
}

# phase TEXT: the next piece of work.
phase() {
    rig_turn
    echo "=== $1"
}

# Without network and without the repository: whatever undo needs must be kept.
offline() { # offline ROOT COMMAND...
    local root=$1 status=0
    shift
    mv "$root/srv/repository" "$root/srv/repository.away" 2>/dev/null || true
    # shellcheck disable=SC2016  # the inner shell expands
    unshare --net bash -c '. "$0"; rig_enter "$@"' "$here/lib.sh" "$root" "$@" || status=$?
    return "$status"
}

# state ROOT OUT: all that undo must bring back, a line each.
state() {
    # shellcheck disable=SC2016  # the inner shell expands
    rig_enter "$1" sh -c '
        dpkg-query -W -f "package \${binary:Package} \${Version} \${db:Status-Abbrev}\n" | sort
        apt-mark showauto | sort | sed "s/^/auto /"
        apt-mark showhold | sort | sed "s/^/held /"
        # The linker cache and what the rig itself copies in say nothing of a run.
        find /etc -type f ! -name ld.so.cache ! -name resolv.conf ! -name hosts ! -path "/etc/ssl/certs/*" ! -name pip.conf |
            sort | xargs sha256sum | sed "s/^/file /"
        find /etc -type f ! -name resolv.conf ! -name hosts ! -path "/etc/ssl/certs/*" | sort | xargs stat -c "mode %n %a %u:%g"
        grub-editenv /boot/grub/grubenv list | sed "s/^/boot /"
        ls /lib/modules/*/updates/dkms 2>/dev/null | sed "s/^/module /"
        dkms status 2>/dev/null | sed "s/^/dkms /"
    ' >"$2"
}

same() { # same BEFORE NOW TEXT
    echo "          before $(sha256sum <"$1" | cut -c 1-16)  now $(sha256sum <"$2" | cut -c 1-16)  ($(wc -l <"$1") lines)"
    expect "$3" cmp -s "$1" "$2"
    diff "$1" "$2" | head -n 20 || true
}

package() { # package ROOT REPO NAME VERSION DEPENDS [FOLDER]
    local root=$1 repo=$2 name=$3 version=$4 depends=$5 files=${6:-} build
    build=$(mktemp -d "$root/srv/build.XXXXXX")
    [ -z "$files" ] || cp -a "$files/." "$build/"
    mkdir -p "$build/DEBIAN"
    printf 'Package: %s\nVersion: %s-1\nArchitecture: amd64\nMaintainer: Rig <rig@example.org>\nDepends: %s\nDescription: stand-in\n' \
        "$name" "$version" "$depends" >"$build/DEBIAN/control"
    if [ -d "$build/etc" ]; then (cd "$build" && find etc -type f | sed 's,^,/,') >"$build/DEBIAN/conffiles"; fi
    if [ "$name" = nvidia-kernel-open-dkms ]; then
        cat >"$build/DEBIAN/postinst" <<POSTINST
#!/bin/sh
set -e
dkms add -m nvidia -v $version 2>/dev/null || true
for kernel in /lib/modules/*/build; do
    [ -e "\$kernel" ] || continue
    dkms install -m nvidia -v $version -k "\$(basename "\$(dirname "\$kernel")")" --force
done
POSTINST
        cat >"$build/DEBIAN/prerm" <<PRERM
#!/bin/sh
dkms remove -m nvidia -v $version --all || true
PRERM
        chmod 0755 "$build/DEBIAN/postinst" "$build/DEBIAN/prerm"
    fi
    chmod 0755 "$build"
    rig_enter "$root" dpkg-deb -b "${build#"$root"}" "${repo#"$root"}/${name}_$version-1_amd64.deb" >/dev/null
    rm -rf "$build"
}

driver_set() { # driver_set ROOT REPO VERSION
    local root=$1 repo=$2 version=$3 source number=0 module
    source=$(mktemp -d "$root/srv/source.XXXXXX")
    mkdir -p "$source/usr/src/nvidia-$version" "$source/etc/modprobe.d"
    cp "$here"/module/nvidia.c "$here"/module/Makefile "$source/usr/src/nvidia-$version/"
    sed -i "s/580\.178\.04/$version/g" "$source/usr/src/nvidia-$version/"*
    echo "# settings of the driver $version" >"$source/etc/modprobe.d/nvidia-stand-in.conf"
    {
        printf 'PACKAGE_NAME="nvidia"\nPACKAGE_VERSION="%s"\nAUTOINSTALL="yes"\n' "$version"
        # shellcheck disable=SC2016  # dkms fills it in
        printf 'MAKE[0]="make modules KERNEL_UNAME=${kernelver}"\nCLEAN="true"\n'
        for module in nvidia nvidia-uvm nvidia-modeset nvidia-drm nvidia-peermem; do
            printf 'BUILT_MODULE_NAME[%s]="%s"\nDEST_MODULE_LOCATION[%s]="/updates/dkms"\n' "$number" "$module" "$number"
            number=$((number + 1))
        done
    } >"$source/usr/src/nvidia-$version/dkms.conf"
    package "$root" "$repo" nvidia-kernel-open-dkms "$version" "dkms, make" "$source"
    rm -rf "$source"
    source=$(mktemp -d "$root/srv/source.XXXXXX")
    mkdir -p "$source/usr/lib/x86_64-linux-gnu"
    for module in libcuda libnvidia-ml; do
        : >"$source/usr/lib/x86_64-linux-gnu/$module.so.$version"
        ln -s "$module.so.$version" "$source/usr/lib/x86_64-linux-gnu/$module.so.1"
    done
    package "$root" "$repo" nvidia-driver-cuda "$version" \
        "nvidia-kernel-open-dkms (= $version-1), nvidia-modprobe (= $version-1), nvidia-persistenced (= $version-1)" "$source"
    rm -rf "$source"
    package "$root" "$repo" nvidia-modprobe "$version" libc6
    package "$root" "$repo" nvidia-persistenced "$version" libc6
}

prepare() { # prepare SUITE ROOT: the old driver, installed from a local repository of its own
    local suite=$1 root=$2 base=RIG_BASE_$1 repo=$2/srv/repository/debian/x86_64 first=$2/srv/repository/first source
    if [ -n "${!base:-}" ]; then cp -a --reflink=auto "${!base}" "$root"; else rig_make "$suite" "$root" >"$work/$suite-make.log" 2>&1; fi
    rig_enter "$root" apt-get update -q >"$work/$suite-apt.log" 2>&1
    rig_enter "$root" apt-get install -y -q --no-install-recommends linux-image-amd64 linux-headers-amd64 dkms \
        openssl python3 python3-venv ca-certificates dpkg-dev apt-utils gnupg grub-common busybox tmux >>"$work/$suite-apt.log" 2>&1
    rig_checkout "$root" /opt/gpu-bringup
    rig_enter "$root" $tool --version
    mkdir -p "$repo" "$first" "$root/srv/profiles" "$root/boot/grub"
    driver_set "$root" "$first" $old
    driver_set "$root" "$repo" $new
    source=$(mktemp -d "$root/srv/source.XXXXXX")
    mkdir -p "$source/etc/old-tool"
    echo 'as packaged' >"$source/etc/old-tool/tool.conf"
    package "$root" "$first" rig-old-tool 1.0 libc6 "$source"
    rm -rf "$source"
    package "$root" "$repo" nvidia-driver-pinning-580 $new libc6
    # shellcheck disable=SC2016  # the inner shell expands
    rig_enter "$root" sh -ec '
        export GNUPGHOME=/srv/gnupg
        mkdir -m 0700 "$GNUPGHOME"
        gpg --batch --quiet --passphrase "" --quick-gen-key "vendor <vendor@example.org>" rsa3072 sign never
        for place in /srv/repository/debian/x86_64 /srv/repository/first; do
            cd $place
            apt-ftparchive packages . >Packages
            apt-ftparchive release . >Release
            gpg --batch --quiet --local-user vendor --clearsign -o InRelease Release
            gpg --armor --export vendor >key.pub
        done
        gpg --with-colons --list-keys vendor | sed -n "s/^fpr:*\([0-9A-F]*\):/\1/p" | head -n 1 >/srv/fingerprint
        mkdir -p /etc/apt/keyrings
        cp key.pub /etc/apt/keyrings/rig.asc
        printf "Types: deb\nURIs: file:///srv/repository/first/\nSuites: /\nSigned-By: /etc/apt/keyrings/rig.asc\n" >/etc/apt/sources.list.d/rig.sources
        apt-get update -q
        apt-get install -y -q --no-install-recommends nvidia-driver-cuda='$old'-1 nvidia-kernel-open-dkms='$old'-1 \
            nvidia-modprobe='$old'-1 nvidia-persistenced='$old'-1 rig-old-tool
        apt-mark auto nvidia-modprobe nvidia-persistenced
        apt-mark hold tmux busybox
        echo "changed by the operator" >>/etc/modprobe.d/nvidia-stand-in.conf
        echo "changed by the operator" >/etc/old-tool/tool.conf
        chmod 0640 /etc/old-tool/tool.conf
        grub-editenv /boot/grub/grubenv create
        grub-editenv /boot/grub/grubenv set saved_entry=the-old-kernel
    ' >>"$work/$suite-apt.log" 2>&1
}

# The second run: what `apply` alone doesn't do. Purges, holds, marks, replaces a file, makes another,
# changes the boot default.
second_run() {
    cat >"$1/srv/second.py" <<'PYTHON'
from gpu_bringup import engine
from gpu_bringup.families.apt import Apt
from gpu_bringup.model.plan import Command, Plan, Step, Write

apt = Apt()
steps = (
    Step("purge", "packages", "Purge a tool", "rig", (apt.remove(("rig-old-tool",)),)),
    Step("marks", "guard", "Hold and mark", "rig",
         (apt.unhold(("tmux",)), apt.hold(("nvidia-driver-cuda",)),
          Command(("apt-mark", "manual", "nvidia-modprobe"))),
         undo=(apt.unhold(("nvidia-driver-cuda",)),)),
    Step("files", "nouveau", "Write files", "rig",
         writes=(Write("/etc/modprobe.d/nvidia-stand-in.conf", "replaced\n"),
                 Write("/etc/made-by-the-run.conf", "made\n"))),
    Step("boot", "kernel", "Boot another kernel", "rig",
         (Command(("grub-editenv", "/boot/grub/grubenv", "set", "saved_entry=the-new-kernel")),)),
)
follower = engine.apply(Plan({}, steps), label="second")
ended = follower.wait(600)
print(ended)
raise SystemExit(0 if ended and ended["state"] == "done" else 1)
PYTHON
    # shellcheck disable=SC2016  # the inner shell expands
    rig_enter "$1" sh -c 'python=$(ls /opt/gpu-bringup/.venv/run-*/bin/python | head -n 1); exec "$python" /srv/second.py'
}

debian() {
    local suite=$1 root=$work/$1 kernel fingerprint status
    phase "$suite: making the file system, with the driver $old"
    prepare "$suite" "$root"
    kernel=$(basename "$(echo "$root"/lib/modules/*/build | tr ' ' '\n' | head -n 1 | xargs dirname)")
    fingerprint=$(cat "$root/srv/fingerprint")
    cat >"$root/srv/profiles/repository.toml" <<PROFILE
[[repository]]
id = "nvidia-cuda$([ "$suite" = bookworm ] || echo -debian13)"
name = "Mirror of NVIDIA's repository"
uri = "file:///srv/repository/debian/{arch}/"
suite = "/"
key_uri = "file:///srv/repository/debian/{arch}/key.pub"
fingerprints = ["$fingerprint"]
sources = ["nvidia-repository"]
PROFILE
    state "$root" "$work/$suite-before"
    expect "the old driver is there" grep -q "package nvidia-driver-cuda $old-1 ii" "$work/$suite-before"

    phase "$suite: apply brings $new"
    status=0
    rig_enter "$root" $tool apply --gpu H200 --scenario long-term-stable --source nvidia-repository --kernel "$kernel" \
        --driver $new --profiles /srv/profiles --yes >"$work/$suite-apply.log" 2>&1 || status=$?
    grep -E 'Kept for undo|undo-store: kept' "$work/$suite-apply.log" | sed 's/^/  /' | head -n 12
    expect "it ends with 0 (exit status $status)" [ "$status" = 0 ]
    state "$root" "$work/$suite-applied"
    expect "the new driver is there" grep -q "package nvidia-driver-cuda $new-1 .i" "$work/$suite-applied"
    second_run "$root" >"$work/$suite-second.log" 2>&1 || true
    expect "a second run, which purges, holds, marks and changes files and the boot default" grep -q "'state': 'done'" "$work/$suite-second.log"
    state "$root" "$work/$suite-second"
    echo "  changed by both runs: $(diff "$work/$suite-before" "$work/$suite-second" | grep -c '^[<>]') lines"
    cp -a --reflink=auto "$root" "$root-step"
    cp -a --reflink=auto "$root" "$root-rescue"

    phase "$suite: undo, whole, offline"
    offline "$root" $tool undo --dry-run 2>&1 | sed 's/^/    /' | head -n 40
    offline "$root" $tool undo --json >"$work/$suite-undo.json"
    expect "--json shows the steps and changes nothing" grep -q '"state": "planned"' "$work/$suite-undo.json"
    state "$root" "$work/$suite-looked"
    same "$work/$suite-second" "$work/$suite-looked" "nothing is changed by looking"
    offline "$root" $tool undo --yes >"$work/$suite-undo-2.log" 2>&1 || true
    state "$root" "$work/$suite-undone-2"
    same "$work/$suite-applied" "$work/$suite-undone-2" "after the first undo: as after apply"
    offline "$root" $tool undo --yes >"$work/$suite-undo-1.log" 2>&1 || true
    state "$root" "$work/$suite-undone-1"
    same "$work/$suite-before" "$work/$suite-undone-1" "after the second undo: as before apply"
    expect "dpkg --audit is clean" [ -z "$(rig_enter "$root" dpkg --audit)" ]
    expect "apt-get check is content" rig_enter "$root" apt-get -q check
    offline "$root" $tool undo --yes >"$work/$suite-undo-0.log" 2>&1 || true
    expect "a third finds nothing to take back" grep -q 'Nothing to take back' "$work/$suite-undo-0.log"

    phase "$suite: undo --step, offline"
    offline "$root-step" $tool undo --step --yes >"$work/$suite-step-2.log" 2>&1 || true
    offline "$root-step" $tool undo --step --yes >"$work/$suite-step-1.log" 2>&1 || true
    state "$root-step" "$work/$suite-stepped"
    same "$work/$suite-before" "$work/$suite-stepped" "step by step: as before apply ($(grep -c '^Step ' "$work/$suite-step-1.log" "$work/$suite-step-2.log" | tr '\n' ' '))"

    phase "$suite: undo.sh from a rescue system, offline, without Python"
    mv "$root-rescue/srv/repository" "$root-rescue/srv/repository.away"
    chmod 0000 "$root-rescue/opt/gpu-bringup"
    for run in $(find "$root-rescue/var/lib/gpu-bringup/runs" -mindepth 1 -maxdepth 1 | sort -r); do
        unshare --net sh "$run/undo.sh" --root "$root-rescue" --show >"$work/$suite-rescue-show.log" 2>&1 || true
        unshare --net sh "$run/undo.sh" --root "$root-rescue" --yes >>"$work/$suite-rescue.log" 2>&1 || true
    done
    state "$root-rescue" "$work/$suite-rescued"
    same "$work/$suite-before" "$work/$suite-rescued" "from outside: as before apply"
    expect "dpkg --audit is clean" [ -z "$(rig_enter "$root-rescue" dpkg --audit)" ]

    phase "$suite: a tampered store is refused"
    rm -rf "$root-step"
    tampered "$suite" "$root"
}

# A kept package that somebody changed is not installed.
tampered() {
    local suite=$1 root=$2 run status=0
    mv "$root/srv/repository.away" "$root/srv/repository"
    rig_enter "$root" sh -c "cat >/srv/third.py" <<'PYTHON'
from gpu_bringup import engine
from gpu_bringup.families.apt import Apt
from gpu_bringup.model.plan import Plan, Step

step = Step("purge", "packages", "Purge a tool", "rig", (Apt().remove(("rig-old-tool",)),))
ended = engine.apply(Plan({}, (step,)), label="third").wait(600)
raise SystemExit(0 if ended and ended["state"] == "done" else 1)
PYTHON
    # shellcheck disable=SC2016  # the inner shell expands
    rig_enter "$root" sh -c '$(ls /opt/gpu-bringup/.venv/run-*/bin/python | head -n 1) /srv/third.py' >"$work/$suite-third.log" 2>&1
    run=$(find "$root/var/lib/gpu-bringup/runs" -mindepth 1 -maxdepth 1 | sort | tail -n 1)
    printf 'x' >>"$(find "$run/undo/store" -name 'rig-old-tool*.deb')"
    offline "$root" $tool undo --yes >"$work/$suite-tampered.log" 2>&1 || status=$?
    expect "undo ends with $status and says why" grep -q 'checksum differs' "$work/$suite-tampered.log"
    # shellcheck disable=SC2016  # dpkg-query fills it in
    expect "nothing was installed from it" sh -c '! chroot "$0" dpkg-query -W -f "\${Status}\n" rig-old-tool 2>/dev/null | grep -q "ok installed"' "$root"
}

# dnf and rpm for real, in a Debian that has them: their own databases, synthetic packages.
by_dnf() {
    local root=$work/dnf base=RIG_BASE_trixie status=0
    phase "dnf: making the file system"
    if [ -n "${!base:-}" ]; then cp -a --reflink=auto "${!base}" "$root"; else rig_make trixie "$root" >"$work/dnf-make.log" 2>&1; fi
    rig_enter "$root" apt-get update -q >"$work/dnf-apt.log" 2>&1
    rig_enter "$root" apt-get install -y -q --no-install-recommends dnf rpm createrepo-c python3 python3-venv ca-certificates >>"$work/dnf-apt.log" 2>&1
    # On Debian its plugins lie where its Python looks for them; the package keeps zypper out, as here.
    rig_enter "$root" apt-get install -y -q --no-install-recommends dnf-plugins-core >>"$work/dnf-apt.log" 2>&1
    rig_checkout "$root" /opt/gpu-bringup
    rig_enter "$root" $tool --version
    mkdir -p "$root/srv/specs" "$root/srv/repository" "$root/etc/yum.repos.d" "$root/etc/dnf/plugins"
    spec() { # spec NAME VERSION MORE...
        printf 'Name: %s\nVersion: %s\nRelease: 1.el9\nSummary: s\nLicense: none\nBuildArch: x86_64\nAutoReqProv: no\n%s\n%%description\ns\n' "$1" "$2" "${3:-}" >"$root/srv/specs/$1-$2.spec"
        printf '%%install\nmkdir -p %%{buildroot}/etc/%s\necho %s >%%{buildroot}/etc/%s/%s.conf\n%%files\n%%config(noreplace) /etc/%s/%s.conf\n' "$1" "$2" "$1" "$1" "$1" "$1" >>"$root/srv/specs/$1-$2.spec"
    }
    for version in $old $new; do
        spec nvidia-driver-cuda "$version" "Requires: kmod-nvidia-open-dkms = $version"
        spec kmod-nvidia-open-dkms "$version"
    done
    spec rig-old-tool 1.0
    spec nvidia-new-tool 1.0
    rig_enter "$root" sh -ec '
        rpmbuild --quiet --target x86_64 -bb /srv/specs/*.spec --define "_topdir /srv/build" --define "_rpmdir /srv/repository"
        createrepo_c -q /srv/repository
        printf "[local]\nname=local\nbaseurl=file:///srv/repository\nenabled=1\ngpgcheck=0\n" >/etc/yum.repos.d/local.repo
        mkdir -p /etc/dnf
        printf "[main]\ngpgcheck=0\n" >/etc/dnf/dnf.conf
        dnf -y --releasever=9 install nvidia-driver-cuda-'$old' kmod-nvidia-open-dkms-'$old' rig-old-tool
        echo "by the operator" >>/etc/nvidia-driver-cuda/nvidia-driver-cuda.conf
    ' >"$work/dnf.log" 2>&1
    rpm_state() { rig_enter "$root" sh -c 'rpm -qa | sort; find /etc/*nvidia* /etc/rig-* -type f 2>/dev/null | sort | xargs sha256sum; rpm -Va --nodeps 2>/dev/null | sort'; }
    rpm_state >"$work/dnf-before"
    cat >"$root/srv/upgrade.py" <<PYTHON
from gpu_bringup import engine
from gpu_bringup.families.dnf import Dnf
from gpu_bringup.model.plan import Plan, Step

dnf = Dnf(4)
steps = (
    Step("driver", "module", "Upgrade the driver", "rig", (dnf.install(("nvidia-driver-cuda=$new", "nvidia-new-tool")),)),
    Step("tool", "packages", "Remove a tool", "rig", (dnf.remove(("rig-old-tool",)),)),
)
ended = engine.apply(Plan({}, steps), label="dnf").wait(600)
print(ended)
raise SystemExit(0 if ended and ended["state"] == "done" else 1)
PYTHON
    # shellcheck disable=SC2016  # the inner shell expands
    rig_enter "$root" sh -c '$(ls /opt/gpu-bringup/.venv/run-*/bin/python | head -n 1) /srv/upgrade.py' >>"$work/dnf.log" 2>&1 || status=$?
    expect "dnf upgrades the driver and removes a tool (exit status $status)" [ "$status" = 0 ]
    rpm_state >"$work/dnf-upgraded"
    expect "the new driver is there" grep -q "nvidia-driver-cuda-$new" "$work/dnf-upgraded"
    cat "$root"/var/lib/gpu-bringup/runs/*/undo/store/index | cut -f 1,2 | sed 's/^/    kept: /'
    cp -a --reflink=auto "$root" "$root-rescue"
    offline "$root" $tool undo --yes >"$work/dnf-undo.log" 2>&1 || true
    rpm_state >"$work/dnf-undone"
    same "$work/dnf-before" "$work/dnf-undone" "undo, offline: as before"
    expect "dnf check is content" rig_enter "$root" dnf --releasever=9 --disablerepo='*' -q check --dependencies
    root=$root-rescue
    unshare --net sh "$(find "$root/var/lib/gpu-bringup/runs" -mindepth 1 -maxdepth 1)/undo.sh" --root "$root" --yes >"$work/dnf-rescue.log" 2>&1 || true
    rpm_state >"$work/dnf-rescued"
    same "$work/dnf-before" "$work/dnf-rescued" "undo.sh from outside: as before"
}

for item in "${wanted[@]}"; do
    case $item in dnf) by_dnf ;; *) debian "$item" ;; esac
done
rig_turn_over
echo "=== logs are in $work"
[ "$failures" = 0 ] && echo "=== all as it must be"
exit "$((failures > 0))"
