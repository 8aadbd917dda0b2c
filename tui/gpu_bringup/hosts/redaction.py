"""Takes out of texts what must never enter a record, the same secret always by the same stand-in.

Stand-ins are valid of their kind, so that parsers work on a record as on the host: addresses for
documentation (RFC 5737, 3849, 7042), UUIDs and ids of zeros with a number, archive.example.org.
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, Any

from gpu_bringup.hosts.assignments import without_assigned, without_programs

if TYPE_CHECKING:
    from collections.abc import Callable

    from gpu_bringup.hosts.identity import Secrets

PUBLIC_DOMAINS = (
    "nvidia.com",
    "nvidia.github.io",
    "ubuntu.com",
    "launchpad.net",
    "launchpadcontent.net",
    "fedoraproject.org",
    "centos.org",
    "redhat.com",
    "suse.com",
    "opensuse.org",
    "oracle.com",
    "amazonlinux.com",
    "docker.com",
    "kernel.org",
    "gnu.org",
    "github.com",
    "freedesktop.org",
)
"""Vendors' public names, which identify nobody. A distribution's own is added from its os-release."""

KNOWN_GUIDS = frozenset(
    (
        "8be4df61-93ca-11d2-aa0d-00e098032b8c",  # UEFI 2.10: EFI_GLOBAL_VARIABLE
        "d719b2cb-3d3a-4596-a3bc-dad00e67656f",  # UEFI 2.10: EFI_IMAGE_SECURITY_DATABASE
        "605dab50-e046-4300-abb6-3dd810dd8b23",  # shim: SHIM_LOCK
        "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f",  # systemd: boot loader interface
    )
)
"""Names of firmware interfaces, the same on every machine."""

KEY_FILE = re.compile(
    r"\.(?:priv|key|p12|pfx)$|/etc/ssh/.*_key$|/etc/g?shadow|/auth\.conf(?:\.d/|$)"
)
KEY_MATERIAL = "(left out: key material)\n"

_PEM = re.compile(r"(-----BEGIN ([A-Z0-9 ]+)-----).*?(?:(-----END \2-----)|\Z)", re.DOTALL)
_SSH_KEY = re.compile(r"\b((?:ssh|ecdsa|sk)-[\w@.-]+) AAAA[\w+/=]+")
_NETRC = re.compile(r"(?m)\b(machine\s+)\S+(\s+login\s+)\S+(\s+password\s+)\S+")
_CREDENTIALS = re.compile(r"(?i)\b([a-z][a-z0-9+.-]{0,20}://)[^\s/@\"'<>]+@")
_URL = re.compile(
    r"(?i)\b((?:[a-z]+\+)*(?:https?|s?ftps?|tftp|ssh|git|rsync|s3|nfs|smb|ldaps?|tcp|socks[45]h?))://"
    r"((?:redacted@)?(?:\[[0-9a-f:.]+\](?::\d+)?|[^\s/\"'<>\\\])?#]+))([^\s\"'<>\\\])]*)"
)
_APT_HOST = re.compile(r"(?i)(\bAcquire::\w+::(?:Proxy::)?)((?:[\w-]+\.)+[a-z][\w-]*)(?=::|\s)")
_KNOWN_SEGMENT = re.compile(
    r"(?:debian|ubuntu|rhel|sles|opensuse|fedora|amzn|centos|rocky|almalinux|suse|oracle)"
    r"(?:-(?:security|ports|archive|updates|backports))?\d{0,4}"
    r"|archive|dists|pool|main|contrib|non-free|non-free-firmware|restricted|universe|multiverse"
    r"|stable|deb|rpm|linux|compute|cuda|repos|nvidia|libnvidia-container|nvidia-container-toolkit"
    r"|x86_64|amd64|arm64|aarch64|sbsa|noarch|os|updates|BaseOS|AppStream|CRB|extras|repodata"
    r"|InRelease|Release|\d{1,4}(?:\.\d{1,3}){0,2}|\$\w+|path-\d+|"
)
"""Parts of an archive's path that say what it holds; any other may be a token or a name."""

