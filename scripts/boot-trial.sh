#!/bin/sh
# A boot on trial: the new kernel (or driver) was started once; this says whether it may stay.
#
#   boot-trial.sh check     what the unit gpu-bringup-boot-trial.service runs at boot
#   boot-trial.sh status    says how the trial stands; changes nothing
#   boot-trial.sh cancel    ends the trial; the old default stays
#
# Written by gpu-bringup into a plan; it needs nothing of gpu-bringup and no Python. In its folder
# (/var/lib/gpu-bringup/boot-trial) lie: settings (NEW, OLD, SECONDS_LEFT, GPUS, UNDO), checks (one
# command a line, each must succeed), permanent (makes NEW the default; may be missing), back (takes
# back a choice for one boot that is still waiting; may be missing), pin (makes OLD the default again
# after the run was taken back; may be missing).
#
# When the kernel NEW runs, the checks are tried until all succeed or the time is over. All succeed: NEW
# becomes the default and the unit removes itself. Otherwise, with UNDO=1, the run that set up the trial
# is taken back (its undo.sh: no network, no Python), and the machine reboots: the boot loader starts
# OLD, because NEW was chosen for one boot only. When OLD runs, the trial has failed and ends; with UNDO=1
# the run is taken back there where it is not yet (NEW never came up, or power went). That is tried twice
# at the most; until it is done, /etc/motd.d says at login what is left to do. It reboots once at the most.
set -u
umask 077
LC_ALL=C
PATH=${GPU_BRINGUP_BIN:+$GPU_BRINGUP_BIN:}/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export LC_ALL PATH
top=${GPU_BRINGUP_ROOT:-}
folder=$top/var/lib/gpu-bringup/boot-trial
unit=gpu-bringup-boot-trial.service

note() {
    printf 'boot-trial: %s\n' "$*"
    printf '%s %s\n' "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$*" >>"$folder/log"
}

finish() { # finish STATE TEXT: the trial is over
    printf '%s\n%s\n' "$1" "$2" >"$folder/result.partial"
    sync "$folder/result.partial" 2>/dev/null || sync
    mv "$folder/result.partial" "$folder/result"
    note "$2"
    systemctl disable "$unit" >/dev/null 2>&1 || rm -f "$top/etc/systemd/system/multi-user.target.wants/$unit"
    rm -f "$top/etc/systemd/system/$unit" "$top/etc/systemd/system.conf.d/zz-gpu-bringup-boot-trial.conf"
    systemctl daemon-reload >/dev/null 2>&1 || :
}

state() { if [ -f "$folder/result" ]; then head -n 1 "$folder/result"; else echo waiting; fi; }

[ -r "$folder/settings" ] || {
    echo 'boot-trial: there is no trial on this host' >&2
    exit 2
}
NEW='' OLD='' SECONDS_LEFT='' GPUS='' UNDO=''
# shellcheck disable=SC1091  # written with the plan
. "$folder/settings"
case $SECONDS_LEFT in '' | *[!0-9]*) SECONDS_LEFT=600 ;; esac
case $GPUS in '' | *[!0-9]*) GPUS=0 ;; esac
running=${GPU_BRINGUP_RUNNING:-$(uname -r)}

# The driver answers for every GPU; without a GPU it must at least be taken by the kernel.
driver_ok() {
    if [ "$GPUS" -gt 0 ]; then
        found=$(timeout 60 nvidia-smi -L 2>&1) || {
            why="nvidia-smi: $(printf '%s\n' "$found" | head -n 1)"
            return 1
        }
        count=$(printf '%s\n' "$found" | grep -c '^GPU ')
        [ "$count" -ge "$GPUS" ] && return 0
        why="nvidia-smi sees $count GPUs, there were $GPUS"
        return 1
    fi
    said=$(timeout 60 modprobe nvidia 2>&1) && return 0
    # "No such device" comes from a module that the kernel has taken: there is no GPU to drive.
    case $said in *'No such device'*) return 0 ;; esac
    why="modprobe nvidia: $(printf '%s\n' "$said" | head -n 1)"
    return 1
}

checks_ok() {
    driver_ok || return 1
    [ -f "$folder/checks" ] || return 0
    while IFS= read -r line || [ -n "$line" ]; do
        case $line in '' | '#'*) continue ;; esac
        timeout 300 sh -c "$line" </dev/null >"$folder/check.out" 2>&1 || {
            why="the check \"$line\" failed: $(head -n 1 "$folder/check.out")"
            return 1
        }
    done <"$folder/checks"
}

motd=$top/etc/motd.d/gpu-bringup-boot-trial

# What a person reads at login until the run is taken back (pam_motd(8)); undo.sh removes it as well.
tell_at_login() {
    mkdir -p "$top/etc/motd.d" && chmod 755 "$top/etc/motd.d" &&
        printf 'gpu-bringup: the boot on trial failed, and the new driver is still installed: sudo gpu-bringup undo\n' >"$motd" &&
        chmod 644 "$motd" && sync
}

