"""apt's one-line format ("deb [options] uri suite component ..."), edited in place. Pure."""

from __future__ import annotations

import re

from gpu_bringup.families.apt_entry import Entry, SourceSyntaxError, Wanted, line_end, lines_of

_OPTIONS = re.compile(r"\[(?P<options>[^\]]*)\]\s+")
_CDROM = re.compile(r"cdrom:\[[^\]]*\]\S*")


def _parse(body: str, number: int) -> Entry | None:
    """The entry in a line without its comment; None for an empty one."""
    if not body.strip():
        return None
    kind, *tail = body.split(maxsplit=1)
    rest = tail[0].strip() if tail else ""
    if kind not in ("deb", "deb-src"):
        raise SourceSyntaxError(number, f'"{kind}" is neither "deb" nor "deb-src"')
    signed_by = ""
    if rest.startswith("["):
        options = _OPTIONS.match(rest)
        if not options:
            raise SourceSyntaxError(number, "the options have no closing bracket")
        for option in options["options"].split():
            name, _, value = option.partition("=")
            if name.lower() == "signed-by":
                signed_by = value
        rest = rest[options.end() :]
    cdrom = _CDROM.match(rest)
    uri = cdrom[0] if cdrom else next(iter(rest.split()), "")
    words = rest[len(uri) :].split()
    if not words:
        raise SourceSyntaxError(number, "an address and a suite are missing")
    if len(words) == 1 and not words[0].endswith("/"):
        raise SourceSyntaxError(number, "a suite without components must end in a slash")
    return Entry(
        types=(kind,),
        uris=(uri,),
        suites=(words[0],),
        components=tuple(words[1:]),
        signed_by=signed_by,
    )


def _split_comment(text: str) -> tuple[str, str]:
    """(what counts, the comment with the blanks before it)."""
    body, mark, comment = text.partition("#")
    stripped = body.rstrip()
    return stripped, body[len(stripped) :] + mark + comment


def entries(text: str) -> tuple[Entry, ...]:
    """Entries that are on.

    Raises:
        SourceSyntaxError: a line is no entry.
    """
    found = (
        _parse(_split_comment(line_end(line)[0])[0], number)
        for number, line in enumerate(lines_of(text), 1)
    )
    return tuple(entry for entry in found if entry is not None)


def add_components(text: str, wanted: Wanted) -> str:
    """The text with the wanted components added at the ends of entries.

    Raises:
        SourceSyntaxError: a line is no entry.
    """
    result: list[str] = []
    for number, line in enumerate(lines_of(text), 1):
        content, end = line_end(line)
        body, comment = _split_comment(content)
        entry = _parse(body, number)
        more = wanted(entry) if entry else ()
        result.append(" ".join((body, *more)) + comment + end if more else line)
    return "".join(result)