_EMAIL = re.compile(r"(?i)(?<![\w.+/-])[\w.+-]+@((?:[\w-]+\.)+[a-z]{2,})\b")
_IQN = re.compile(r"\biqn\.\d{4}-\d\d\.[\w.:-]+")
_UUID = re.compile(
    r"(?i)(?<![\w-])((?:GPU-|MIG-)?)([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?![\w-])"
)
_UUID_AFTER_NAME = re.compile(r"(?i)(?<=-)([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?![\w-])")
_FAT_ID = re.compile(r"(?<=UUID=)[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}\b")
_DISK = re.compile(r"(/dev/disk/by-id/)[^\s,;\"']+")
_WWN = re.compile(r"(?i)\b((?:wwn|naa|eui)[.-](?:0x)?)[0-9a-f]{16,32}\b")
_PORT_GUID = re.compile(r"(?i)(?<![\w:])[0-9a-f]{4}(?::[0-9a-f]{4}){3}(?![\w:])")
_HEX_ID = re.compile(r"(?<![0-9A-Za-z])[0-9a-f]{32}(?![0-9A-Za-z])")
_MAC = re.compile(
    r"(?i)(?<![0-9a-z:.-])[0-9a-f]{2}(?:([:-])[0-9a-f]{2})(?:\1[0-9a-f]{2}){4}(?![0-9a-z]|[:-][0-9a-f])"
)
_IPV6 = re.compile(
    r"(?i)(?<![\w:.])(?:[0-9a-f]{0,4}:){2,7}(?:[0-9a-f]{1,4}|(?:\d{1,3}\.){3}\d{1,3}|(?<=::))(?!\w|:[0-9a-f:])"
)
_IPV4 = re.compile(r"(?<![\w.+~])(?:\d{1,3}\.){3}\d{1,3}(?![\w+~]|\.\d)")
_VERSION_TAIL = re.compile(r"-\d+(?:[^\d.]|\.[a-z]|$)")
_VERSION_HEAD = re.compile(r"\bversion\"?\s*[:=]?\s*\"?$", re.IGNORECASE)
_SERIAL = re.compile(
    r"(?i:\b(serial(?:[ _-]?(?:number|no\.?))?\"?|s/n|service tag|asset tag|PDI)"
    r"(\s*[:=]\s*\"?|(?<=number)\s+))"
    r"(?!8250)(?=[\w./+-]*\d|[A-Z]{6})([\w./+-]{4,}(?:[:-][0-9A-Fa-f]{2})*)"
)
_BARE_SERIAL = re.compile(r"\b([Ss]erial +)(?=[A-Z-]*\d)([A-Z0-9-]{8,})(?![\w/])")
_USER_PLACE = re.compile(
    r"(?P<head>(?:^|(?<=[^\w.-]))/home/|(?i:\brequested-by: |\b(?:for |by )user "
    r"|\buser=|\blogname=|\bsudo_user=|\b[ug]id=\d+\())(?P<name>[^/\s:;,\"'()]+)"
)
_UNAME = re.compile(r"\A(Linux )(?!version |host\d* )\S+( \d)")
_OS_URL = re.compile(r"^(?:HOME|SUPPORT|BUG_REPORT)_URL=\"?https?://([\w.-]+)", re.MULTILINE)
_OS_ID = re.compile(
    r"^ID=\"?(debian|ubuntu|rocky|almalinux|fedora|centos|opensuse|amzn|ol)\b", re.MULTILINE
)
_UNIT_ENDINGS = frozenset(
    ("service", "socket", "timer", "target", "mount", "slice", "device", "scope", "path", "swap")
)
_STANDS_IN = re.compile(r"^serial-\d+$|\b00000000-0000-0000-0000-\d{12}$")
_SECRET_KEY = re.compile(r"(?i)serial|uuid|hostname|guid|mac_address")


def vendor_domains(os_release: str) -> tuple[str, ...]:
    """The public domain of a known distribution, as its os-release names it."""
    known = _OS_ID.search(os_release)
    if known is None:
        return ()
    domains = {".".join(host.split(".")[-2:]).lower() for host in _OS_URL.findall(os_release)}
    return tuple(sorted(domain for domain in domains if domain.startswith(known[1])))


def _host_name(authority: str) -> str:
    host = authority.rpartition("@")[2]
    return host.partition("]")[0] + "]" if host.startswith("[") else host.partition(":")[0]


class _Names:
    """Numbers secrets of one kind in the order they are met."""

    def __init__(self, stand_in: Callable[[int], str]) -> None:
        self._stand_in = stand_in
        self._known: dict[str, str] = {}

    def __call__(self, secret: str) -> str:
        if secret not in self._known:
            self._known[secret] = self._stand_in(len(self._known) + 1)
        return self._known[secret]


