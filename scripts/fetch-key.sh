#!/bin/sh
# Fetch a repository's signing key and keep it only if it is the key that was pinned.
#
#   fetch-key.sh URL FINGERPRINT[,FINGERPRINT...] OUTPUT
#
# Every primary key in the download must have one of the pinned fingerprints (40 hexadecimal digits,
# blanks and case don't matter), at least one must be there, and none may be expired or revoked.
# OUTPUT is written in one piece, mode 0644: armoured where it is named *.asc or RPM-GPG-KEY-* (rpm),
# else binary, which every apt reads.
# Needs gpg, and curl, wget, python3 or apt. Exit status: 0 done, 1 refused or failed, 2 bad usage.
set -eu
umask 022
LC_ALL=C
export LC_ALL

fail() {
    printf 'fetch-key: %s\n' "$1" >&2
    exit "${2:-1}"
}

[ $# -eq 3 ] || fail 'usage: fetch-key.sh URL FINGERPRINT[,FINGERPRINT...] OUTPUT' 2
url=$1
pinned=$(printf '%s' "$2" | tr -d ' \t' | tr ',' '\n' | tr '[:lower:]' '[:upper:]')
output=$3
case $url in
https://* | file://*) ;;
*) fail "\"$url\" is neither an https:// nor a file:// address; nothing was fetched" 2 ;;
esac
for fingerprint in $pinned; do
    case $fingerprint in
    *[!0-9A-F]*) fail "\"$fingerprint\" is no fingerprint (40 hexadecimal digits)" 2 ;;
    esac
    [ ${#fingerprint} -eq 40 ] || fail "\"$fingerprint\" is no fingerprint (40 hexadecimal digits)" 2
done
[ -n "$pinned" ] || fail 'no fingerprint was given' 2
command -v gpg >/dev/null 2>&1 || fail 'gpg is not installed; it is needed to check the key (package gnupg or gnupg2)'

work=$(mktemp -d) || fail 'no temporary folder could be made (is /tmp full?)'
staged=
# shellcheck disable=SC2329 # called by the trap
clean() {
    rm -rf "$work"
    [ -z "$staged" ] || rm -f "$staged"
}
trap clean EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
mkdir -m 700 "$work/home"

download() {
    if command -v curl >/dev/null 2>&1; then
        curl -fsSL --proto '=https,file' --proto-redir '=https' --retry 3 --connect-timeout 20 --max-time 120 \
            -o "$work/key" "$url"
    elif command -v wget >/dev/null 2>&1 && [ "${url#file://}" = "$url" ]; then
        wget -q --tries=3 --timeout=20 -O "$work/key" "$url"
    elif command -v python3 >/dev/null 2>&1; then
        python3 -c 'import shutil, sys, urllib.request
with urllib.request.urlopen(sys.argv[1], timeout=20) as answer, open(sys.argv[2], "wb") as key:
    shutil.copyfileobj(answer, key)' "$url" "$work/key"
    elif [ -x /usr/lib/apt/apt-helper ]; then
        # What apt itself fetches with; a minimal Debian has nothing else. It may link a local file.
        /usr/lib/apt/apt-helper -q download-file "$(printf %s "$url" | sed 's,^file://,copy:,')" \
            "$work/key" >/dev/null
    else
        fail 'none of curl, wget, python3 and apt-helper is installed; one is needed to fetch the key'
    fi
}
download || fail "the key could not be fetched from $url (network, proxy or address); nothing was changed"
[ -s "$work/key" ] || fail "$url gave an empty file; nothing was changed"

gpg --homedir "$work/home" --batch --no-tty --quiet --show-keys --with-colons --fixed-list-mode \
    <"$work/key" >"$work/listing" 2>"$work/errors" ||
    fail "what $url gave is no OpenPGP key: $(head -n 1 "$work/errors"); nothing was changed"

# A "pub" line starts a key, its first "fpr" line is the primary key's fingerprint.
found=$(awk -F: '$1 == "pub" { validity = $2; wait = 1 }
    $1 == "fpr" && wait { print $10 "/" validity; wait = 0 }' "$work/listing")
[ -n "$found" ] || fail "$url holds no public key; nothing was changed"
for key in $found; do
    fingerprint=${key%/*}
    case ${key##*/} in
    r*) fail "the key $fingerprint was revoked by its owner; nothing was changed" ;;
    e*) fail "the key $fingerprint has expired (or this host's clock is wrong); nothing was changed" ;;
    esac
    printf '%s\n' "$pinned" | grep -qx "$fingerprint" ||
        fail "the key from $url has the fingerprint $fingerprint, which is not a pinned one. Either the owner changed keys or somebody is in between; nothing was changed"
done

# Only what gpg understood goes into OUTPUT, not the download itself.
gpg --homedir "$work/home" --batch --no-tty --quiet --no-autostart --import "$work/key" >/dev/null 2>"$work/errors" ||
    fail "gpg can't read the key: $(head -n 1 "$work/errors"); nothing was changed"
folder=$(dirname "$output")
mkdir -p "$folder" || fail "the folder $folder can't be made"
staged=$(mktemp "$folder/.fetch-key.XXXXXX") || fail "$folder can't be written to"
case $output in
*.asc | */RPM-GPG-KEY-*) gpg --homedir "$work/home" --batch --no-tty --quiet --no-autostart --armor --export >"$staged" ;;
*) gpg --homedir "$work/home" --batch --no-tty --quiet --no-autostart --export >"$staged" ;;
esac || fail "the key can't be written to $folder (is the file system full?)"
[ -s "$staged" ] || fail 'gpg kept nothing of this key; nothing was changed'
chmod 0644 "$staged"
mv -f "$staged" "$output" || fail "$output can't be written"
staged=
printf 'fetch-key: %s holds' "$output"
for key in $found; do printf ' %s' "${key%/*}"; done
printf '\n'
