"""Files in the encodings of other parts of the world: found, told, and read without loss."""

import random
from dataclasses import replace
from pathlib import Path

import pytest

from deepfm.config import Settings
from deepfm.data.reader import ROW, open_agreed, open_rows
from deepfm.data.reader import blocks as blocks_module
from deepfm.data.schema import ENCODINGS, FileFormat, Inspection, Schema, inspect
from deepfm.errors import DataError

SETTINGS = Settings()
CODECS = {"big5": "big5hkscs", "shift_jis": "cp932", "euc-kr": "cp949"}
JAPANESE = (
    "スポーツ ニュース 東京 大阪 携帯電話 パソコン 食品 おすすめ ファッション 広告 検索結果 表 予約"
)
WORDS = {
    "gb18030": "手机 数码 服装 新闻 体育 娱乐 北京 上海 女装 家用电器 图书 运动户外 首页推荐 亅|亊",
    "big5": "手機 數碼 服裝 新聞 體育 娛樂 台北 高雄 香港 女裝 家用電器 圖書 功能 許蓋 首頁推薦",
    "shift_jis": JAPANESE,
    "euc-jp": JAPANESE,
    "euc-kr": "뉴스 스포츠 서울 부산 컴퓨터 휴대폰 여성의류 도서 식품 화장품 검색결과 가전제품 뷁",
    "windows-1251": "Новости Спорт Москва Телефоны Одежда Книги Реклама Пользователь Поиск игры",
    "windows-1250": "Łódź Kraków Żywność Książki zdjęcia źródło większość hráči žluťoučký kůň",
    "windows-1252": "straße Brötchen Öl café Zürich garçon élève cœur São mañana ¿Qué año nº nîmes",
}


def write(path: Path, text: str, encoding: str) -> Path:
    path.write_bytes(text.encode(CODECS.get(encoding, encoding)))
    return path


def table(encoding: str, rows: int, separator: str = ",", ascii_share: float = 0.5) -> str:
    """A log of which about half the sites are in letters of the encoding."""
    draw = random.Random(f"{encoding}{rows}")
    words = [word.replace("|", "") for word in WORDS[encoding].split()]
    lines = [separator.join(("click", "site", "page", "n"))]
    for number in range(rows):
        site = draw.choice(words) if draw.random() > ascii_share else draw.choice(["news", "shop"])
        page = words[number % len(words)] if ascii_share < 1 else "home"
        lines.append(separator.join((str(number % 2), site, page, str(draw.randrange(99)))))
    return "\n".join(lines) + "\n"


def look(path: Path) -> Inspection:
    return inspect(path, settings=SETTINGS)


def cells(path: Path, format: FileFormat | Schema | None = None) -> list[list[str | None]]:
    with open_rows(path, format, settings=SETTINGS) as reader:
        batches = [batch.drop_columns([ROW]).to_pylist() for batch in reader.batches()]
    return [list(row.values()) for batch in batches for row in batch]


