# shellcheck shell=sh
# Finds a Python and keeps the private environments of this checkout. Sourced, after $root is set
# to the checkout's folder, by gpu-bringup, test and build-zipapp. POSIX sh; messages go to
# standard error, so that standard output stays the command's own.
#
# An environment is a folder that is used only once its file `ready` is there, which is written
# last. Its name carries a hash of what is installed in it: a changed scripts/constraints.txt makes
# a new environment and leaves the one alone from which a long run may still be running.

[ -n "$root" ] || exit 4
oldest_minor=10
newest_minor=14

say() { printf 'gpu-bringup: %s\n' "$*" >&2; }

# die STATUS LINE...: the exit statuses are those of the command itself (README).
die() {
    status=$1
    shift
    printf 'gpu-bringup: %s\n' "$1" >&2
    shift
    for line; do printf '  %s\n' "$line" >&2; done
    exit "$status"
}

# The pinned packages of a kind of environment: "run" or "dev" (which has run's as well).
pinned() {
    if [ "$1" = dev ]; then
        cat "$root/scripts/constraints.txt"
    else
        sed '/^# == development/,$d' "$root/scripts/constraints.txt"
    fi
}

# Sets $key: the first twelve digits of the hash of standard input.
hash_input() {
    key=$(sha256sum) || die 4 "sha256sum is needed; it is in the package coreutils."
    key=${key%"${key#????????????}"}
}

# Sets $env to a finished environment among "$1-pyX.Y"; fails when there is none.
# An environment whose Python was removed by an upgrade has a dangling bin/python.
find_ready() {
    for env in "$1"-py3.*; do is_ready && return 0; done
    return 1
}

is_ready() { [ -f "$env/ready" ] && [ -x "$env/bin/python" ]; }

# The folder for what may be deleted (as in paths.py), or nothing where there is none.
private_cache() {
    if [ -n "${GPU_BRINGUP_STATE:-}" ]; then
        echo "$GPU_BRINGUP_STATE/cache"
    elif [ "$(id -u)" = 0 ]; then
        echo /var/cache/gpu-bringup
    elif [ -n "${XDG_CACHE_HOME:-}" ]; then
        echo "$XDG_CACHE_HOME/gpu-bringup"
    elif [ -n "${HOME:-}" ]; then
        echo "$HOME/.cache/gpu-bringup"
    fi
}

# The last resort: its name can be guessed, so it must be ours alone.
temporary_cache() { echo "${TMPDIR:-/tmp}/gpu-bringup-$(id -u)"; }

is_ours_alone() {
    [ -d "$1" ] && [ ! -L "$1" ] && [ "$(stat -c '%u %a' "$1")" = "$(id -u) 700" ]
}

can_write_into() { mkdir -p "$1" 2>/dev/null && [ -w "$1" ]; }

# environment KIND: sets $env to a finished environment, made now if there is none.
environment() {
    kind=$1
    [ -r "$root/scripts/constraints.txt" ] ||
        die 2 "$root/scripts/constraints.txt is missing: this checkout is not complete."
    hash_input <<END
$(pinned "$kind")
END
    inside="$root/.venv/$kind-$key"
    find_ready "$inside" && return 0
    # Outside the checkout several checkouts share a folder: theirs is the path in the hash.
    hash_input <<END
$root $kind $key
END
    cache=$(private_cache)
    outside="${cache:+$cache/}env-$key"
    if [ -n "$cache" ] && find_ready "$outside"; then return 0; fi
    temporary=$(temporary_cache)
    if is_ours_alone "$temporary" && find_ready "$temporary/env-$key"; then return 0; fi
    make_environment
}

