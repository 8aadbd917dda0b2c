#!/bin/sh
# Try the operator's own signing key on a scratch file, before anything rests on it.
#
#   own-key.sh --look KEY CERTIFICATE
#   own-key.sh KERNEL KEY CERTIFICATE [CONFIGURATION [COPY]]
#
# KERNEL       kernel release whose headers hold sign-file
# KEY          private key (PEM, unencrypted), or a pkcs11: URI
# CERTIFICATE  its X.509 certificate in DER, as mokutil takes it
#
# CONFIGURATION  file of dkms's that is to name the pair once the key has signed
# COPY           where root keeps the certificate as it was checked; dkms and mokutil are given that one,
#                so that nobody can put another in its place between the check and its use
#
# The certificate is read once. The key is never copied: its whole path must be root's alone instead.
#
# --look only looks at the two files, and signs nothing. Without CONFIGURATION nothing is changed. Exit
# status: 0 the key signs, 1 it doesn't, 2 bad usage. No secret is printed.
set -eu
umask 077
say() { printf 'own-key: %s\n' "$*" >&2; }
fail() {
    say "$1"
    [ $# -lt 2 ] || say "$2"
    exit 1
}
case $#,${1-} in
4,--look) good='' ;;
3,* | 4,* | 5,*) good=yes ;;
*) good='' ;;
esac
if [ -z "$good" ]; then
    echo 'usage: own-key.sh --look KEY CERTIFICATE | KERNEL KEY CERTIFICATE [CONFIGURATION [COPY]]' >&2
    exit 2
fi
kernel=$1 key=$2 certificate=$3 named=$3
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# closed FILE WHAT: nobody but its owner may read it. A group of the system's own (akmods) may.
closed() {
    case $(stat -L -c '%a %G' "$1") in
    *00' '* | '0 '*) ;;
    *40' root' | *40' akmods') ;;
    *) fail "$2 $1 can be read by others than its owner" "Close it first: chmod 0600 $1" ;;
    esac
}

writable() { case $1 in *[2367]) return 0 ;; esac; return 1; }

