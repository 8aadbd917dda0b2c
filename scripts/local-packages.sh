#!/bin/sh
# Make a folder of packages a source for one plan alone, on a server without network.
#
#   local-packages.sh apt|dnf|zypper FOLDER [FINGERPRINT,...]
#
# Writes below /var/lib/gpu-bringup/local only (and, for rpm, imports pinned keys): the server's own
# package sources are neither changed nor asked. FOLDER may hold
#   an index    apt: InRelease or Release.gpg with Packages; rpm: repodata. It is used when it is there.
#   packages    *.deb or *.rpm, side by side.
#   SHA256SUMS  as sha256sum(1) writes it. When it is there it must name every package, and each must fit.
#   keys        *.pub, *.asc or RPM-GPG-KEY-*: taken only if their fingerprint is among those given.
# An index for apt must be signed by a key that this server trusts, or one that was given. Files ending
# in .deb carry no signature of their own: without a signed index SHA256SUMS is all that vouches for them.
# Each rpm must carry a signature by an imported key.
# Exit status: 0 done, 1 refused or failed, 2 bad usage.
set -eu
umask 022
LC_ALL=C.UTF-8
export LC_ALL
state=${GPU_BRINGUP_LOCAL:-/var/lib/gpu-bringup/local}
fetch_key=${GPU_BRINGUP_FETCH_KEY:-/var/lib/gpu-bringup/bin/fetch-key.sh}

fail() {
    printf 'local-packages: %s\n' "$1" >&2
    exit "${2:-1}"
}
say() { printf 'local-packages: %s\n' "$1"; }

case $# in 2 | 3) ;; *) fail 'usage: local-packages.sh apt|dnf|zypper FOLDER [FINGERPRINT,...]' 2 ;; esac
manager=$1 folder=$2 pinned=${3:-}
case $manager in
apt) kind=deb ;;
dnf | zypper) kind=rpm ;;
*) fail "\"$manager\" is none of apt, dnf and zypper" 2 ;;
esac
case $folder in /*) ;; *) fail "\"$folder\" is no absolute path" 2 ;; esac
[ -d "$folder" ] || fail "there is no folder $folder (is the medium mounted?); nothing was changed"

packages=$(find -L "$folder" -maxdepth 1 -type f -name "*.$kind" | LC_ALL=C sort)
index=no
case $kind in
deb)
    if [ -e "$folder/InRelease" ] || [ -e "$folder/Release.gpg" ]; then index=yes; fi
    ;;
rpm) [ ! -e "$folder/repodata/repomd.xml" ] || index=yes ;;
esac
[ -n "$packages" ] || [ "$index" = yes ] ||
    fail "$folder holds neither *.$kind files nor an index of them; nothing was changed"

if [ -e "$folder/SHA256SUMS" ]; then
    (cd "$folder" && sha256sum --check --strict --quiet SHA256SUMS) >&2 ||
        fail "a file is not what SHA256SUMS says (see above): fetch or copy it again; nothing was changed"
    unnamed=$(printf '%s\n' "$packages" | while IFS= read -r path; do
        [ -z "$path" ] && continue
        awk -v name="${path##*/}" '{ n = substr($0, 67); sub(/^\.\//, "", n); if (n == name) found = 1 }
            END { exit !found }' "$folder/SHA256SUMS" || printf ' %s' "${path##*/}"
    done)
    [ -z "$unnamed" ] ||
        fail "SHA256SUMS does not name$unnamed: nobody vouches for that; nothing was changed"
    say "every package fits $folder/SHA256SUMS"
elif [ "$kind" = deb ] && [ "$index" = no ]; then
    say "no SHA256SUMS in $folder: nothing vouches for these .deb files but the medium that they came on"
fi

