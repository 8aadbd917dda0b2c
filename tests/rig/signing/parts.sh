# shellcheck shell=bash
# What tests/rig/signing.sh is made of: file systems, keys, tokens, and a close look at signatures.
# Source it after lib.sh and faults/packages.sh.
# shellcheck disable=SC2154  # suite, work: set by signing.sh

tool=/opt/gpu-bringup/scripts/gpu-bringup
configuration=/etc/dkms/framework.conf.d/gpu-bringup-signing.conf
copy=/var/lib/dkms/gpu-bringup-own.der
token_pin=739126480155

expect() { # expect TEXT COMMAND...
    local text=$1
    shift
    cases=$((cases + 1))
    if "$@"; then echo "  ok      $text"; else echo "  FAILED  $text"; failures=$((failures + 1)); fi
}

# said LOG TEXT: does a log of this suite hold the text, whatever its line breaks?
said() {
    tr -s ' \n' '  ' <"$work/$suite-$1.log" | grep -qF -- "$2"
}

# prepare: a file system with a kernel, the tool and a repository of the driver; kernel, profile.
prepare() {
    local root=$work/$suite-prepared base=RIG_BASE_$suite number=12 id=nvidia-cuda
    [ "$suite" = bookworm ] || { number=13 id=nvidia-cuda-debian13; }
    echo "=== $suite: making the file system"
    if [ ! -d "$root" ]; then
        if [ -n "${!base:-}" ]; then cp -a --reflink=auto "${!base}" "$root"; else rig_make "$suite" "$root" >"$work/$suite-make.log" 2>&1; fi
    fi
    {
        rig_enter "$root" apt-get update -q
        rig_enter "$root" apt-get install -y -q --no-install-recommends linux-image-amd64 python3 python3-venv \
            ca-certificates gcc libc6-dev dpkg-dev apt-utils gnupg kmod xz-utils openssl softhsm2 opensc
        rig_checkout "$root" /opt/gpu-bringup
        rig_enter "$root" $tool --version
    } >"$work/$suite-apt.log" 2>&1
    kernel=$(basename "$(echo "$root"/lib/modules/*)")
    REPOSITORY=/srv/repository/debian$number/x86_64
    if [ ! -e "$root/srv/profiles/repository.toml" ]; then
        rm -rf "$root/srv/repository" "$root/srv/gnupg"
        mkdir -p "$root$REPOSITORY" "$root/srv/profiles"
        {
            driver_packages "$root" "$DRIVER"
            deb "$root" nvidia-modprobe "$DRIVER-1" libc6
            deb "$root" nvidia-persistenced "$DRIVER-1" libc6
            deb "$root" nvidia-driver-pinning-580 "580-1" libc6
            # shellcheck disable=SC2016  # the inner shell expands
            rig_enter "$root" sh -ec '
                export GNUPGHOME=/srv/gnupg
                mkdir -m 0700 "$GNUPGHOME"
                gpg --batch --quiet --passphrase "" --quick-gen-key "vendor <vendor@example.org>" rsa3072 sign never
                cd "$1"
                apt-ftparchive packages . >Packages
                apt-ftparchive release . >Release
                gpg --batch --quiet --local-user vendor --clearsign -o InRelease Release
                gpg --armor --export vendor >key.pub
                gpg --with-colons --list-keys vendor | sed -n "s/^fpr:*\([0-9A-F]*\):/\1/p" | head -n 1 >/srv/fingerprint
                gpgconf --kill all
            ' _ "$REPOSITORY"
        } >>"$work/$suite-apt.log" 2>&1
        cat >"$root/srv/profiles/repository.toml" <<PROFILE
[[repository]]
id = "$id"
name = "Mirror of NVIDIA's repository"
uri = "file:///srv/repository/{distro}/{arch}/"
suite = "/"
key_uri = "file:///srv/repository/{distro}/{arch}/key.pub"
fingerprints = ["$(cat "$root/srv/fingerprint")"]
sources = ["nvidia-repository"]
PROFILE
    fi
    echo "    kernel $kernel, $(sed -n 's/^CONFIG_MODULE_SIG_HASH=//p' "$root/boot/config-$kernel")"
}

fresh() { # fresh NAME: a copy of the prepared file system; prints its folder
    rm -rf --one-file-system "${work:?}/$suite-$1"
    cp -a --reflink=auto "$work/$suite-prepared" "$work/$suite-$1"
    echo "$work/$suite-$1"
}

