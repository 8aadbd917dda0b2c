#!/usr/bin/env bash
# sudo's password in the wizard, with the real sudo, real users and a real terminal (tmux).
#
#   sudo tests/rig/sudo.sh
#
# Makes two users on this machine, one who may use sudo with a password and one who may not, starts the
# wizard as each, types right and wrong passwords, and reads the screen, the journal, the logs and the
# process list. The users and all that they made are gone afterwards, whatever happens.
# Environment: RIG_PYTHON  a Python 3.10 or newer that everybody may start (default: /usr/bin/python3)
#              RIG_KEEP    not empty: what was written stays, its folder is named
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/rig/lib.sh
. "$here/lib.sh"

[ "$(id -u)" = 0 ] || { echo "this rig needs root: sudo $0" >&2; exit 4; }
for tool in sudo tmux useradd chpasswd; do
    command -v "$tool" >/dev/null || { echo "needs $tool: apt-get install sudo tmux passwd" >&2; exit 4; }
done
python=${RIG_PYTHON:-/usr/bin/python3}
"$python" -c 'import ensurepip, venv' || { echo "needs venv: apt-get install python3-venv" >&2; exit 4; }

may=gbrig-may mustnot=gbrig-not
right="right-$(od -An -N6 -tx1 /dev/urandom | tr -d ' \n')" wrong="wrong-$(od -An -N6 -tx1 /dev/urandom | tr -d ' \n')"
work=$(mktemp -d /var/tmp/gpu-bringup-sudo.XXXXXX)
rules=/etc/sudoers.d/gpu-bringup-rig
socket="$work/tmux"
watcher=
# shellcheck disable=SC2329  # called by the trap
cleanup() {
    [ -z "$watcher" ] || kill "$watcher" 2>/dev/null || true
    tmux -S "$socket" kill-server 2>/dev/null || true
    rm -f "$rules"
    for user in "$may" "$mustnot"; do userdel --remove "$user" 2>/dev/null || true; done
    rm -f "/run/sudo/ts/$may" "/run/sudo/ts/$mustnot"
    if [ -n "${RIG_KEEP:-}" ]; then echo "kept: $work"; else rm -rf "$work"; fi
}
trap cleanup EXIT
for user in "$may" "$mustnot"; do
    ! id "$user" >/dev/null 2>&1 || { echo "there is a user $user already" >&2; exit 4; }
done
chmod 755 "$work"
# grep reads them from a file: in its own argument list they would be found at once.
(umask 077 && printf '%s\n%s\n' "$right" "$wrong" >"$work/secrets")
rig_checkout "$work" /checkout
# A Python of its own, because that of the checkout may lie where only its owner may look.
"$python" -m venv "$work/venv"
"$work/venv/bin/pip" install -q "$work/checkout" >"$work/pip.log" 2>&1 || { cat "$work/pip.log" >&2; exit 4; }
for user in "$may" "$mustnot"; do
    useradd --create-home --shell /bin/sh "$user"
    printf '%s:%s\n' "$user" "$right" | chpasswd
done
# What Debian's and Ubuntu's group sudo and RHEL's wheel may do; three attempts, a fresh question each time.
printf '%s\n' "Defaults:$may,$mustnot timestamp_timeout=0, passwd_tries=3" "$may ALL=(ALL:ALL) ALL" >"$rules"
chmod 440 "$rules"
visudo -cqf "$rules"

failures=0
expect() { # expect TEXT COMMAND...: run it, say whether it holds
    local text=$1
    shift
    if "$@"; then echo "  ok      $text"; else echo "  FAILED  $text"; failures=$((failures + 1)); fi
}

# The plan: one step that needs root and leaves a trace of it.
plan() {
    cat <<PLAN
{"target": {}, "blocked": [], "steps": [{"id": "trace", "rung": "packages", "title": "Leave a trace as root",
 "why": "the rig", "commands": [{"argv": ["touch", "$1"], "root": true}], "writes": [], "reboot": false,
 "stops_workloads": false, "undo": [], "done_when": [], "estimate_seconds": 1}]}
PLAN
}

screen() { tmux -S "$socket" capture-pane -p -t wizard 2>/dev/null || true; }

# seen TEXT [SECONDS]: wait until the screen has it.
seen() {
    local until=$((SECONDS + ${2:-60}))
    while ! screen | tr -s ' \n' ' ' | grep -qF -- "$1"; do
        [ $SECONDS -lt $until ] || { echo "--- not seen: $1"; screen; return 1; }
        sleep 0.2
    done
}

