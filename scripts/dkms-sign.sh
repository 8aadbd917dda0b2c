#!/bin/sh
# Sign modules: those that a dkms without a key of its own builds (2.8.4, Debian 11), and built ones.
#
#   dkms-sign.sh --make-key                 make the key pair, where there is none
#   dkms-sign.sh KERNEL MODULE              how dkms 2 calls what sign_tool in framework.conf names
#   dkms-sign.sh HASH KEY CERTIFICATE MODULE   how dkms 3 calls what sign_file there names
#   dkms-sign.sh --again KERNEL MODULE...   sign installed files anew, .ko.xz, .ko.zst and .ko.gz too
#
# The pair lies where later dkms releases keep theirs, so that an upgrade goes on with it. Another one,
# a PKCS#11 token's ("pkcs11:...") too, is what mok_signing_key and mok_certificate in framework.conf
# name; a token's PIN comes from KBUILD_SIGN_PIN, as for the kernel's own builds.
# Exit status: 0 done, 1 failed, 2 bad usage.
set -eu
umask 077
folder=${GPU_BRINGUP_DKMS:-/var/lib/dkms}
settings=${GPU_BRINGUP_DKMS_CONF:-/etc/dkms}

usage() {
    echo 'usage: dkms-sign.sh --make-key | KERNEL MODULE | HASH KEY CERTIFICATE MODULE | --again KERNEL MODULE...' >&2
    exit 2
}

fail() {
    echo "dkms-sign: $1" >&2
    exit 1
}

# The last setting counts. Read as text: a configuration file is no script of ours to run.
setting() {
    cat "$settings/framework.conf" "$settings"/framework.conf.d/*.conf 2>/dev/null |
        sed -n "s/^[[:space:]]*$1=[\"']\{0,1\}\([^\"'#[:space:]]*\).*/\1/p" | grep -v '\$' | tail -n 1
}

key=$(setting mok_signing_key) certificate=$(setting mok_certificate)
# Half a pair would sign with a key that the certificate doesn't fit.
if [ -z "$key" ] || [ -z "$certificate" ]; then
    key=$folder/mok.key certificate=$folder/mok.pub
fi

make_key() {
    # A key that is there may be enrolled: it is never made anew, nor is half of a pair.
    case $key in pkcs11:*)
        [ -s "$certificate" ] || fail "the key is on a token, but its certificate $certificate is missing"
        echo 'dkms-sign: the key is on a token'
        return
        ;;
    esac
    if [ -s "$key" ] && [ -s "$certificate" ]; then
        echo "dkms-sign: $key is there already"
        return
    fi
    [ ! -s "$key" ] || fail "$key is there without $certificate: bring that back, or move the key away"
    mkdir -p "$(dirname "$key")" "$(dirname "$certificate")"
    openssl req -new -x509 -newkey rsa:2048 -nodes -days 36500 -subj '/CN=DKMS module signing key' \
        -outform DER -keyout "$key.new" -out "$certificate.new" 2>/dev/null || {
        rm -f "$key.new" "$certificate.new"
        fail 'openssl could not make a key'
    }
    chmod 0644 "$certificate.new"
    mv "$key.new" "$key"
    mv "$certificate.new" "$certificate"
    echo "dkms-sign: made $key and $certificate"
}

# The hash that this kernel's configuration names; sha512 where none is found, as dkms 3 has it.
hash_of() {
    for file in "${GPU_BRINGUP_BOOT:-/boot}/config-$1" "$modules/$1/build/.config" "$modules/$1/config"; do
        [ -r "$file" ] || continue
        found=$(sed -n 's/^CONFIG_MODULE_SIG_HASH="\(.*\)"$/\1/p' "$file")
        [ -z "$found" ] || { echo "$found"; return; }
    done
    echo sha512
}

sign_file() {
    # Debian keeps it in linux-kbuild, others beside the headers.
    for file in "$modules/$1/build/scripts/sign-file" "/usr/lib/linux-kbuild-${1%%.*}.$(echo "$1" | cut -d. -f2)/scripts/sign-file"; do
        [ ! -x "$file" ] || { echo "$file"; return; }
    done
    fail "there is no sign-file for $1: its headers are missing"
}