mkdir -p "${state%/*}"
new=$(mktemp -d "${state%/*}/.local.XXXXXX") || fail "${state%/*} can't be written to"
trap 'rm -rf "$new"' EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
chmod 0755 "$new"
mkdir "$new/keys"
number=0
for key in "$folder"/*.pub "$folder"/*.asc "$folder"/RPM-GPG-KEY-*; do
    [ -f "$key" ] || continue
    number=$((number + 1))
    if [ -n "$pinned" ] && sh "$fetch_key" "file://$key" "$pinned" "$new/keys/key$number.asc"; then
        say "$key is a pinned key"
    else
        say "$key is passed over: it is none of the keys that this plan has pinned"
    fi
done

place() { # put the new configuration where the plan's commands look for it
    rm -rf "$state"
    mv "$new" "$state"
    ln -s "$folder" "$state/packages"
}

for_apt() {
    mkdir -p "$new/sources.list.d" "$new/lists/partial" "$new/trusted"
    {
        printf '// Written by gpu-bringup for its own commands alone; nothing else reads it.\n'
        printf 'Dir::Etc::sourcelist "/dev/null";\n'
        printf 'Dir::Etc::sourceparts "%s/sources.list.d";\n' "$state"
        printf 'Dir::State::lists "%s/lists";\n' "$state"
        printf 'Dir::Cache::pkgcache "";\nDir::Cache::srcpkgcache "";\n'
        if [ "$index" = no ]; then
            printf 'APT::Sources::With {\n'
            printf '%s\n' "$packages" | while IFS= read -r path; do
                printf '  "%s/packages/%s";\n' "$state" "${path##*/}"
            done
            printf '};\n'
        else
            printf 'Dir::Etc::trusted "/dev/null";\n'
            printf 'Dir::Etc::trustedparts "%s/trusted";\n' "$state"
        fi
    } >"$new/apt.conf"
    if [ "$index" = yes ]; then
        # What this server trusts for any archive, and the pinned keys; not the keys of single archives.
        for key in /etc/apt/trusted.gpg.d/*.gpg /etc/apt/trusted.gpg.d/*.asc "$new"/keys/*.asc; do
            [ -f "$key" ] || continue
            cp "$key" "$new/trusted/"
        done
        printf 'Types: deb\nURIs: file:%s/packages\nSuites: ./\n' "$state" >"$new/sources.list.d/local.sources"
    fi
    place
    if [ "$index" = yes ]; then
        APT_CONFIG=$state/apt.conf apt-get -o Acquire::AllowInsecureRepositories=false \
            -o APT::Update::Error-Mode=any update ||
            { rm -rf "$state"; fail "apt does not take the index in $folder (see above); nothing was changed"; }
    fi
}

empty_repository() { # an index of nothing: dnf refuses to run without any repository
    mkdir -p "$1/repodata"
    printf '<?xml version="1.0" encoding="UTF-8"?>\n<metadata xmlns="http://linux.duke.edu/metadata/common" packages="0"/>\n' \
        >"$1/repodata/primary.xml"
    printf '<?xml version="1.0" encoding="UTF-8"?>\n<filelists xmlns="http://linux.duke.edu/metadata/filelists" packages="0"/>\n' \
        >"$1/repodata/filelists.xml"
    {
        printf '<?xml version="1.0" encoding="UTF-8"?>\n<repomd xmlns="http://linux.duke.edu/metadata/repo">\n'
        for part in primary filelists; do
            sum=$(sha256sum "$1/repodata/$part.xml")
            printf '<data type="%s"><checksum type="sha256">%s</checksum><location href="repodata/%s.xml"/></data>\n' \
                "$part" "${sum%% *}" "$part"
        done
        printf '</repomd>\n'
    } >"$1/repodata/repomd.xml"
}

for_rpm() {
    for key in "$new"/keys/*.asc; do
        [ -f "$key" ] || continue
        rpm --import "$key" || fail "rpm does not take the key $key; nothing else was changed"
    done
    # Unsigned packages count as good for rpmkeys; here they don't.
    bad=$(printf '%s\n' "$packages" | while IFS= read -r path; do
        [ -z "$path" ] && continue
        case $(rpmkeys --checksig "$path" 2>&1) in
        *'signatures OK') ;;
        *) printf ' %s' "${path##*/}" ;;
        esac
    done)
    [ -z "$bad" ] || fail "not signed by a key that this server has imported:$bad. Import the key of whoever made \
them (rpm --import; NVIDIA's: put it into $folder), then run this again; nothing was installed"
    mkdir "$new/repos.d"
    where=$state/packages type=rpm-md
    if [ "$index" = no ] && [ "$manager" = zypper ]; then type=plaindir; fi
    if [ "$index" = no ] && [ "$manager" = dnf ]; then
        empty_repository "$new/empty"
        where=$state/empty
    fi
    {
        printf '# Written by gpu-bringup for its own commands alone; nothing else reads it.\n'
        printf '[gpu-bringup-local]\nname=Packages in %s\nbaseurl=file://%s\nenabled=1\n' "$folder" "$where"
        # The signature that counts is each package's own; the names carry the versions, not a module stream.
        printf 'gpgcheck=1\nrepo_gpgcheck=0\n'
        case $manager in
        dnf) printf 'module_hotfixes=1\nmetadata_expire=1\n' ;;
        zypper) printf 'pkg_gpgcheck=1\ntype=%s\nautorefresh=0\nkeeppackages=0\n' "$type" ;;
        esac
    } >"$new/repos.d/gpu-bringup-local.repo"
    place
    case $manager in
    zypper) zypper --non-interactive --reposd-dir "$state/repos.d" refresh ;;
    dnf)
        if [ "$index" = yes ]; then
            dnf -y --setopt="reposdir=$state/repos.d" makecache --refresh
        else
            printf '%s\n' "$packages" | tr '\n' '\0' | xargs -0 \
                dnf -y --setopt="reposdir=$state/repos.d" --setopt=localpkg_gpgcheck=1 \
                --setopt=install_weak_deps=False install
        fi
        ;;
    esac || { rm -rf "$state"; fail "$manager does not take the packages in $folder (see above)"; }
}

case $kind in
deb) for_apt ;;
rpm) for_rpm ;;
esac
say "$folder is the only source of this plan's packages"