type_in() { # type_in TEXT: as from a keyboard, through a file, so that no argument list has it
    printf '%s' "$1" >"$work/typed"
    tmux -S "$socket" load-buffer -b typed "$work/typed"
    rm -f "$work/typed"
    tmux -S "$socket" paste-buffer -d -b typed -t wizard
    sleep 0.5
    tmux -S "$socket" send-keys -t wizard Enter
}

wizard() { # wizard USER NAME: start the wizard as this user, at the moment at which a plan was agreed on
    local user=$1 name=$2
    install -d -o "$user" -m 755 "$work/$name"
    plan "$work/$name/trace" >"$work/$name/plan.json"
    cat >"$work/$name/start" <<START
#!/bin/sh
cd "$work/$name"
export GPU_BRINGUP_STATE="$work/$name/state" TERM=screen-256color LC_ALL=C.UTF-8 HOME=/home/$user
export PYTHONPATH="$work/checkout/tui:$work/checkout/tests" PYTHONDONTWRITEBYTECODE=1
"$work/venv/bin/python" "$work/checkout/tests/ui/wizard_process.py" "$work/$name/plan.json"
echo "ended: \$?"
sleep 600
START
    chmod 755 "$work/$name/start"
    tmux -S "$socket" kill-server 2>/dev/null || true
    # A server that is just ending would still be found at the old address.
    socket="$work/tmux-$name"
    # setpriv and not su: nothing of this user is authenticated before the wizard asks.
    tmux -S "$socket" -f /dev/null new-session -d -s wizard -x 80 -y 24 \
        setpriv --reuid="$user" --regid="$user" --init-groups --reset-env "$work/$name/start"
}

# Every argument list that there is, sampled all the time: a password in one of them is found below.
(while :; do cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\0' ' ' || true; echo; sleep 0.05; done >"$work/processes") &
watcher=$!

# shellcheck disable=SC2329  # called by expect
no_secret() { # no_secret NAME: neither password stands in what was written or shown
    local name=$1
    screen >"$work/$name/screen"
    ! grep -rqFf "$work/secrets" "$work/$name" "$work/processes" || return 1
    ! grep -rqFf "$work/secrets" /var/log || return 1
    ! command -v journalctl >/dev/null || ! journalctl --since -15min --no-pager 2>/dev/null | grep -qFf "$work/secrets"
}

echo "=== the right password"
wizard "$may" right
expect "the wizard asks for it, and says where it goes" seen "It goes to sudo only"
type_in "$right"
expect "the step is taken as root" seen "Verify" 60
for _ in $(seq 100); do [ ! -e "$work/right/trace" ] || break; sleep 0.2; done
expect "its trace belongs to root" test "$(stat -c %U "$work/right/trace" 2>/dev/null)" = root
ended() { grep -q '"event": *"run-ended".*"state": *"done"' "$work"/right/state/runs/*/journal.jsonl; }
for _ in $(seq 100); do ! ended || break; sleep 0.2; done
expect "the journal ends with done" ended
expect "the password stands nowhere" no_secret right

echo "=== a wrong password three times"
wizard "$may" wrong
seen "It goes to sudo only" || failures=$((failures + 1))
for try in 1 2 3; do
    type_in "$wrong"
    [ "$try" = 3 ] || { sleep 4; expect "after wrong password $try it says so and asks again" seen "Sorry, try again."; }
done
expect "it says that the run could not be started" seen "could not be started" 60
expect "it says why: three wrong passwords" seen "3 incorrect password attempts" 10
expect "it says that nothing was changed" seen "Nothing was changed" 10
expect "nothing was changed" test ! -e "$work/wrong/trace"
expect "the password stands nowhere" no_secret wrong

echo "=== no password at all (Esc)"
wizard "$may" escape
seen "It goes to sudo only" || failures=$((failures + 1))
tmux -S "$socket" send-keys -t wizard Escape
expect "it says that the run could not be started" seen "could not be started" 60
expect "it says that no password was given" seen "no password was given" 10
expect "nothing was changed" test ! -e "$work/escape/trace"

echo "=== a user without rights"
wizard "$mustnot" not
seen "It goes to sudo only" || failures=$((failures + 1))
type_in "$right"
expect "it says that the run could not be started" seen "could not be started" 60
expect "it says that this user may not use sudo" seen "may not use sudo" 10
expect "nothing was changed" test ! -e "$work/not/trace"
expect "the password stands nowhere" no_secret not

echo
[ "$failures" = 0 ] && echo "all as it must be" || echo "$failures failed"
exit $((failures > 0))