# Root does not write into somebody else's checkout: its owner could not remove what is left.
make_environment() {
    find_python
    old_umask=$(umask)
    umask 022
    if [ "$(stat -c %u "$root")" = "$(id -u)" ] && can_write_into "$root/.venv"; then
        env="$inside-py$python_version"
        link=../../../../../tui
    elif [ -n "$cache" ] && can_write_into "$cache"; then
        env="$outside-py$python_version"
        link="$root/tui"
    else
        mkdir -m 700 "$temporary" 2>/dev/null
        is_ours_alone "$temporary" ||
            die 4 "found no folder to keep a private Python environment in." \
                "Tried $root/.venv, ${cache:-the home folder (HOME is not set)} and $temporary." \
                "Set XDG_CACHE_HOME to a folder that you can write to, and run the same command again."
        env="$temporary/env-$key-py$python_version"
        link="$root/tui"
    fi
    lock="${env%/*}/.lock"
    exec 9>"$lock" || die 4 "cannot write to ${env%/*}."
    if ! flock -n 9; then
        say "another gpu-bringup is setting up $env; waiting for it."
        flock 9
    fi
    is_ready || fill_environment
    exec 9>&-
    umask "$old_umask"
}

# Whatever ends this early (an error, Ctrl-C, a lost terminal), no half-made environment is left.
fill_environment() {
    trap 'rm -rf "$env"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    trap 'exit 129' HUP
    rm -rf "$env"
    say "setting up a private Python environment, once: $env"
    find_pip
    # shellcheck disable=SC2086  # $without_pip is one option or none
    "$python" -m venv $without_pip "$env" >&2 || die 1 "$python could not make $env (see above)."
    link_pip
    pinned "$kind" >"$env/requirements.txt"
    printf '%s\n' "$pip_path" >"$env/pip-path"
    run_pip install --quiet --no-deps --require-hashes --only-binary=:all: \
        -r "$env/requirements.txt" >&2 || no_packages
    site=$("$env/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))') ||
        die 1 "the new environment $env does not work (see above)."
    printf '%s\n' "$link" >"$site/gpu_bringup_checkout.pth"
    : >"$env/ready" || die 1 "cannot write to $env."
    trap - EXIT INT TERM HUP
}

# pip inside the environment $env, whether pip is installed there or only lent to it.
run_pip() {
    read -r lent <"$env/pip-path"
    PYTHONPATH=$lent "$env/bin/python" -m pip --no-input --disable-pip-version-check "$@"
}

no_packages() {
    die 1 "the Python packages that it needs could not be installed; pip says why above." \
        "Tried: pip, with this host's own settings for indexes and proxies ('pip config list')." \
        "Nothing is left behind. When the network is back, run the same command again." \
        "$(zipapp_hint)"
}

# Sets $python (the real file, which an upgrade removes rather than changes) and $python_version.
find_python() {
    found=
    for python in python3 python3.14 python3.13 python3.12 python3.11 python3.10; do
        answer=$("$python" -c 'import os, sys
print("%d %d %s" % (sys.version_info[0], sys.version_info[1], os.path.realpath(sys.executable)))' \
            2>/dev/null) || continue
        major=${answer%% *}
        answer=${answer#* }
        minor=${answer%% *}
        python=${answer#* }
        python_version=$major.$minor
        found="${found:+$found, }$python_version"
        if [ "$major" = 3 ] && [ "$minor" -ge $oldest_minor ]; then
            [ "$minor" -le $newest_minor ] || say "Python $python_version is newer than any tested."
            return 0
        fi
    done
    ID='' ID_LIKE='' VERSION_ID='' PRETTY_NAME=''
    # shellcheck disable=SC1091  # the host's own file
    [ -r /etc/os-release ] && . /etc/os-release
    die 4 "Python 3.$oldest_minor or newer is needed; found ${found:-none}." \
        "$(python_hint)" "Nothing was changed."
}

# Package names: the Debian and Ubuntu archives; Red Hat "Installing and using
# dynamic programming languages" (python3.11 and python3.12 in RHEL 8 and 9); SLES 15 Python 3
# module (python311).
python_hint() {
    case " $ID $ID_LIKE " in
    *" debian "* | *" ubuntu "*)
        if [ -z "$found" ]; then
            echo "Run: apt-get update && apt-get install -y python3   (as root)"
        else
            echo "${PRETTY_NAME:-This release} has none that is new enough: use Debian 12, Ubuntu 22.04 or later."
        fi
        ;;
    *" rhel "* | *" fedora "* | *" centos "*)
        case "$ID $VERSION_ID" in
        fedora*) echo "Run: dnf install -y python3   (as root)" ;;
        *) echo "Run: dnf install -y python3.11   (as root)" ;;
        esac
        ;;
    *" suse "* | *" sles "* | *" opensuse "*) echo "Run: zypper install python311   (as root)" ;;
    *) echo "Install it with this system's package manager, so that python3.$oldest_minor or newer is on PATH." ;;
    esac
}