ask() { # ask ROOT LOG COMMAND MORE...: gpu-bringup with this rig's wish; prints its exit status
    local root=$1 log=$work/$suite-$2.log command=$3 status=0
    shift 3
    rig_enter "$root" $tool "$command" --gpu H200 --scenario long-term-stable --source nvidia-repository \
        --kernel "$kernel" --profiles /srv/profiles "$@" >"$log" 2>&1 || status=$?
    echo "$status"
}

bring() { # bring ROOT LOG MORE...
    local root=$1 log=$2
    shift 2
    ask "$root" "$log" apply --yes "$@"
}

look() { ask "$1" "$2" check; }

take_back() { # take_back ROOT LOG: the last run
    local status=0
    rig_enter "$1" $tool undo --yes >"$work/$suite-$2.log" 2>&1 || status=$?
    echo "$status"
}

refused() { # refused ROOT NAME TEXT KEY CERTIFICATE
    local status
    status=$(bring "$1" "refused-$2" --signing-key "$4" --signing-certificate "$5")
    expect "$2: exit status $status, $(tail -n 3 "$work/$suite-refused-$2.log" | head -n 1 | cut -c 1-110)" [ "$status" = 2 ]
    expect "$2: says '$3'" said "refused-$2" "$3"
}

state() { # state ROOT: what a refusal must leave alone
    # shellcheck disable=SC2016  # the inner shell expands
    rig_enter "$1" sh -c '
        dpkg-query -W -f "\${binary:Package} \${Version} \${db:Status-Abbrev}\n" | sort
        find /etc /boot /lib/modules /var/lib/dkms /var/lib/gpu-bringup -type f ! -name resolv.conf ! -name hosts \
            ! -path "/etc/ssl/certs/*" ! -name pip.conf 2>/dev/null | sort | xargs sha256sum
    '
}

make_pair() { # make_pair ROOT NAME SUBJECT: NAME.key and NAME.der
    rig_enter "$1" sh -c 'umask 077; openssl req -new -x509 -newkey rsa:2048 -nodes -days 3650 -subj "/CN=$2" \
        -outform DER -keyout "$1.key" -out "$1.der" 2>/dev/null' _ "$2" "$3"
}

