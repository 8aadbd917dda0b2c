#!/usr/bin/env bash
# Module signing with the real dkms, sign-file, openssl and modinfo on Debian 12 and 13: dkms's own key,
# an own key in a file and on a token, keys that must be refused, a kernel that apt brings later, modules
# that somebody else signed or nobody, and what undo leaves.
#
#   sudo tests/rig/signing.sh [bookworm] [trixie]
#
# Environment: RIG_DIR   where the file systems are made (default: a new folder below /var/tmp)
#              RIG_LOCK  a file to lock for each piece of work, where rigs share a machine
#              RIG_BASE_<suite>   a minimal root file system to copy (default: made with mmdebstrap)
# The driver is a stand-in under the real packages' names (tests/rig/module): five modules in seconds.
# Prints a line a case; fails where one doesn't end as it must.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/rig/lib.sh
. "$here/lib.sh"
# shellcheck source=tests/rig/faults/packages.sh
. "$here/faults/packages.sh"
# shellcheck source=tests/rig/signing/parts.sh
. "$here/signing/parts.sh"
[ "$(id -u)" = 0 ] || { echo "this rig needs root: sudo $0" >&2; exit 4; }
suites=("$@")
[ ${#suites[@]} -gt 0 ] || suites=(bookworm trixie)
work=${RIG_DIR:-$(mktemp -d /var/tmp/gpu-bringup-rig.XXXXXX)}
mkdir -p "$work"
cases=0
failures=0

# shellcheck disable=SC2329  # called by its name in the loop below
own_key_of_dkms() { # dkms makes its key; all that comes later is signed with it
    local root status
    root=$(fresh dkms)
    echo "=== $suite: dkms's own key"
    status=$(bring "$root" apply-dkms)
    expect "apply ends with 0 (exit status $status)" [ "$status" = 0 ]
    signed "$root" "$kernel" /var/lib/dkms/mok.pub
    private "$root" /var/lib/dkms/mok.key
    secret "$root" "$(sed -n 3p "$root/var/lib/dkms/mok.key")" "the key"
    later_kernel "$root" /var/lib/dkms/mok.pub
    expect "it is the key of the first kernel" [ "$(find "$root/var/lib/dkms" -maxdepth 1 -name 'mok.*' | wc -l)" = 2 ]

    echo "=== $suite: modules that another key signed"
    make_pair "$root" /srv/stranger "Somebody else"
    sign_anew "$root" "$kernel" /srv/stranger.key /srv/stranger.der
    status=$(look "$root" check-stranger)
    expect "check says so (exit status $status)" said check-stranger "Somebody else, a key that isn't this system's"
    status=$(bring "$root" apply-stranger)
    expect "apply mends it (exit status $status)" [ "$status" = 0 ]
    signed "$root" "$kernel" /var/lib/dkms/mok.pub

    echo "=== $suite: modules that nobody signed"
    sign_anew "$root" "$kernel" ''
    status=$(look "$root" check-unsigned)
    expect "check says so (exit status $status)" said check-unsigned "are not signed"
    status=$(bring "$root" apply-unsigned)
    expect "apply mends it (exit status $status)" [ "$status" = 0 ]
    signed "$root" "$kernel" /var/lib/dkms/mok.pub

    echo "=== $suite: an own key where dkms's key signed before"
    make_pair "$root" /root/own "Own key"
    status=$(bring "$root" apply-switch --signing-key /root/own.key --signing-certificate /root/own.der)
    expect "apply ends with 0 (exit status $status)" [ "$status" = 0 ]
    signed "$root" "$kernel" /root/own.der
    status=$(bring "$root" apply-switch-again --signing-key /root/own.key --signing-certificate /root/own.der)
    expect "a second apply finds nothing to do" said apply-switch-again 'Nothing to do'
    status=$(take_back "$root" undo-switch)
    expect "undo takes dkms's configuration back" [ ! -e "$root$configuration" ]
    expect "and the copy of the certificate" [ ! -e "$root$copy" ]
    expect "the operator's key is still there" [ -s "$root/root/own.key" ]
    rm -rf --one-file-system "$root"
}

# shellcheck disable=SC2329  # called by its name in the loop below
own_key_in_a_file() {
    local root status
    root=$(fresh own)
    make_pair "$root" /root/own "Own key"
    make_pair "$root" /root/other "Other key"
    echo "=== $suite: keys that are refused before anything is changed"
    rig_enter "$root" sh -ec '
        cp /root/own.key /root/open.key
        chmod 0644 /root/open.key
        openssl pkey -in /root/own.key -aes256 -passout pass:none -out /root/locked.key
        chmod 0600 /root/locked.key
        openssl x509 -inform DER -in /root/own.der -out /root/own.pem
        echo 4711 >/root/pin
        chmod 0644 /root/pin
    ' >/dev/null 2>&1
    state "$root" >"$work/$suite-before-refusals"
    refused "$root" open "chmod 0600" /root/open.key /root/own.der
    refused "$root" passphrase "asks for a passphrase" /root/locked.key /root/own.der
    refused "$root" pair "are no pair" /root/own.key /root/other.der
    refused "$root" pem "openssl x509 -in /root/own.pem -outform DER" /root/own.key /root/own.pem
    refused "$root" missing "can't be read" /root/none.key /root/own.der
    refused "$root" pin-value "pin-source" 'pkcs11:token=mok;object=mok?pin-value=4711' /root/own.der
    refused "$root" pin-file "the PIN in /root/pin can be read by others" 'pkcs11:token=mok;object=mok?pin-source=file:/root/pin' /root/own.der
    refused "$root" spaces "plain names" '/root/a key' /root/own.der
    state "$root" >"$work/$suite-after-refusals"
    expect "nothing was changed by any of them" cmp -s "$work/$suite-before-refusals" "$work/$suite-after-refusals"

    echo "=== $suite: an own key in a file"
    status=$(bring "$root" apply-own --signing-key /root/own.key --signing-certificate /root/own.der)
    expect "apply ends with 0 (exit status $status)" [ "$status" = 0 ]
    signed "$root" "$kernel" /root/own.der
    expect "dkms is told of the checked copy" grep -q "^mok_certificate=\"$copy\"" "$root$configuration"
    expect "the copy is root's, and what was given" cmp -s "$root$copy" "$root/root/own.der"
    expect "nobody else may write to it" [ "$(stat -c '%u %a' "$root$copy")" = '0 644' ]
    expect "dkms made no key of its own" [ ! -e "$root/var/lib/dkms/mok.key" ]
    secret "$root" "$(sed -n 3p "$root/root/own.key")" "the key"
    later_kernel "$root" /root/own.der
    status=$(take_back "$root" undo-own)
    expect "undo takes dkms's configuration back" [ ! -e "$root$configuration" ]
    expect "and the copy of the certificate" [ ! -e "$root$copy" ]
    expect "dpkg --audit is clean" [ -z "$(rig_enter "$root" dpkg --audit)" ]
    rm -rf --one-file-system "$root"
}

# shellcheck disable=SC2329  # called by its name in the loop below
own_key_on_a_token() {
    local root status uri='pkcs11:token=mok;object=mok;type=private?pin-source=file:/root/pin'
    root=$(fresh token)
    echo "=== $suite: a key on a token (SoftHSM)"
    make_token "$root" >"$work/$suite-token.log" 2>&1
    if [ "$suite" = bookworm ]; then
        status=$(bring "$root" apply-token --signing-key "$uri" --signing-certificate /root/token.der)
        expect "it is refused (exit status $status)" [ "$status" = 1 ]
        expect "the provider is named" said apply-token "through OpenSSL's provider pkcs11, and there is none"
        expect "Debian 12's lack of it is named" said apply-token 'Debian 12 has no package of it'
        expect "dkms was told of nothing" [ ! -e "$root$configuration" ]
        expect "no module was built" [ -z "$(find "$root/lib/modules" -path '*/updates/*' -name 'nvidia*.ko*')" ]
    else
        status=$(bring "$root" apply-token-bare --signing-key "$uri" --signing-certificate /root/token.der)
        expect "without the provider it is refused (exit status $status)" said apply-token-bare 'install pkcs11-provider'
        expect "dkms was told of nothing" [ ! -e "$root$configuration" ]
        rig_enter "$root" apt-get install -y -q --no-install-recommends pkcs11-provider >>"$work/$suite-token.log" 2>&1
        status=$(bring "$root" apply-token-module --signing-key "$uri" --signing-certificate /root/token.der)
        expect "without a way to the token's module too (exit status $status)" said apply-token-module 'install p11-kit-modules'
        rig_enter "$root" apt-get install -y -q --no-install-recommends p11-kit-modules >>"$work/$suite-token.log" 2>&1
        make_pair "$root" /root/other "Other key"
        status=$(bring "$root" apply-token-pair --signing-key "$uri" --signing-certificate /root/other.der)
        expect "another key's certificate is refused (exit status $status)" said apply-token-pair 'no private key that fits'
        expect "dkms was told of nothing" [ ! -e "$root$configuration" ]
        status=$(bring "$root" apply-token --signing-key "$uri" --signing-certificate /root/token.der)
        expect "with it apply ends with 0 (exit status $status)" [ "$status" = 0 ]
        signed "$root" "$kernel" /root/token.der
        later_kernel "$root" /root/token.der
    fi
    secret "$root" "$token_pin" "the PIN"
    rm -rf --one-file-system "$root"
}

started=$SECONDS
trap rig_turn_over EXIT
for suite in "${suites[@]}"; do
    begin=$SECONDS
    for part in prepare own_key_of_dkms own_key_in_a_file own_key_on_a_token; do
        rig_turn
        "$part"
    done
    echo "=== $suite: $((SECONDS - begin)) s"
done
echo "=== $cases cases, $failures failed, $((SECONDS - started)) s; logs are in $work"
exit "$((failures > 0))"
