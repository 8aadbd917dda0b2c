#!/bin/sh
# Fetch a repository's signing key and keep it only if it is the key that was pinned.
#
#   fetch-key.sh URL FINGERPRINT[,FINGERPRINT...] OUTPUT
#
# Every primary key in the download must have one of the pinned fingerprints (40 hexadecimal digits,
# blanks and case don't matter), at least one must be there, and none may be expired or revoked.
# OUTPUT is written in one piece, mode 0644: armoured where it is named *.asc or RPM-GPG-KEY-* (rpm),
# else binary, which every apt reads.
# Without gpg (a fresh Debian 13 has none) the packets are walked here: RFC 9580, only keys of version 4,
# whole packets, one armoured block; whatever isn't plain is refused. No signature is checked then: the
# fingerprint alone says whose key it is, and a revocation or an expiry that is claimed counts as true.
# Needs curl, wget, python3 or apt. Exit status: 0 done, 1 refused or failed, 2 bad usage.
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
if command -v gpg >/dev/null 2>&1; then have_gpg=1; else have_gpg=; fi

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

# "FINGERPRINT/VALIDITY" of each primary key, with gpg: a "pub" line starts a key, its first "fpr" line
# is the primary key's fingerprint.
listed_by_gpg() {
    gpg --homedir "$work/home" --batch --no-tty --quiet --show-keys --with-colons --fixed-list-mode \
        <"$work/key" >"$work/listing" 2>"$work/errors" ||
        fail "what $url gave is no OpenPGP key: $(head -n 1 "$work/errors"); nothing was changed"
    awk -F: '$1 == "pub" { validity = $2; wait = 1 }
        $1 == "fpr" && wait { print $10 "/" validity; wait = 0 }' "$work/listing"
}

