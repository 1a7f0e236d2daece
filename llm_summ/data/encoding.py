"""The text of a file: UTF-8, or CP949 with a notice, since Korean spreadsheet programs write it."""

from __future__ import annotations

import re
from pathlib import Path

from llm_summ.core.errors import DataError, file_problem
from llm_summ.core.progress import say
from llm_summ.data.mistaken_formats import binary_format, wide_encoding

__all__ = ["decode_text", "read_content", "read_text"]

_KOREAN_SHARE = 0.9  # of the letters outside ASCII: bytes of other encodings decode to rare syllables and hanja
_JAMO = re.compile("([\u3131-\u3163])\\1*")  # ㅋㅋㅋ, ㅠㅠ
# Jamo that chats write alone: consonants (ㅇㅋ, ㄱㅅ, ㅉㅉ) and the vowels of a face (ㅠㅠ, ㅡㅡ, ㅗ).
_CHAT_JAMO = frozenset("ㄱㄲㄴㄷㄸㄹㅁㅂㅃㅅㅆㅇㅈㅉㅊㅋㅌㅍㅎㅗㅜㅠㅡ")
_OTHER_JAMO_WEIGHT = 3


def read_text(path: Path) -> tuple[str, str]:
    """Read the text of a file, without a byte order mark, and the encoding of the file.

    Returns:
        the text, and ``utf-8``, ``utf-8-sig`` (with a byte order mark) or ``cp949``.

    Raises:
        DataError: the file cannot be read, has another encoding, or contains a NUL.
    """
    return decode_text(*read_content(path))


def read_content(path: Path, most: int | None = None) -> tuple[Path, bytes]:
    """Read the bytes of a file.

    Args:
        path: the file.
        most: the largest number of bytes; None reads any.

    Returns:
        the path and the content.

    Raises:
        DataError: the file cannot be read or is larger.
    """
    try:
        if most is not None and (size := path.stat().st_size) > most:
            raise DataError(
                f"{path}: found {size / 1e6:,.0f} MB; expected at most {most / 1e6:,.0f} MB; divide the file"
            )
        return path, path.read_bytes()
    except OSError as error:
        raise DataError(file_problem(path, "read", error)) from error


def decode_text(path: Path, content: bytes) -> tuple[str, str]:
    """Decode the content of a file, which may be part of an archive; otherwise like `read_text`."""
    if other := binary_format(path, content) or wide_encoding(path, content):
        raise other
    try:
        text = content.decode("utf-8-sig")
        encoding = "utf-8-sig" if content.startswith(b"\xef\xbb\xbf") else "utf-8"
    except UnicodeDecodeError as error:
        text, encoding = _from_cp949(path, content, error), "cp949"
        say(f"{path}: read as CP949 (it is not UTF-8)")
    if (index := text.find("\0")) >= 0:
        line = text.count("\n", 0, index) + 1
        raise DataError(f"{path}:{line}: found a NUL byte; the file is damaged; copy or save it again")
    return text, encoding


def _from_cp949(path: Path, content: bytes, error: UnicodeDecodeError) -> str:
    """Decode a text as CP949 if the result is Korean, which it is not for a damaged UTF-8 file."""
    try:
        text = content.decode("cp949")
    except UnicodeDecodeError:
        text = ""
    # KS X 1001 has the 2,350 syllables that are in use; CP949 adds the 8,822 others.
    letters = [letter for letter in _JAMO.sub("", text) if not letter.isascii() and letter.isalpha()]
    korean = sum("가" <= letter <= "힣" and len(letter.encode("euc_kr", "ignore")) == 2 for letter in letters)
    # Hiragana in EUC-JP also decode to jamo, but rarely to those of chats alone.
    chat = sum(match[1] in _CHAT_JAMO for match in _JAMO.finditer(text))
    other = sum(1 for _ in _JAMO.finditer(text)) - chat
    if korean + chat >= max(1, _OTHER_JAMO_WEIGHT * other) and korean >= _KOREAN_SHARE * len(letters):
        return text
    if error.end == len(content) and error.reason == "unexpected end of data":
        raise DataError(f"{path}: ends in the middle of a character; was it cut off? Copy it again") from error
    line = content.count(b"\n", 0, error.start) + 1
    raise DataError(
        f"{path}:{line}: found byte 0x{content[error.start]:02x}, neither UTF-8 nor Korean in CP949; "
        "save it as UTF-8"
    ) from error
