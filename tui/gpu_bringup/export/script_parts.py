"""The fixed parts of an exported shell script. POSIX shell only; shellcheck finds nothing in them."""

ARGUMENTS = """\
# shellcheck disable=SC2016 # arguments are taken literally, on purpose
set -eu
umask 022

usage() {
    cat <<'USAGE'
usage: sh PLAN [--list | --check] [--dry-run] [--from STEP]

  --list       show the steps and end
  --check      only make sure that this is the host the plan was made for
  --dry-run    say what would be done, do nothing
  --from STEP  begin at this step (its number or its name, as --list shows them)

exit status: 0 done; 2 bad usage; 3 reboot, then go on with --from; 4 refused: not the host that
the plan was made for, nothing was changed; any other: that of the command that failed.
USAGE
}

# parse_arguments ARGUMENT...: sets $first (number of a step), $dry and $only_check.
parse_arguments() {
    first=1 dry='' only_check=''
    while [ $# -gt 0 ]; do
        case $1 in
        --list)
            steps
            exit 0
            ;;
        --check) only_check=yes ;;
        --dry-run) dry=yes ;;
        --from)
            [ $# -ge 2 ] || { usage >&2; exit 2; }
            shift
            first=$1
            ;;
        --from=*) first=${1#--from=} ;;
        -h | --help)
            usage
            exit 0
            ;;
        -*)
            usage >&2
            exit 2
            ;;
        *) first=$1 ;;
        esac
        shift
    done
    found=$(steps | awk -v wanted="$first" '$1 == wanted || $2 == wanted { print $1; exit }')
    if [ -z "$found" ]; then
        echo "There is no step \\"$first\\"; the steps are:" >&2
        steps >&2
        exit 2
    fi
    first=$found
}
"""

BEGIN = """\
step='' step_name=''

# Whatever stops the script: say where it stopped, and how to go on.
stopped() {
    status=$?
    [ -n "$step" ] && [ "$status" -ne 0 ] || exit "$status"
    echo >&2
    echo "Stopped at step $step, $step_name (exit status $status). What came before it is done." >&2
    echo "Mend the cause, which is in the lines above, then: sh $0 --from $step" >&2
    exit "$status"
}
trap stopped EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# begin NUMBER NAME TITLE: is this step to be done in this run?
begin() {
    [ "$1" -ge "$first" ] || return 1
    step=$1 step_name=$2
    printf '\\n== step %s: %s\\n' "$1" "$3"
}

# say COMMAND...: what would be run.
say() {
    printf 'would run:'
    for word in "$@"; do printf " '%s'" "$word"; done
    echo
}

# run COMMAND...: as whoever we are.
run() {
    if [ -n "$dry" ]; then say "$@"; else "$@"; fi
}
"""

AS_ROOT = """\
# as_root COMMAND...: run it as root, through sudo where we aren't.
as_root() {
    if [ -n "$dry" ]; then
        say "$@"
    elif [ "$(id -u)" -eq 0 ]; then
        "$@"
    else
        sudo -- "$@"
    fi
}
"""

ACCEPT = """\
# accept "STATUS ..." COMMAND...: these exit statuses mean that it went well.
accept() {
    accepted=" $1 "
    shift
    status=0
    "$@" || status=$?
    case $accepted in *" $status "*) ;; *) exit "$status" ;; esac
}
"""

WRITE = """\
backup=${GPU_BRINGUP_BACKUP:-/var/backups/gpu-bringup/$(date +%Y%m%d-%H%M%S)-$$}

# write_file PATH MODE: standard input becomes the file; a different one is kept in $backup.
write_file() {
    if [ -n "$dry" ]; then
        echo "would write: $1 (mode $2)"
        cat >/dev/null
        return 0
    fi
    new=$(mktemp)
    cat >"$new"
    if as_root cmp -s "$new" "$1"; then
        as_root chmod "$2" "$1"
        rm -f "$new"
        echo "unchanged: $1"
        return 0
    fi
    folder=$(dirname "$1")
    as_root mkdir -p "$folder"
    if as_root test -e "$1"; then
        as_root mkdir -p "$backup$folder"
        as_root cp -p "$1" "$backup$1"
        echo "kept: $backup$1"
    fi
    # In two moves, so that nobody ever reads half a file.
    as_root install -m "$2" "$new" "$1.gpu-bringup-new"
    as_root mv -f "$1.gpu-bringup-new" "$1"
    rm -f "$new"
    echo "wrote: $1"
}
"""

CHECK = """\

# refuse TEXT: this is not the host that the plan was made for.
refuse() {
    echo "Refused: $1" >&2
    echo "This plan was made for: $made_os_words" >&2
    echo "Nothing was changed. Make a plan on this host: gpu-bringup plan --format shell" >&2
    exit 4
}

# os_value NAME: a value of os-release(5).
os_value() {
    [ -r /etc/os-release ] || return 0
    sed -n "s/^$1=//p" /etc/os-release | tail -n 1 | tr -d "\\"'"
}

check_host() {
    id=$(os_value ID)
    version=$(os_value VERSION_ID)
    [ "$id" = "$made_os_id" ] ||
        refuse "this is ${id:-a system without /etc/os-release}, not $made_os_id"
    # "9" stands for every 9.x.
    case "$version." in
    "$made_os_version".*) ;;
    *) refuse "this is $id ${version:-without a version}, not $made_os_version" ;;
    esac
    if [ -n "$made_machine" ] && [ "$(uname -m)" != "$made_machine" ]; then
        refuse "this machine is $(uname -m), not $made_machine"
    fi
    for kernel in $made_kernels; do
        [ -d "/lib/modules/$kernel" ] || refuse "kernel $kernel is not installed here"
    done
    if [ -n "$made_running" ]; then
        case " $made_kernels " in
        *" $(uname -r) "*) ;;
        *) refuse "the running kernel is $(uname -r); boot one of: $made_kernels" ;;
        esac
    fi
}
check_host
"""

CHECK_ROOT = """\
if [ -z "$dry" ] && [ "$(id -u)" -ne 0 ] && ! command -v sudo >/dev/null 2>&1; then
    echo "Refused: this needs root, and there is no sudo here. Nothing was changed." >&2
    exit 4
fi
"""

GUARDED = """\
if [ -n "$only_check" ]; then
    echo 'This is the host that the plan was made for.'
    exit 0
fi
"""