# Sets $without_pip and $pip_path. Debian and Ubuntu split ensurepip off into python3-venv. Where it
# is missing, pip is taken from the system's own pip, or from the archive's python3-pip-whl,
# unpacked beside the private environment: that changes nothing on the host, and works beside a
# half-configured package that would make every apt-get install fail.
find_pip() {
    without_pip='' pip_path='' pip_package=''
    "$python" -c 'import venv' 2>/dev/null || die 4 "$python has no module venv." \
        "Run: apt-get install -y python3-venv   (as root), then the same command again."
    "$python" -c 'import ensurepip' 2>/dev/null && return 0
    without_pip=--without-pip
    pip_package=$("$python" -c 'import os, pip; print(os.path.dirname(pip.__file__))' 2>/dev/null) && return 0
    for pip_path in /usr/share/python-wheels/pip-*.whl; do [ -f "$pip_path" ] && return 0; done
    pip_path=''
    say "this Python has no pip, and python3-venv is not installed."
    command -v apt-get >/dev/null || no_pip
    if ! fetch_pip; then
        update_lists || no_pip
        fetch_pip || no_archive
    fi
    get_certificates
}

# Debian's pip trusts what this file holds and nothing else; python3-pip-whl depends on its package.
get_certificates() {
    [ -f /etc/ssl/certs/ca-certificates.crt ] && return 0
    say "the package ca-certificates is missing, without which no package index can be trusted."
    as_root apt-get -q install -y --no-install-recommends ca-certificates
    [ -f /etc/ssl/certs/ca-certificates.crt ] || no_pip
}

no_pip() {
    die 4 "pip is needed once, to set up the private environment, and could not be had." \
        "Run: apt-get update && apt-get install -y python3-venv   (as root; ca-certificates comes along)" \
        "then the same command again. Nothing was changed."
}

no_archive() {
    die 1 "pip is needed once, to set up the private environment, and could not be fetched." \
        "Tried: apt-get update, then apt-get download python3-pip-whl (see above)." \
        "Nothing is left behind. When the network is back, run the same command again." \
        "$(zipapp_hint)"
}

zipapp_hint() {
    printf '%s\n' "For a server without a network: run scripts/build-zipapp in a checkout on a machine that" \
        "  has one, copy dist/gpu-bringup.pyz over, and run: python3 gpu-bringup.pyz"
}

# With only the module pip in sight, so that nothing else of the system's counts as installed.
link_pip() {
    if [ -n "$pip_package" ]; then
        mkdir "$env/pip" && ln -s "$pip_package" "$env/pip/pip" && pip_path="$env/pip"
    fi
}

# apt-get download checks the archive's signatures as every apt-get does, and needs no root.
fetch_pip() {
    fetched="${env%/*}/pip-wheel"
    rm -rf "$fetched"
    mkdir "$fetched" || return 1
    say "getting pip from the distribution (package python3-pip-whl, unpacked in $fetched)."
    if (cd "$fetched" && apt-get -qq download python3-pip-whl 2>apt.log) &&
        dpkg-deb -x "$fetched"/python3-pip-whl_*.deb "$fetched" >&2; then
        for pip_path in "$fetched"/usr/share/python-wheels/pip-*.whl; do
            [ -f "$pip_path" ] && return 0
        done
    fi
    pip_path=''
    rm -rf "$fetched"
    return 1
}

# The status of apt-get update says only whether every repository answered; one broken repository
# of a vendor does not matter here, so it is the download afterwards that decides.
update_lists() {
    say "the package lists are missing or old."
    as_root apt-get -q update
    [ $? != 126 ]
}

# as_root COMMAND...: runs it, saying so; status 126: nobody here may. sudo asks for its password
# where there is a terminal to ask on.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        :
    elif ! command -v sudo >/dev/null; then
        return 126
    elif [ -t 0 ] && [ -t 2 ]; then
        set -- sudo "$@"
    elif sudo -n true 2>/dev/null; then
        set -- sudo -n "$@"
    else
        return 126
    fi
    say "running: $*"
    "$@" >&2
}