# The same without gpg; leaves the packets in $work/packets.
listed_by_hand() {
    [ "$(wc -c <"$work/key")" -le 200000 ] || fail "what $url gave is too long for a key; nothing was changed"
    if head -c 100 "$work/key" | grep -q -e '-----BEGIN PGP'; then
        # The whole file must be one block, with nothing before, between and behind.
        tr -d '\r' <"$work/key" | awk '
            NR == 1 { if ($0 != "-----BEGIN PGP PUBLIC KEY BLOCK-----") exit 1; next }
            ended { if ($0 != "") exit 1; next }
            $0 == "-----END PGP PUBLIC KEY BLOCK-----" { ended = 1; next }
            !body { if ($0 == "") body = 1; else if ($0 !~ /^[A-Za-z]+: /) exit 1; next }
            /^=/ { next }
            /^[A-Za-z0-9+\/]+=*$/ { print; next }
            { exit 1 }
            END { if (!ended) exit 1 }' >"$work/base64" && base64 -d <"$work/base64" >"$work/packets" 2>/dev/null
    else
        cp "$work/key" "$work/packets"
    fi || fail "what $url gave is no single armoured OpenPGP key; nothing was changed"
    od -An -v -tu1 "$work/packets" | awk -v now="$(date +%s)" '
        function number(at, count,    value) { value = 0; while (count-- > 0) value = value * 256 + b[at++]; return value }
        function subpackets(at, last,    size, head, kind) {
            while (at <= last) {
                if (b[at] < 192) { size = b[at]; head = 1 }
                else if (b[at] < 255) { size = (b[at] - 192) * 256 + b[at + 1] + 192; head = 2 }
                else { size = number(at + 1, 4); head = 5 }
                if (size < 1 || at + head + size - 1 > last) bad = 1
                if (bad) return
                kind = b[at + head] % 128
                if (kind == 2) made = number(at + head + 1, 4)
                if (kind == 9) life = number(at + head + 1, 4)
                at += head + size
            }
        }
        function flush() {
            if (start) print start, long, (revoked ? "r" : expiry && created + expiry <= now ? "e" : "-")
        }
        { for (i = 1; i <= NF; i++) b[++n] = $i }
        END {
            for (at = 1; at <= n; at += head + size) {
                if (b[at] < 128) exit 1
                if (b[at] >= 192) {
                    tag = b[at] - 192
                    if (b[at + 1] < 192) { size = b[at + 1]; head = 2 }
                    else if (b[at + 1] < 224) { size = (b[at + 1] - 192) * 256 + b[at + 2] + 192; head = 3 }
                    else if (b[at + 1] == 255) { size = number(at + 2, 4); head = 6 }
                    else exit 1
                } else {
                    tag = int((b[at] - 128) / 4)
                    kind = b[at] % 4
                    if (kind == 3) exit 1
                    head = kind == 0 ? 2 : kind == 1 ? 3 : 5
                    size = number(at + 1, head - 1)
                }
                if (size < 1 || at + head + size - 1 > n) exit 1
                body = at + head
                if (tag == 6) {
                    flush()
                    if (b[body] != 4 || size > 65535) exit 1
                    start = body; long = size; created = number(body + 1, 4)
                    revoked = 0; expiry = 0; newest = -1; owner = 1
                } else if (!start) exit 1
                else if (tag == 2) {
                    if (b[body] != 4 && b[body] != 3) exit 1
                    type = b[body] == 4 ? b[body + 1] : b[body + 2]
                    if (type == 32) revoked = 1
                    if (b[body] == 4 && (type >= 16 && type <= 19 || type == 31)) {
                        made = 0; life = 0
                        subpackets(body + 6, body + 5 + number(body + 4, 2))
                        if (bad) exit 1
                        if (made >= newest) { newest = made; expiry = life }
                    }
                } else if (tag != 13 && tag != 14 && tag != 17) exit 1
            }
            flush()
        }' >"$work/keys" || fail "what $url gave is no plain OpenPGP key, and gpg is not installed to look closer; nothing was changed"
    while read -r start long validity; do
        # The fingerprint of a version 4 key: SHA-1 of 0x99, its length in two bytes, its body.
        {
            printf '\231'
            # shellcheck disable=SC2059 # the two bytes are the format
            printf "$(printf '\\%03o\\%03o' $((long / 256)) $((long % 256)))"
            tail -c "+$start" "$work/packets" | head -c "$long"
        } | sha1sum | awk -v validity="$validity" '{ print toupper($1) "/" validity }'
    done <"$work/keys"
}

if [ -n "$have_gpg" ]; then found=$(listed_by_gpg); else found=$(listed_by_hand); fi
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

# Only what was understood goes into OUTPUT, not the download itself.
[ -z "$have_gpg" ] ||
    gpg --homedir "$work/home" --batch --no-tty --quiet --no-autostart --import "$work/key" >/dev/null 2>"$work/errors" ||
    fail "gpg can't read the key: $(head -n 1 "$work/errors"); nothing was changed"
write() {
    case $have_gpg/$output in
    1/*.asc | 1/*/RPM-GPG-KEY-*) gpg --homedir "$work/home" --batch --no-tty --quiet --no-autostart --armor --export ;;
    1/*) gpg --homedir "$work/home" --batch --no-tty --quiet --no-autostart --export ;;
    */*.asc | */*/RPM-GPG-KEY-*)
        [ -s "$work/base64" ] || fail 'this key can only be armoured by gpg, which is not installed (package gnupg or gnupg2)'
        tr -d '\r' <"$work/key"
        ;;
    *) cat "$work/packets" ;;
    esac
}
folder=$(dirname "$output")
mkdir -p "$folder" || fail "the folder $folder can't be made"
staged=$(mktemp "$folder/.fetch-key.XXXXXX") || fail "$folder can't be written to"
write >"$staged" || fail "the key can't be written to $folder (is the file system full?)"
[ -s "$staged" ] || fail 'nothing is left of this key; nothing was changed'
chmod 0644 "$staged"
mv -f "$staged" "$output" || fail "$output can't be written"
staged=
printf 'fetch-key: %s holds' "$output"
for key in $found; do printf ' %s' "${key%/*}"; done
printf '\n'
