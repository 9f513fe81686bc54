"""The first bytes of a text file to its encoding, and bytes of any known encoding to UTF-8."""

import codecs
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from deepfm.data.schema.declared import ENCODINGS
from deepfm.errors import DataError

if TYPE_CHECKING:
    from charset_normalizer.models import CharsetMatch

_BROKEN: Final = "deepfm-broken"
"""Error handler: a broken byte becomes one that UTF-8 cannot hold, so that its line is skipped."""


def _mark_broken(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    # The next byte is looked at anew: it may be the line feed after half a character.
    return "\udc80", error.start + 1


codecs.register_error(_BROKEN, _mark_broken)

_CODECS: Final = {
    "gb18030": "gb18030",
    "big5": "big5hkscs",
    "shift_jis": "cp932",
    "euc-jp": "euc_jp",
    "euc-kr": "cp949",
}
"""Encodings of two and more bytes, and the widest codec of each."""


def _as_browsers_read(codec: str) -> str:
    """The character of each byte; bytes that the codec leaves open stand for themselves."""
    return "".join(bytes([code]).decode(codec, "ignore") or chr(code) for code in range(256))


_TABLES: Final = {
    f"windows-{page}": _as_browsers_read(f"cp{page}") for page in ("1252", "1251", "1250")
}


def utf8_maker(encoding: str) -> Callable[[bytes, bool], bytes] | None:
    """A function from the next bytes of a file, and whether they are the last, to UTF-8.

    None for UTF-8 itself. Raises UnicodeError over broken UTF-16; in other encodings a broken
    character becomes a byte that is no UTF-8.
    """
    if encoding == "utf-8":
        return None
    if table := _TABLES.get(encoding):
        return lambda data, final: codecs.charmap_decode(data, "strict", table)[0].encode()
    if encoding in _CODECS:
        wide = codecs.getincrementaldecoder(_CODECS[encoding])(_BROKEN)
        return lambda data, final: wide.decode(data, final).encode("utf-8", "surrogateescape")
    decoder = codecs.getincrementaldecoder(encoding)()
    return lambda data, final: decoder.decode(data, final).encode()


def to_utf8(head: bytes, encoding: str) -> bytes:
    """The first bytes of a file as UTF-8 without mark, with line feeds; broken ends are let be."""
    if encoding.startswith("utf-16"):
        head = head.decode(encoding, "replace").encode()
    elif decode := utf8_maker(encoding):
        head = decode(head, False)
    head = head.removeprefix(codecs.BOM_UTF8)
    return head if b"\n" in head else head.replace(b"\r", b"\n")


def encoding_of(path: Path, head: bytes, whole: bool) -> tuple[str, tuple[str, ...]]:
    """The encoding and a remark about it; DataError for what is not text."""
    if head.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        raise DataError(f"{path.name!r} is UTF-32 text; save it as UTF-8.")
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16", ()
    wide = _utf16_by_zeros(head)
    if wide:
        return wide, (f"The file has no byte order mark and was taken for {wide.upper()}.",)
    _check_text(path, head)
    wrong, right = _utf8_faults(head, whole)
    if not wrong or right > wrong:
        return "utf-8", ()
    encoding = _encoding_by_words(head)
    if encoding is None and (_control_characters(head) or 0 in head):
        return "utf-8", ()
    encoding = encoding or "windows-1252"
    return encoding, (
        f"The file is not UTF-8 and was read as {ENCODINGS[encoding]}. Where letters look wrong, "
        "choose another encoding: on the Data page under Format, or by inspect --encoding.",
    )


def _utf16_by_zeros(head: bytes) -> str:
    """UTF-16 without mark, by the zero that every second byte of plain letters is."""
    sample = head[: 1 << 16]
    even, odd = sample[0::2].count(0), sample[1::2].count(0)
    half = max(1, len(sample) // 2)
    if odd > 0.4 * half and even < 0.05 * half:
        return "utf-16-le"
    if even > 0.4 * half and odd < 0.05 * half:
        return "utf-16-be"
    return ""


_CONTROL: Final = bytes(set(range(32)) - {0, 1, 9, 10, 12, 13}) + b"\x7f"
"""Without Ctrl-A, by which Hive separates cells."""


def _control_characters(head: bytes) -> int:
    return len(head) - len(head.translate(None, _CONTROL))


def _check_text(path: Path, head: bytes) -> None:
    """DataError for bytes that are no text in any encoding."""
    strange = _control_characters(head) + head.count(0)
    if strange > 0.1 * len(head):
        raise DataError(
            f"{path.name!r} is not text: {strange / len(head):.0%} of its first bytes are control "
            "characters. Give separated text, JSON Lines, libsvm, Parquet or Feather."
        )


_JUDGED_BYTES: Final = 1 << 20


def _utf8_faults(head: bytes, whole: bool) -> tuple[int, int]:
    """Bytes that break UTF-8, and characters past ASCII that are right."""
    try:
        text = codecs.utf_8_decode(head, "strict", whole)[0]
        return 0, 0 if text.isascii() else 1
    except UnicodeDecodeError:
        text = head[:_JUDGED_BYTES].decode("utf-8", "replace")
    wrong = max(1, text.count("\ufffd"))
    return wrong, sum(character > "\x7f" for character in text) - wrong


# --- neither UTF-8 nor UTF-16 -----------------------------------------------------------------

_WORD: Final = re.compile(rb"[A-Za-z]*[\x80-\xff][\x40-\x7e\x80-\xff]*")
"""A word past ASCII: in East Asian encodings second bytes may be letters and signs of ASCII."""
_LONGEST_WORD: Final = 1_000
_SAMPLE_BYTES: Final = 8 << 10
_LEAST_BYTES: Final = 8
"""Fewer bytes past ASCII fit many encodings."""
_MOST_BROKEN: Final = 0.1
_NO_LETTERS: Final = re.compile(r"[\x00-\x40\x5b-\x60\x7b-\x7f]+")
_BY_CODEC: Final = {
    **{f"cp{name.removeprefix('windows-')}": name for name in _TABLES},
    **{codec: name for name, codec in _CODECS.items()},
}


def _encoding_by_words(head: bytes) -> str | None:
    """The encoding in which the words past ASCII read best; None where unsure, or western."""
    words = _words_past_ascii(head)
    if sum(byte > 0x7F for word in words for byte in word) < _LEAST_BYTES:
        return None
    read = [found for codec in _BY_CODEC if (found := _read_as(words, codec))]
    if not read:
        return None
    best = min(read)
    encoding = _BY_CODEC[best.encoding]
    if encoding == "windows-1252":
        return None
    looks = _looks_central_european if encoding == "windows-1250" else _stands_in_words
    return encoding if looks(str(best)) else None


def _words_past_ascii(head: bytes) -> dict[bytes, int]:
    """The commonest words with bytes past ASCII, and how often they stand there."""
    found = Counter(match[0] for match in _WORD.finditer(head[:_JUDGED_BYTES]))
    words, room = {}, _SAMPLE_BYTES
    for word, count in found.most_common():
        if len(word) <= min(_LONGEST_WORD, room):
            words[word] = count
            room -= len(word)
    return words


def _read_as(words: dict[bytes, int], codec: str) -> "CharsetMatch | None":
    """How well the words read in one encoding; None where too many are broken in it, or noise.

    Signs of ASCII, which separate cells and are no letters of any language, are left out.
    """
    from charset_normalizer import from_bytes

    texts = {word: text for word in words if (text := _decoded(word, codec)) is not None}
    broken = sum(count for word, count in words.items() if word not in texts)
    if broken > _MOST_BROKEN * sum(words.values()):
        return None
    letters = _NO_LETTERS.sub(" ", " ".join(texts.values())).encode(codec)
    return from_bytes(letters, cp_isolation=[codec], threshold=0.4).best()


def _decoded(word: bytes, codec: str) -> str | None:
    try:
        return word.decode(codec)
    except UnicodeDecodeError:
        return None


_PAST_ASCII: Final = re.compile(r"[^\x00-\x7f]")
_IN_COMPANY: Final = re.compile(r"(?<=[^\x00-\x7f])[^\x00-\x7f]|[^\x00-\x7f](?=[^\x00-\x7f])")
_CENTRAL_ONLY: Final = re.compile(r"[šžťŠŽŤ]|(?<=\w)[łŁąĄżľĽşŻź](?=\w)")
"""Letters whose bytes western encodings leave open, or use for signs that stand in no word."""


def _stands_in_words(text: str) -> bool:
    """Whether letters past ASCII stand beside each other, as western ones seldom do."""
    return len(_IN_COMPANY.findall(text)) >= 0.5 * len(_PAST_ASCII.findall(text))


def _looks_central_european(text: str) -> bool:
    return len(_CENTRAL_ONLY.findall(text)) >= 0.1 * len(_PAST_ASCII.findall(text))
