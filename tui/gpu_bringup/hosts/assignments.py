"""Takes out of texts what is secret because of the name it is given to: keys, boot servers, hosts.

Kernel command lines stand in many places (/proc/cmdline, the kernel's log, boot loader files), so
their arguments are looked for in every text. Sources: kernel-parameters.txt and
filesystems/nfs/nfsroot.rst of the kernel's documentation, dracut.cmdline(7), apt.conf(5),
apt-transport-http(1).
"""

from __future__ import annotations

import re

_VALUE = r"(?:\"[^\"\n]*\"|'[^'\n]*'|[^\s;&\"',]+)"
_BARE = r"[^\s\"']+"
_SECRET = r"(?:password|passwd|passphrase|secret|token|api[_-]?key)"

_PASSWORD = re.compile(
    rf"(?i)((?<![\w-])[\w-]{{0,60}}{_SECRET}[\"']?\s*[=:]\s*|\bauthorization:\s*(?:\w+\s+)?)"
    rf"(?![\s;&,]|[\"']?redacted\b)({_VALUE})"
)
# Arguments of a command line end at white space, so that all of "a,b;c" is the secret. Where a key
# is kept (a path, a URL, a variable, a build option of the kernel) is a fact and no secret.
_ARGUMENT = re.compile(
    rf"(?i)(?<![\w.:-])((?!CONFIG_)[\w.:-]{{0,60}}?(?:{_SECRET}|(?<!by)pass|key|pw|user(?:name)?)=)"
    rf"(?![\"']?(?:redacted|user\d*|root)\b|(?<=key=)[\"']?(?:[/$]|file:|https?:))"
    rf"(\"[^\"\n]*\"|'[^'\n]*'|{_BARE})"
)
_QUOTED = re.compile(
    rf"(?i)(?<![\w-])([\w-]{{0,60}}(?:{_SECRET}|login)[ \t]+)(?![\"']redacted)(\"[^\"\n]+\"|'[^'\n]+')"
)
_APT_PASSWORD = re.compile(r"(?i)(::(?:password|login)[ \t]+)(?!redacted\b)([^\s;\"']+)")
_GRUB_HASH = re.compile(r"\bgrub\.pbkdf2\.\S+")
_NETWORK = re.compile(
    r"(?<![\w.-])((?:ip|BOOTIF|bootif|nfsroot|nfsaddrs|netroot|ifname|nameserver|netconsole|ds"
    r"|rd\.route|rd\.nvmf\.[\w.-]+|rd\.iscsi\.[\w.-]+|iscsi_[\w.-]+|inst\.[\w.-]+|(?:systemd\.)?hostname)=)"
    r"(?!(?:redacted|host\d*|dhcp6?|on|off|none|any|both|auto6?|either6|ibft|nocloud|None)(?=[\s\"',;]|$))"
    r"([^\s\"']+)"
)
_REMOTE_ROOT = re.compile(
    r"(?<![\w.-])([\w.-]+=(?:nfs4?:|nbd:|iscsi:)?)(?!redacted\b)(?!https?:|ftp:|file:)"
    r"(?:\w[\w.-]*|\[[0-9A-Fa-f:.]+\]):/(?!/)[^\s\"']*"
)
# Xid messages name the program that was hit (XID documentation, "pid=..., name=...").
_XID = re.compile(r"(\bXid\b[^\n]{0,120}?\bpid=)'?(\d+)'?(, name=)(?!<unknown>)[^,\n]+")
_KILLED = re.compile(r"(\b[Kk]illed process \d+ \()[^)\n]+(?=\))")


def _redacted(match: re.Match[str]) -> str:
    quote = match[2][0] if match[2][0] in "\"'" else ""
    return f"{match[1]}{quote}redacted{quote}"


def without_assigned(text: str) -> str:
    """``text`` with "redacted" for what passwords, keys and network boot arguments are set to."""
    text = _NETWORK.sub(r"\1redacted", text)
    text = _REMOTE_ROOT.sub(r"\1redacted", text)
    for pattern in (_ARGUMENT, _QUOTED, _APT_PASSWORD, _PASSWORD):
        text = pattern.sub(_redacted, text)
    return _GRUB_HASH.sub("redacted", text)


def without_programs(text: str) -> str:
    """``text`` without the names of people's programs in the kernel's messages."""
    text = _XID.sub(r"\g<1>1\3process", text)
    return _KILLED.sub(r"\1process", text)