@pytest.mark.parametrize("encoding", WORDS)
@pytest.mark.parametrize("separator", ["\t", ",", "|", "~", "^"])
@pytest.mark.parametrize("rows", [12, 2000])
def test_the_encoding_is_found_told_and_read(
    tmp_path: Path, encoding: str, separator: str, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Second bytes of Shift_JIS, Big5 and GB18030 may be | ~ \ ^; blocks end in mid-character.
    monkeypatch.setattr(blocks_module, "BLOCK", 331)
    text = table(encoding, rows, separator)
    path = write(tmp_path / "x", text, encoding)
    found = look(path)
    assert found.schema.format.encoding == encoding
    assert found.warnings[0].startswith(
        f"The file is not UTF-8 and was read as {ENCODINGS[encoding]}."
    )
    assert "Data page under Format" in found.warnings[0]
    assert FileFormat.from_dict(found.schema.format.to_dict()) == found.schema.format
    assert cells(path) == [line.split(separator) for line in text.splitlines()[1:]]


@pytest.mark.parametrize("encoding", ["gb18030", "big5", "shift_jis"])
def test_second_bytes_that_are_signs_of_ascii_separate_nothing(
    tmp_path: Path, encoding: str
) -> None:
    codec = CODECS.get(encoding, encoding)
    tricky = []
    for lead in range(0x88, 0xF0):
        for trail in b"|~\\^@":
            letter = bytes([lead, trail]).decode(codec, "ignore")
            tricky += [letter] if len(letter) == 1 and letter.encode(codec)[1:] else []
    assert len(tricky) > 100
    text = "click|site|n\n" + "".join(f"{n % 2}|{letter}|{n}\n" for n, letter in enumerate(tricky))
    format = FileFormat("text", "|", header=True, encoding=encoding)
    read = cells(write(tmp_path / "x", text, encoding), format)
    assert [row[1] for row in read] == tricky


@pytest.mark.parametrize(
    "text",
    [
        "größer Straße Übung Mädchen schön für müssen Bücher",
        "élève déjà été café crème hôtel forêt où cœur sœur garçon façon naïf",
        "São João ação não coração informação você avó irmã nº 1ª",
        "España niño año señal mañana ¿Qué ¿Cómo corazón Peña nº",
        "København Ærø øl rødgrød smørrebrød Århus blå på får",
        "hyvää päivää äiti työ yö sää määrä käännös tämä pöytä",
    ],
)
@pytest.mark.parametrize("rows", [1, 2, 5, 200])
def test_western_letters_stay_windows_1252(tmp_path: Path, text: str, rows: int) -> None:
    words = [word for word in text.split() if not word.isascii()]
    for start in range(len(words)):
        chosen = [words[(start + n) % len(words)] for n in range(rows)]
        lines = ["click,site", *(f"{n % 2},{word}" for n, word in enumerate(chosen)), "1,news"]
        path = write(tmp_path / "x", "\n".join(lines) + "\n", "windows-1252")
        assert look(path).schema.format.encoding == "windows-1252", chosen
    log = "click,site,n\n" + "1,news,3\n0,shop,4\n" * 5000 + f"1,{words[0]},5\n"
    assert look(write(tmp_path / "x", log, "windows-1252")).schema.format.encoding == "windows-1252"


def test_utf8_with_broken_bytes_stays_utf8(tmp_path: Path) -> None:
    text = table("gb18030", 300).encode()
    (tmp_path / "x").write_bytes(text.replace("新闻".encode(), b"\xd0\xc2\xce\xc5", 2))
    found = look(tmp_path / "x")
    assert found.schema.format.encoding == "utf-8"
    assert found.skipped_rows == 2 and found.skipped[0].reason == "is not UTF-8 text"


@pytest.mark.parametrize("encoding", ["gb18030", "big5", "shift_jis", "euc-jp", "euc-kr"])
@pytest.mark.parametrize("quoted", [False, True])
def test_a_broken_character_costs_its_line_alone(
    tmp_path: Path, encoding: str, quoted: bool
) -> None:
    data = table(encoding, 2000).encode(CODECS.get(encoding, encoding))
    if quoted:
        data = data.replace(b",news,", b',"news",')
    lines = data.split(b"\n")
    lines[40] = b"1,\x81\x20x,y,7"
    lines[41] += b"\x85"
    path = tmp_path / "x"
    path.write_bytes(b"\n".join(lines[:-1]) + b"\n1,x,y,\x81")
    found = look(path)
    name = ENCODINGS[encoding].split(" (")[0]
    assert found.schema.format.encoding == encoding
    assert [(row.line, row.reason) for row in found.skipped] == [
        (line, f"is not {name} text") for line in (41, 42, 2002)
    ]
    assert found.sample_rows == 1998


def test_a_control_character_hides_no_encoding(tmp_path: Path) -> None:
    data = table("gb18030", 300).encode("gb18030").replace(b",news,", b",ne\0\x1bws,", 1)
    (tmp_path / "x").write_bytes(data)
    found = look(tmp_path / "x")
    assert found.schema.format.encoding == "gb18030"
    assert [row.reason for row in found.skipped] == ["holds a NUL byte"]


def test_a_wrong_choice_of_encoding_is_one_sentence(tmp_path: Path) -> None:
    path = write(tmp_path / "x", table("windows-1252", 400, ascii_share=0.0), "windows-1252")
    format = FileFormat("text", ",", header=True, encoding="euc-jp")
    with pytest.raises(DataError, match=r"is not EUC-JP text.*Choose another encoding"):
        inspect(path, settings=SETTINGS, schema=Schema(format, ()))


def test_a_file_beside_the_first_is_read_in_its_own_encoding(tmp_path: Path) -> None:
    text = table("gb18030", 200)
    chinese = write(tmp_path / "gbk", text, "gb18030")
    plain = write(tmp_path / "utf8", text, "utf-8")
    expected = cells(plain)
    for first in (chinese, plain):
        schema = look(first).schema
        for other in (chinese, plain):
            with open_agreed(other, schema, settings=SETTINGS) as reader:
                (batch,) = reader.batches()
            read = [list(row.values())[:-1] for row in batch.to_pylist()]
            assert read == expected
    # Where both are not UTF-8, the one agreed on holds.
    korean = replace(
        look(chinese).schema, format=replace(look(chinese).schema.format, encoding="euc-kr")
    )
    with open_agreed(chinese, korean, settings=SETTINGS) as reader:
        assert reader.format.encoding == "euc-kr"