make_token() { # make_token ROOT: a key on a software token; its certificate is /root/token.der
    rig_enter "$1" sh -ec '
        library=$(ls /usr/lib/*/softhsm/libsofthsm2.so /usr/lib/softhsm/libsofthsm2.so 2>/dev/null | head -n 1)
        umask 077
        openssl req -new -x509 -newkey rsa:2048 -nodes -days 3650 -subj "/CN=Token key" \
            -outform DER -keyout /srv/token.key -out /root/token.der
        openssl pkey -in /srv/token.key -outform DER -out /srv/token.key.der
        softhsm2-util --init-token --free --label mok --so-pin 918273 --pin "$1"
        pkcs11-tool --module "$library" --token-label mok --login --pin "$1" --write-object /srv/token.key.der \
            --type privkey --label mok --id 01 --usage-sign
        rm /srv/token.key /srv/token.key.der
        printf %s "$1" >/root/pin
    ' _ "$token_pin"
}

modules_of() { # modules_of ROOT RELEASE: their paths in the file system
    (cd "$1" && find "lib/modules/$2/updates" -name 'nvidia*.ko*' 2>/dev/null | sort | sed 's,^,/,')
}

unpacked() { case $1 in *.xz) xz -dc "$1" ;; *.zst) zstd -qdc "$1" ;; *.gz) gzip -dc "$1" ;; *) cat "$1" ;; esac; }

# split FILE OUT: OUT.body and OUT.p7s of an unpacked module; none of them where it isn't signed.
split() {
    local length
    rm -f "$2.body" "$2.p7s"
    [ "$(tail -c 28 "$1" | tr -d '\0')" = '~Module signature appended~' ] || return 0
    length=$((0x$(tail -c 32 "$1" | head -c 4 | od -An -tx1 | tr -d ' \n')))
    head -c "-$((length + 40))" "$1" >"$2.body"
    tail -c "$((length + 40))" "$1" | head -c "$length" >"$2.p7s"
}

# fits ROOT MODULE CERTIFICATE HASH SUFFIX: does that key's signature verify, with that hash, as modinfo
# says it, and is the file packed as this distribution packs?
fits() {
    local at=$work/signature serial
    [ "$2" = "${2%.ko*}$5" ] || return 1
    unpacked "$1$2" >"$at"
    split "$at" "$at"
    [ -s "$at.p7s" ] || { echo "          $2 is not signed"; return 1; }
    openssl x509 -inform DER -in "$1$3" -out "$at.pem"
    openssl cms -verify -inform DER -in "$at.p7s" -content "$at.body" -binary -noverify -certfile "$at.pem" \
        -out /dev/null 2>/dev/null || { echo "          $2 does not verify"; return 1; }
    serial=$(openssl x509 -noout -serial -in "$at.pem" | cut -d = -f 2)
    [ "$(rig_enter "$1" modinfo -F sig_key "$2" | tr -d ':' | sed 's/^0*//')" = "$(echo "$serial" | sed 's/^0*//')" ] &&
        [ "$(rig_enter "$1" modinfo -F sig_hashalgo "$2")" = "$4" ]
}

signed() { # signed ROOT RELEASE CERTIFICATE: all five modules, each by itself
    local root=$1 release=$2 certificate=$3 hash module count=0 suffix=.ko
    hash=$(sed -n 's/^CONFIG_MODULE_SIG_HASH="\(.*\)"$/\1/p' "$root/boot/config-$release")
    [ "$suite" = bookworm ] || suffix=.ko.xz
    while read -r module; do
        count=$((count + 1))
        expect "$(basename "$module") for $release: $certificate, $hash, $suffix" \
            fits "$root" "$module" "$certificate" "$hash" "$suffix"
    done < <(modules_of "$root" "$release")
    expect "five modules for $release" [ "$count" = 5 ]
}

# later_kernel ROOT CERTIFICATE: another kernel, by apt alone.
later_kernel() {
    local root=$1 release
    rig_enter "$root" apt-get install -y -q --no-install-recommends linux-image-cloud-amd64 linux-headers-cloud-amd64 \
        >"$work/$suite-later.log" 2>&1 || true
    release=$(cd "$root/lib/modules" && echo *cloud*)
    signed "$root" "$release" "$2"
}

as_nobody() { # as_nobody ROOT FILE: reads it
    rig_enter "$1" setpriv --reuid=65534 --regid=65534 --clear-groups cat "$2" >/dev/null 2>&1
}

private() { # private ROOT KEY
    expect "$2 is of root, 0600" [ "$(stat -c '%U %a' "$1$2")" = 'root 600' ]
    expect "nobody else can read it" not as_nobody "$1" "$2"
    expect "its folder is of root, nobody else writes to it" closed_folder "$(dirname "$1$2")"
}

closed_folder() { [ "$(stat -c %U "$1")" = root ] && [ $((0$(stat -c %a "$1") & 022)) = 0 ]; }

not() { ! "$@"; }

in_record() { [ ! -s "$1/srv/record.json" ] || grep -qF -- "$2" "$1/srv/record.json"; }

secret() { # secret ROOT TEXT WHAT: it is in no journal, log, kept file or record
    rig_enter "$1" $tool record -o /srv/record.json >/dev/null 2>&1 || true
    expect "$3 is in no journal, log or kept file" not grep -rqF -- "$2" "$1/var/lib/gpu-bringup" "$1/var/log" "$work"/"$suite"-*.log
    expect "$3 is in no record" not in_record "$1" "$2"
}

# sign_anew ROOT RELEASE KEY [CERTIFICATE]: sign every module with another key; KEY empty: with none.
sign_anew() {
    local root=$1 release=$2 key=$3 certificate=${4:-} module at=$root/srv/anew packed
    while read -r module; do
        unpacked "$root$module" >"$at"
        split "$at" "$at"
        [ ! -e "$at.body" ] || mv "$at.body" "$at"
        [ -z "$key" ] || rig_enter "$root" "/lib/modules/$release/build/scripts/sign-file" sha256 "$key" "$certificate" /srv/anew
        packed=$at
        case $module in *.xz) xz --check=crc32 -f "$at"; packed=$at.xz ;; esac
        cat "$packed" >"$root$module"
        rm -f "$at" "$at.xz" "$at.p7s" "$at.body"
    done < <(modules_of "$root" "$release")
}