# trusted FILE WHAT: may nobody but root (or the caller, for --look) change it, or put another in its place?
# Every folder on the way is looked at, through symbolic links too; a sticky one (/tmp) is open to others.
trusted() (
    case $1 in /*) rest=$1 ;; *) rest=$PWD/$1 ;; esac
    what=$2 path=''
    while [ -n "$rest" ]; do
        rest=${rest#/}
        part=${rest%%/*}
        case $rest in */*) rest=${rest#*/} ;; *) rest='' ;; esac
        [ -n "$part" ] || continue
        path=$path/$part
        told=$(stat -c '%u %g %a %U' "$path" 2>/dev/null) || fail "$what $path can't be read"
        # shellcheck disable=SC2086 # four words without blanks
        set -- $told
        case $1,$4 in
        0,* | "$(id -u)",* | *,akmods) ;;
        *) fail "$what $path belongs to another user ($4), who could change it" \
            'Keep key and certificate in a folder of root alone, such as /root.' ;;
        esac
        if [ -L "$path" ]; then
            target=$(readlink "$path")
            case $target in /*) ;; *) target=${path%/*}/$target ;; esac
            trusted "$target" "$what"
            continue
        fi
        if writable "$3" || { writable "${3%?}" && [ "$2" != 0 ] && [ "$2" != "$1" ]; }; then
            fail "$what $path can be changed by others than its owner" \
                'Keep key and certificate in a folder of root alone, such as /root.'
        fi
    done
)

readable() { [ -f "$1" ] && [ -r "$1" ]; }

look() {
    # dkms runs its configuration as a script of the shell, as root.
    case $key$certificate in
    *[!A-Za-z0-9._/:\;=%@+,?\&~-]*) fail 'the names hold a character that a configuration of dkms must not hold' \
        'Give the files plain names: letters, digits, and . _ - /' ;;
    esac
    # dkms and the next kernel's installation run in other folders than this one.
    case $key in /* | pkcs11:*) ;; *) fail "the key $key is not named with its whole path" ;; esac
    case $certificate in /*) ;; *) fail "the certificate $certificate is not named with its whole path" ;; esac
    readable "$certificate" || fail "the certificate $certificate can't be read"
    trusted "$certificate" 'the certificate or its folder'
    # Read once: all that follows looks at these bytes. A pipe laid there meanwhile holds nothing up.
    timeout 10 head -c 65536 "$certificate" >"$scratch/certificate.der" ||
        fail "the certificate $certificate can't be read"
    certificate=$scratch/certificate.der
    [ "$(od -An -tx1 -N1 "$certificate" | tr -d ' ')" = 30 ] ||
        fail "$named is no certificate in DER, the form that mokutil takes" \
            "Change its form: openssl x509 -in $named -outform DER -out CERT.der"
    case $key in
    pkcs11:*) look_at_uri ;;
    *) look_at_file ;;
    esac
    if ! command -v openssl >/dev/null; then
        [ "$kernel" = --look ] || fail 'openssl is missing' 'Install the package openssl.'
        return 0
    fi
    openssl x509 -inform DER -in "$certificate" -noout 2>/dev/null ||
        fail "$named is no certificate in DER, the form that mokutil takes"
    openssl x509 -inform DER -in "$certificate" -noout -checkend 0 >/dev/null 2>&1 ||
        say "note: the certificate has expired; kernels take its signatures all the same"
    case $key in pkcs11:*) return 0 ;; esac
    [ "$(openssl pkey -in "$key" -passin pass: -pubout 2>/dev/null)" = \
        "$(openssl x509 -inform DER -in "$certificate" -noout -pubkey 2>/dev/null)" ] ||
        fail "the key $key and the certificate $named are no pair"
}

look_at_uri() {
    case $key in
    *pin-value*) fail 'the URI holds the PIN itself, which every user could read in a process list' \
        'Keep it in a file of root alone (mode 0600) and say pin-source=file:/path instead.' ;;
    *pin-source=*) ;;
    *) return 0 ;;
    esac
    pin=${key#*pin-source=}
    pin=${pin%%[;?&]*}
    pin=${pin#file:}
    pin=${pin#//}
    case $pin in
    /*) ;;
    *) fail 'pin-source names no file with its whole path' 'Say pin-source=file:/path.' ;;
    esac
    case $pin in *%*) return 0 ;; esac
    readable "$pin" || fail "the file of the PIN, $pin, can't be read"
    closed "$pin" 'the PIN in'
    trusted "$pin" 'the PIN or its folder'
}

look_at_file() {
    readable "$key" || fail "the key $key can't be read"
    closed "$key" 'the key'
    trusted "$key" 'the key or its folder'
    ! grep -q 'ENCRYPTED' "$key" ||
        fail "the key $key asks for a passphrase" \
            'Modules are signed after every kernel upgrade with nobody there to type it: give an unencrypted copy with mode 0600, or a token.'
    grep -q 'BEGIN .*PRIVATE KEY' "$key" || fail "$key is no private key in PEM" \
        "Change its form: openssl pkey -in $key -out KEY.pem"
}

look
[ "$kernel" != --look ] || exit 0

build=${GPU_BRINGUP_MODULES:-/lib/modules}/$kernel/build
sign=$build/scripts/sign-file
[ -x "$sign" ] || fail "$sign is not there" 'The headers of this kernel bring it: install them first.'
hash=$(sed -n 's/^CONFIG_MODULE_SIG_HASH="\(.*\)"$/\1/p' "$build/.config" "/boot/config-$kernel" 2>/dev/null | head -n 1)
echo 'gpu-bringup tries a key' >"$scratch/file"
cp "$scratch/file" "$scratch/plain"
# Without a terminal and without a PIN in the environment: as it will be after a kernel upgrade.
if ! env -u KBUILD_SIGN_PIN timeout 60 setsid -w "$sign" "${hash:-sha256}" "$key" "$certificate" "$scratch/file" \
    >"$scratch/said" 2>&1 </dev/null; then
    sed 's/^/own-key: sign-file: /' "$scratch/said" >&2
    case $key in pkcs11:*) ;; *) fail 'sign-file could not sign with this key' ;; esac
    if grep -aq 'OSSL_PROVIDER' "$sign"; then
        provider=$(openssl version -m 2>/dev/null | sed -n 's/^MODULESDIR: "\(.*\)"$/\1/p')/pkcs11.so
        [ -e "$provider" ] || fail \
            "the sign-file of $kernel reaches tokens through OpenSSL's provider pkcs11, and there is none here ($provider)" \
            'Debian 13 and later: install pkcs11-provider and p11-kit-modules. Debian 12 has no package of it: give a key in a file, or take Debian 13.'
        # Where openssl.cnf names no module, it goes through p11-kit's (provider-pkcs11(7)).
        proxy=$(grep -ao '/[[:alnum:]_/.-]*p11-kit-proxy\.so' "$provider" | head -n 1)
        settings=$(openssl version -d | sed -n 's/^OPENSSLDIR: "\(.*\)"$/\1/p')/openssl.cnf
        if [ -n "$proxy" ] && [ ! -e "$proxy" ] && ! grep -qs '^[^#]*pkcs11-module-path' "$settings"; then
            fail "OpenSSL's provider pkcs11 has no way to the token's module: $proxy is not there" \
                "Debian: install p11-kit-modules. Elsewhere name the module in $settings (pkcs11-module-path)."
        fi
    fi
    if grep -aq 'ENGINE_by_id' "$sign"; then
        engine=$(openssl version -e 2>/dev/null | sed -n 's/^ENGINESDIR: "\(.*\)"$/\1/p')/pkcs11.so
        [ -e "$engine" ] || fail \
            "the sign-file of $kernel reaches tokens through OpenSSL's engine pkcs11, and there is none here ($engine)" \
            'Debian and Ubuntu: install libengine-pkcs11-openssl. Red Hat and Fedora: openssl-pkcs11.'
    fi
    ! grep -q 'key values mismatch' "$scratch/said" ||
        fail "the token gave no private key that fits $named" \
            'The URI is wrong, the PIN in its file is, the token is not there, or the certificate is of another key.'
    fail 'sign-file could not use the token' \
        "It needs the token's module, the right URI, and the PIN from a file (pin-source=file:/path in the URI)."
fi
tail -c 28 "$scratch/file" | grep -q 'Module signature appended' || fail 'sign-file left no signature'
# Does the certificate's key verify it? The signature comes after the content, before 40 bytes about it.
tail -c "+$(($(wc -c <"$scratch/plain") + 1))" "$scratch/file" | head -c -40 >"$scratch/p7s"
openssl x509 -inform DER -in "$certificate" -out "$scratch/pem"
openssl cms -verify -inform DER -in "$scratch/p7s" -content "$scratch/plain" -binary -noverify \
    -certfile "$scratch/pem" -out /dev/null 2>/dev/null ||
    fail "the signature doesn't fit the certificate $named: it and the key are no pair"
echo "own-key: a scratch file was signed with ${hash:-sha256}; the key and $named are a pair"
[ $# -ge 4 ] || exit 0
# dkms 2 knows no such setting; on Debian 11 it signs by a script that does (dkms-sign.sh).
version=$(dkms --version 2>/dev/null | sed -n 's/^dkms[-: ]*\([0-9][0-9.]*\).*/\1/p')
case $version in
[012].*) [ -e "${GPU_BRINGUP_DKMS_CONF:-/etc/dkms}/gpu-bringup-sign.sh" ] ||
    fail "this host's dkms, $version, signs with its distribution's key only" \
        'dkms 3 and later take an own key (Debian 12, Ubuntu 24.04). Here leave --signing-key out.' ;;
esac
# put FILE TARGET: in one name change, so that dkms never reads half of it. What an earlier run wrote is
# kept for undo; the same content again is no change. Folders on the way are root's alone.
put() {
    (umask 022 && mkdir -p "$(dirname "$2")")
    trusted "$(dirname "$2")" 'the folder'
    [ ! -e "$2" ] || [ -f "$2" ] || fail "$2 is there and is no plain file: move it away first"
    if [ -f "$2" ] && ! cmp -s "$1" "$2"; then
        rm -f "$2.before"
        cp -p "$2" "$2.before"
    fi
    chmod 0644 "$1"
    rm -f "$2.new"
    cp -p "$1" "$2.new"
    mv -f "$2.new" "$2"
}

if [ $# -eq 5 ]; then
    put "$scratch/certificate.der" "$5"
    named=$5
fi
printf '%s\n' '# Written by gpu-bringup: which key signs modules. Remove the file to sign with the usual one.' \
    "mok_signing_key=\"$key\"" "mok_certificate=\"$named\"" >"$scratch/conf"
put "$scratch/conf" "$4"
echo "own-key: dkms signs with it from now on ($4)"