# sign TOOL HASH KEY CERTIFICATE MODULE. The sign-file of Debian 12 and 13 wants OpenSSL's provider for
# tokens, which Debian 12 has no package of; with the older engine openssl makes the same signature
# (scripts/sign-file.c: no certificates, no attributes), and sign-file -s puts it at the module's end.
sign() {
    case $3 in pkcs11:*) ;; *) "$@"; return ;; esac
    said=$("$@" 2>&1) && return
    tool=$1 hash=$2 uri=$3 signer=$4 module=$5 signature=$5.p7s
    rm -f "$signature"
    set -- -inkey "$uri" -signer "$signer" -md "$hash"
    [ -z "${KBUILD_SIGN_PIN-}" ] || set -- "$@" -passin env:KBUILD_SIGN_PIN
    if openssl cms -sign -engine pkcs11 -keyform engine "$@" -binary -nocerts -noattr -nosmimecap \
        -outform DER -in "$module" -out "$signature" 2>/dev/null &&
        "$tool" -s "$signature" "$hash" "$signer" "$module"; then
        rm -f "$signature"
        return
    fi
    rm -f "$signature"
    echo "$said" >&2
    echo 'dkms-sign: the token could not sign: it needs the package pkcs11-provider or libengine-pkcs11-openssl' >&2
    return 1
}

# Take an earlier signature away: 12 bytes, the last four its length, and a line of 28 come last
# (kernel, include/linux/module_signature.h).
unsign() {
    while [ "$(tail -c 28 "$1" | tr -d '\0')" = '~Module signature appended~' ]; do
        length=$(tail -c 32 "$1" | od -An -tu1 -N4 | awk '{print (($1 * 256 + $2) * 256 + $3) * 256 + $4}')
        rest=$(($(wc -c <"$1") - length - 40))
        [ "$rest" -gt 0 ] || fail "$1 has a damaged signature"
        truncate -s "$rest" "$1"
    done
}

# Beside the module, under a name that modprobe and depmod pass over; the module itself is replaced
# only when all is well. xz: what the kernel's own decompressor can read (crc32).
again() {
    target=$2 work=$2.gpu-bringup
    [ -f "$target" ] || fail "$target is not there"
    [ ! -L "$target" ] || fail "$target is a link"
    rm -f "$work" "$work.packed"
    trap 'rm -f "$work" "$work.packed" "$work.p7s"' EXIT
    case $target in
    *.ko) packer='' ; cat "$target" >"$work" ;;
    *.ko.xz) packer='xz --check=crc32 --lzma2=dict=1MiB -c' ; xz -dc "$target" >"$work" ;;
    *.ko.zst) packer='zstd -q -c' ; zstd -q -dc "$target" >"$work" ;;
    *.ko.gz) packer='gzip -9nc' ; gzip -dc "$target" >"$work" ;;
    *) fail "$target is no kernel module" ;;
    esac
    unsign "$work"
    sign "$tool" "$hash" "$key" "$certificate" "$work" || fail "$target could not be signed"
    if [ -n "$packer" ]; then
        $packer <"$work" >"$work.packed" || fail "$target could not be compressed again"
        mv "$work.packed" "$work"
    fi
    chmod --reference="$target" "$work"
    chown --reference="$target" "$work"
    mv "$work" "$target"
    echo "dkms-sign: signed $target ($hash)"
}

modules=${GPU_BRINGUP_MODULES:-/lib/modules}
case ${1-} in
--make-key)
    [ $# -eq 1 ] || usage
    make_key
    ;;
--again)
    [ $# -ge 3 ] || usage
    kernel=$2
    shift 2
    case $kernel in */* | .*) usage ;; esac
    tool=$(sign_file "$kernel") hash=$(hash_of "$kernel")
    for file in "$@"; do again "$kernel" "$file"; done
    ;;
-* | '') usage ;;
*)
    case $1 in */* | .*) usage ;; esac
    if [ $# -eq 4 ]; then
        # Every kernel's sign-file makes the same.
        tool=''
        for file in "$modules"/*/build/scripts/sign-file /usr/lib/linux-kbuild-*/scripts/sign-file; do
            [ ! -x "$file" ] || tool=$file
        done
        [ -n "$tool" ] || fail 'there is no sign-file: the kernel headers are missing'
        sign "$tool" "$@"
    else
        [ $# -eq 2 ] || usage
        tool=$(sign_file "$1") hash=$(hash_of "$1")
        sign "$tool" "$hash" "$key" "$certificate" "$2"
    fi
    ;;
esac
