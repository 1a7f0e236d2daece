"""The text of a file: UTF-8, or CP949, which Korean spreadsheet programs write and which is said aloud."""

from __future__ import annotations

import re
from pathlib import Path

from llm_summ.errors import DataError
from llm_summ.progress import say

__all__ = ["read_text"]

_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_KOREAN_SHARE = 0.9  # of the letters outside ASCII: other bytes decode to rare syllables and hanja
_JAMO = re.compile("([\u3131-\u3163])\\1*")  # ㅋㅋㅋ, ㅠㅠ


def read_text(path: Path) -> tuple[str, str]:
    """A file's text, without a byte order mark, and the encoding it was in.

    Returns:
        the text, and ``utf-8``, ``utf-8-sig`` (with a byte order mark) or ``cp949``.

    Raises:
        DataError: the file cannot be read, is in another encoding, or holds a NUL.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    if content.startswith(_UTF_16):
        raise DataError(f"{path}: found UTF-16; expected UTF-8; save it as UTF-8")
    try:
        text = content.decode("utf-8-sig")
        encoding = "utf-8-sig" if content.startswith(b"\xef\xbb\xbf") else "utf-8"
    except UnicodeDecodeError as error:
        text, encoding = _from_cp949(path, content, error), "cp949"
        say(f"{path}: read as CP949 (it is not UTF-8)")
    if (at := text.find("\0")) >= 0:
        line = text.count("\n", 0, at) + 1
        raise DataError(f"{path}:{line}: found a NUL byte; the file is damaged or UTF-16; save it as UTF-8")
    return text, encoding


def _from_cp949(path: Path, content: bytes, error: UnicodeDecodeError) -> str:
    """The text as CP949, if it is Korean; a damaged UTF-8 file is not, though its bytes may be valid."""
    try:
        text = content.decode("cp949")
    except UnicodeDecodeError:
        text = ""
    # KS X 1001 holds the 2,350 syllables that are in use; CP949 adds the 8,822 others.
    letters = [letter for letter in _JAMO.sub("", text) if not letter.isascii() and letter.isalpha()]
    korean = sum("가" <= letter <= "힣" and len(letter.encode("euc_kr", "ignore")) == 2 for letter in letters)
    # The jamo of chats say nothing for or against Korean while they are few: hiragana in EUC-JP decode to them.
    jamo = sum(1 for _ in _JAMO.finditer(text))
    if letters and korean >= max(_KOREAN_SHARE * len(letters), jamo):
        return text
    if error.end == len(content) and error.reason == "unexpected end of data":
        raise DataError(f"{path}: ends in the middle of a character; was it cut off? Copy it again") from error
    line = content.count(b"\n", 0, error.start) + 1
    raise DataError(
        f"{path}:{line}: found byte 0x{content[error.start]:02x}, neither UTF-8 nor Korean in CP949; "
        "save it as UTF-8"
    ) from error
