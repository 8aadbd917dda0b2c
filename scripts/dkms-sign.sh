#!/bin/sh
# Sign modules that dkms builds, for a dkms that makes no key of its own (2.8.4, Debian 11).
#
#   dkms-sign.sh --make-key      make the key pair, where there is none
#   dkms-sign.sh KERNEL MODULE   sign a module; how dkms calls what sign_tool in framework.conf names
#
# The pair lies where later dkms releases keep theirs, so that an upgrade goes on with it.
# Exit status: 0 done, 1 failed, 2 bad usage.
set -eu
umask 077
folder=${GPU_BRINGUP_DKMS:-/var/lib/dkms}
key=$folder/mok.key certificate=$folder/mok.pub

case $# in
1)
    [ "$1" = --make-key ] || { echo 'usage: dkms-sign.sh --make-key | KERNEL MODULE' >&2; exit 2; }
    # A key that is there may be enrolled: it is never made anew.
    if [ -s "$key" ] && [ -s "$certificate" ]; then
        echo "dkms-sign: $key is there already"
        exit 0
    fi
    mkdir -p "$folder"
    openssl req -new -x509 -newkey rsa:2048 -nodes -days 36500 -subj '/CN=DKMS module signing key' \
        -outform DER -keyout "$key.new" -out "$certificate.new" 2>/dev/null ||
        { echo 'dkms-sign: openssl could not make a key' >&2; rm -f "$key.new" "$certificate.new"; exit 1; }
    chmod 0644 "$certificate.new"
    mv "$key.new" "$key"
    mv "$certificate.new" "$certificate"
    echo "dkms-sign: made $key and $certificate"
    ;;
2) exec "${GPU_BRINGUP_MODULES:-/lib/modules}/$1/build/scripts/sign-file" sha512 "$key" "$certificate" "$2" ;;
*)
    echo 'usage: dkms-sign.sh --make-key | KERNEL MODULE' >&2
    exit 2
    ;;
esac