# The run that set this trial up, taken back from what it kept. Its packages fit OLD no more.
take_back() {
    run=$(grep -l '"step":"boot-trial"' "$top"/var/lib/gpu-bringup/runs/*/journal.jsonl 2>/dev/null | sort | tail -n 1)
    script=${run%journal.jsonl}undo.sh
    if [ -z "$run" ] || [ ! -f "$script" ]; then
        note 'there is no undo.sh of the run that set up the trial'
        tell_at_login
        finish failed "The trial of $NEW failed ($why). The new driver is still installed: gpu-bringup undo"
        return
    fi
    if [ -f "${run%journal.jsonl}undone" ]; then
        rm -f "$motd"
        finish failed "The trial of $NEW failed ($why). What the run had changed was taken back."
        return
    fi
    # Said first: power may go in the middle of it.
    tell_at_login
    attempts=$(($(grep -c . "$folder/attempts" 2>/dev/null) + 0))
    if [ "$attempts" -ge 2 ]; then
        finish failed "The trial of $NEW failed ($why). Taking it back was tried twice; the new driver is still installed: gpu-bringup undo"
        return
    fi
    echo undo >>"$folder/attempts"
    sync
    # Undo removes what the run wrote here, and the choice of the old kernel with it.
    pin=''
    [ ! -f "$folder/pin" ] || pin=$(cat "$folder/pin")
    word='could not all be taken back (see the log): gpu-bringup undo'
    if GPU_BRINGUP_IN_TRIAL=1 sh "$script" --yes >>"$folder/log" 2>&1; then
        word='was taken back'
        rm -f "$motd"
    fi
    [ -z "$pin" ] || sh -c "$pin" >>"$folder/log" 2>&1 || note "$OLD could not be made the default again"
    finish failed "The trial of $NEW failed ($why). What the run had changed $word. The next boot is $OLD."
}

case ${1:-} in
status)
    state
    [ ! -f "$folder/result" ] || sed -n 2p "$folder/result"
    ;;
cancel)
    # Called by the undo that a failed trial runs itself, it would end the trial under its own feet.
    [ "$(state)" = waiting ] && [ -z "${GPU_BRINGUP_IN_TRIAL:-}" ] || exit 0
    [ ! -f "$folder/back" ] || sh "$folder/back" || note 'the choice for one boot could not be taken back'
    finish cancelled "The trial of $NEW was cancelled; the default stays $OLD."
    ;;
check)
    [ "$(state)" = waiting ] || exit 0
    # GRUB can't clear its one-shot choice on every file system: it must not be obeyed a second time.
    for name in grub grub2; do
        if [ -f "$top/boot/$name/grubenv" ]; then
            for tool in grub-editenv grub2-editenv; do
                if command -v "$tool" >/dev/null; then "$tool" "$top/boot/$name/grubenv" unset next_entry; fi
            done
        fi
    done
    if [ "$running" != "$NEW" ]; then
        if [ "$UNDO" = 1 ]; then
            why="it never came up to its checks; $running runs again"
            [ ! -f "$folder/tried" ] || why="$running runs again"
            take_back
            exit 0
        fi
        last=$(sed -n '$s/^[^ ]* //p' "$folder/log" 2>/dev/null)
        if [ -f "$folder/tried" ]; then
            finish failed "The trial of $NEW failed, $running runs again. ${last:+Last word: $last}"
        else
            finish failed "The trial of $NEW failed: it never came up to its checks; $running runs again."
        fi
        exit 0
    fi
    if [ -f "$folder/tried" ]; then
        if [ "$UNDO" = 1 ]; then
            why='it was started a second time: power went, or the choice for one boot stuck'
            take_back
            exit 0
        fi
        finish failed "$NEW was started a second time although it was chosen for one boot only: it is left running, and nothing reboots any more. Choose the kernel by hand."
        exit 0
    fi
    : >"$folder/tried"
    sync
    note "$NEW runs; its checks have $SECONDS_LEFT s"
    begun=$(date +%s)
    why=''
    while :; do
        if checks_ok; then
            if [ ! -f "$folder/permanent" ] || sh "$folder/permanent"; then
                finish passed "The trial of $NEW passed after $(($(date +%s) - begun)) s: it is the default from now on."
                exit 0
            fi
            finish failed "The checks of $NEW passed, but it could not be made the default: $OLD starts next."
            exit 0
        fi
        [ $(($(date +%s) - begun)) -lt "$SECONDS_LEFT" ] || break
        sleep "${GPU_BRINGUP_PAUSE:-5}"
    done
    note "$why"
    note "$NEW goes: the next boot is $OLD"
    if [ "$UNDO" = 1 ]; then take_back; fi
    # The unit's FailureAction reboots as well, should this not be heard.
    ${GPU_BRINGUP_REBOOT:-systemctl --no-block reboot} || reboot -f
    exit 1
    ;;
*)
    echo 'usage: boot-trial.sh check|status|cancel' >&2
    exit 2
    ;;
esac