def _documentation_ipv4(number: int) -> str:
    network = ("192.0.2", "198.51.100", "203.0.113")[(number - 1) // 254 % 3]
    return f"{network}.{(number - 1) % 254 + 1}"


class Redactor:
    """Replaces secrets in texts; one for a whole record, asked in a fixed order."""

    def __init__(self, secrets: Secrets, domains: tuple[str, ...] = ()) -> None:
        self._domains = PUBLIC_DOMAINS + domains
        self._uuid = _Names(lambda number: f"00000000-0000-0000-0000-{number:012d}")
        self._hex_id = _Names(lambda number: f"{number:032d}")
        self._mac = _Names(lambda number: f"00:00:5e:00:53:{(number - 1) % 256:02x}")
        self._ipv4 = _Names(_documentation_ipv4)
        self._ipv6 = _Names(lambda number: f"2001:db8::{number:x}")
        self._serial = _Names(lambda number: f"serial-{number}")
        self._key_serials: dict[str, str] = {}
        self._host = _Names(lambda number: "host" if number == 1 else f"host{number}")
        self._user = _Names(lambda number: "user" if number == 1 else f"user{number}")
        self._archive = _Names(
            lambda number: "archive.example.org" if number == 1 else f"archive{number}.example.org"
        )
        self._segment = _Names(lambda number: f"path-{number}")
        self._literals: dict[str, str] = {}
        self._pattern: re.Pattern[str] | None = None
        self._collect(secrets)

    def _collect(self, secrets: Secrets) -> None:
        for domain in sorted(secrets.domains, key=lambda domain: (-len(domain), domain)):
            self._literal(domain, "example.org")
        for name in sorted(secrets.hosts, key=lambda name: (-len(name), name)):
            self._literal(name, self._host(name))
        for home in sorted(secrets.homes, key=lambda home: (-len(home), home)):
            self._literal(home, f"/home/{self._user(home.rsplit('/', 1)[-1])}")
        for name in sorted(secrets.users, key=lambda name: (-len(name), name)):
            self._literal(name, self._user(name))
        for value in sorted(secrets.serials, key=lambda value: (-len(value), value)):
            self._literal(value, self._serial(value))
        for value in sorted(secrets.ids):
            self._literal(value, self._hex_id(value))

    def _literal(self, secret: str, stand_in: str) -> None:
        self._literals.setdefault(secret.lower(), stand_in)
        self._pattern = None

    def _replace_literals(self, text: str) -> str:
        if not self._literals:
            return text
        if self._pattern is None:
            # The longest first: a full name before the short name that it starts with.
            words = sorted(self._literals, key=lambda word: (-len(word), word))
            pattern = "|".join(re.escape(word) for word in words)
            self._pattern = re.compile(rf"(?i)(?<![A-Za-z0-9])(?:{pattern})(?![A-Za-z0-9])")
        return self._pattern.sub(lambda match: self._literals[match[0].lower()], text)

    def key_serial(self, serial: str) -> str:
        """The stand-in of a certificate's serial number; from now on replaced in texts as well."""
        digits = serial.replace(":", "").upper()
        # A short number (1, 2 …) identifies nobody.
        if len(digits) < 8 or digits.startswith("00000000"):
            return serial
        known = self._key_serials.get(digits)
        if known is None:
            bare = f"{len(self._key_serials) + 1:0{len(digits)}X}"
            known = ":".join(bare[at : at + 2] for at in range(0, len(bare), 2))
            self._key_serials[digits] = known
            self._literal(":".join(re.findall("..?", digits)), known)
            self._literal(digits, bare)
        return known

    def learn(self, text: str) -> None:
        """Remember the private hosts of URLs, to replace them where they stand without one."""
        for match in _URL.finditer(_CREDENTIALS.sub(r"\1redacted@", text)):
            name = _host_name(match[2])
            if self._private(name) and "." in name and not name.replace(".", "").isdigit():
                archive = self._archive(name.lower())
                self._literal(name, archive)
                # apt names its index files by the address: host_path_dists_...
                path = match[3].partition("?")[0].rstrip("/")
                authority = match[2].rpartition("@")[2]
                clean = authority.replace(name, archive) + self._path(path)
                self._literal((authority + path).replace("/", "_"), clean.replace("/", "_"))

    def text(self, text: str) -> str:
        """``text`` without secrets."""
        text = _PEM.sub(lambda m: f"{m[1]}\n(left out)\n{m[3] or ''}", text)
        text = _SSH_KEY.sub(r"\1 (left out)", text)
        text = _CREDENTIALS.sub(r"\1redacted@", text)
        text = _NETRC.sub(r"\1archive.example.org\2redacted\3redacted", text)
        text = _URL.sub(self._url, text)
        text = without_programs(without_assigned(text))
        text = _APT_HOST.sub(self._apt_host, text)
        text = _EMAIL.sub(self._email, text)
        text = _IQN.sub("iqn.2001-04.org.example:redacted", text)
        text = _USER_PLACE.sub(self._user_place, text)
        text = self._replace_literals(text)
        text = _UNAME.sub(r"\1host\2", text)
        text = _UUID.sub(lambda m: m[1] + self._one_uuid(m[2]), text)
        text = _UUID_AFTER_NAME.sub(lambda m: self._one_uuid(m[1]), text)
        text = _FAT_ID.sub("0000-0000", text)
        text = _DISK.sub(r"\1redacted", text)
        text = _WWN.sub(r"\g<1>" + "0" * 16, text)
        text = _PORT_GUID.sub("0000:0000:0000:0000", text)
        text = _HEX_ID.sub(lambda m: self._one_id(m[0]), text)
        text = _MAC.sub(self._one_mac, text)
        text = _IPV6.sub(self._one_ipv6, text)
        text = _IPV4.sub(self._one_ipv4, text)
        text = _BARE_SERIAL.sub(lambda m: m[1] + self._serial(m[2]), text)
        return _SERIAL.sub(self._one_serial, text)

    def tree(self, value: Any, key: str = "") -> Any:
        """A JSON value (NVML's or libcuda's answer) without secrets."""
        if isinstance(value, dict):
            return {name: self.tree(item, name) for name, item in value.items()}
        if isinstance(value, list):
            return [self.tree(item, key) for item in value]
        if _SECRET_KEY.search(key) and isinstance(value, (str, int)) and value:
            clean = self.text(value) if isinstance(value, str) else ""
            if clean and (clean != value or _STANDS_IN.search(value)):
                return clean
            return self._serial(str(value))
        return self.text(value) if isinstance(value, str) else value

    # --- one match each --------------------------------------------------------------------------

    def _private(self, host: str) -> bool:
        return not (
            self._public(host)
            or host in ("localhost", "127.0.0.1", "[::1]")
            or re.fullmatch(r"archive\d*\.example\.org", host)
        )

    def _public(self, host: str) -> bool:
        host = host.lower()
        return any(host == domain or host.endswith(f".{domain}") for domain in self._domains)

    def _url(self, match: re.Match[str]) -> str:
        scheme, authority, rest = match[1], match[2], match[3]
        name = _host_name(authority)
        if self._private(name):
            authority = authority.replace(name, self._archive(name.lower()))
            rest = self._path(rest.partition("#")[0])
        path, question, query = rest.partition("?")
        # Queries carry tokens; a package archive needs none to be recognised.
        query = "redacted" if question and query else ""
        return f"{scheme}://{authority}{path}{question}{query}"

    def _path(self, rest: str) -> str:
        """The path of a private host: its known parts stay, for what the archive holds."""
        path, question, query = rest.partition("?")
        parts = (
            part if _KNOWN_SEGMENT.fullmatch(part) else self._segment(part)
            for part in path.split("/")
        )
        return "/".join(parts) + question + query

    def _apt_host(self, match: re.Match[str]) -> str:
        name = match[2]
        return match[1] + (self._archive(name.lower()) if self._private(name) else name)

    def _email(self, match: re.Match[str]) -> str:
        domain = match[1].lower()
        unit = domain.rsplit(".", 1)[-1] in _UNIT_ENDINGS
        return match[0] if unit or self._public(domain) else "user@example.org"

    def _user_place(self, match: re.Match[str]) -> str:
        name = match["name"]
        known = re.fullmatch(r"user\d*|root", name)
        return match["head"] + (name if known else self._user(name))

    def _one_uuid(self, value: str) -> str:
        value = value.lower()
        if value in KNOWN_GUIDS or value.startswith("00000000-0000-0000-0000-"):
            return value
        return self._uuid(value)

    def _one_id(self, value: str) -> str:
        return value if value.startswith("0" * 20) else self._hex_id(value)

    def _one_mac(self, match: re.Match[str]) -> str:
        value = match[0].lower().replace("-", ":")
        kept = value.startswith("00:00:5e:00:53:") or value in (
            "00:00:00:00:00:00",
            "ff:ff:ff:ff:ff:ff",
        )
        return match[0] if kept else self._mac(value).replace(":", match[1])

    def _one_ipv6(self, match: re.Match[str]) -> str:
        try:
            address = ipaddress.IPv6Address(match[0])
        except ValueError:
            return match[0]
        if address.is_loopback or address.is_unspecified or match[0].startswith("2001:db8:"):
            return match[0]
        return self._ipv6(address.compressed)

    def _one_ipv4(self, match: re.Match[str]) -> str:
        value = match[0]
        try:
            address = ipaddress.IPv4Address(value)
        except ValueError:
            return value
        if address.is_loopback or address.is_unspecified or value == "255.255.255.255":
            return value
        if value.startswith(("192.0.2.", "198.51.100.", "203.0.113.")):
            return value
        # 13.1.0.3-1 is a package's version, 10.0.0.1-10.0.0.9 a range of addresses.
        if _VERSION_TAIL.match(match.string, match.end()):
            return value
        before = match.string[max(0, match.start() - 20) : match.start()]
        if not address.is_private and _VERSION_HEAD.search(before):
            return value
        return self._ipv4(value)

    def _one_serial(self, match: re.Match[str]) -> str:
        value = match[3]
        if re.fullmatch(r"serial-\d+", value) or set(value) <= set("0-"):
            return match[0]
        return f"{match[1]}{match[2]}{self._serial(value)}"
