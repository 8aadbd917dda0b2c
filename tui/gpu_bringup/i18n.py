"""Languages: ``tr`` translates at the time of the call, so that a switch shows at once.

Commands, package names and log lines are never translated.
"""

from __future__ import annotations

import gettext
from pathlib import Path

_LOCALE = Path(__file__).resolve().parent / "locale"
_translations: gettext.NullTranslations = gettext.NullTranslations()


def use_language(language: str | None) -> None:
    """Switch to ``language`` ("en", "zh_CN" …); None or an unknown one means English."""
    global _translations
    names = [language] if language else []
    _translations = gettext.translation("gpu_bringup", _LOCALE, names, fallback=True)


def tr(text: str) -> str:
    """``text`` in the chosen language, or as it is when there is no translation."""
    return _translations.gettext(text)
