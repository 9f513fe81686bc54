"""Names and texts people use in click logs: what they call labels, ids, times and amounts."""

import re
from typing import Final


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_LABEL_NAMES: Final = _words(
    """click clicked clicks isclick isclicked wasclicked clickflag clickyn clickornot hasclicked
    didclick clickedonad adclicked adclick label labels target y ytrue class outcome response ctr
    converted conversion isconverted convert conversions isconversion purchased purchase
    ispurchase bought buy isbuy installed install isinstalled subscribed subscribe isattributed
    attributed engaged engagement like liked islike finish isfinish watched churn churned event
    klick geklickt angeklickt clic cliqué acliqué clique clicado clicou cliccato clk isclk
    кликнул клик クリック 点击 是否点击 點擊 gekauft kauf achat compra interaction isinteraction
    positive ispositive booked booking opened isopened lbl hizoclic isbooking signup issignup
    result
    """
)
_LABEL_PARTS: Final = re.compile(r"click|label|target|convert|conversion|purchas")

POSITIVE: Final = _words(
    """1 true t yes y click clicked positive pos converted conversion purchase purchased bought
    buy installed install on engaged like liked ja oui si sí sim да 是 はい tak event success hit
    win won pass passed good geklickt"""
)
NEGATIVE: Final = _words(
    """0 -1 false f no n noclick notclick notclicked unclicked nonclick nonclicked negative neg
    notconverted noconversion nopurchase notpurchased impression view viewed skip skipped
    ignored off none nein non não нет 否 いいえ nie dislike notliked failure miss lose loss lost
    fail failed bad"""
)

_SPLIT: Final = re.compile(r"[\W_]+")
_CAMEL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")

_ID_WORDS: Final = _words("id uuid guid key hash index idx rowid sid token cookie")
_CODE_WORDS: Final = _ID_WORDS | _words(
    """code codes type category categories cat class group segment cluster zip zipcode postal
    postcode plz pos position slot version ver brand hour weekday dayofweek dow day month
    platform os model device gender sex country region city state site app domain channel
    campaign advertiser publisher creative browser language lang carrier status flag bucket
    tag tags isbn ip area"""
)
_NUMBER_WORDS: Final = _words(
    """age price prices cost costs amount count counts cnt num number qty quantity duration length
    score rate income salary minutes seconds secs mins hours days spent spend usage views view
    bid budget balance temperature distance lat latitude lon lng longitude since avg average
    mean sum total max min percent pct percentage ratio revenue value size width height weight
    volume depth rank frequency freq impressions visits sessions pages year years tenure
    experience discount margin profit sales rating ratings stars loan deposit"""
)
_TIME_WORDS: Final = _words(
    """time timestamp ts date datetime dt hour day datum zeit when at created updated utc local
    eventtime clicktime"""
)
_NOT_EVENT_WORDS: Final = _words(
    "birth birthday born dob expiry expires expiration end release released signup joined"
)


def words_of(name: str) -> list[str]:
    """A name in lower-case words: "deviceType" and "device_type" are both device, type."""
    return [word for word in _SPLIT.split(_CAMEL.sub("_", name).lower()) if word]


def squeezed(text: str) -> str:
    """Lower case, letters and digits alone, a minus before a digit kept: "No click" is noclick."""
    text = text.strip().lower()
    sign = "-" if re.match(r"-\d", text) else ""
    return sign + "".join(_SPLIT.split(text))


def is_label_name(name: str) -> bool:
    """Whether a column is called as labels are: clicked, Click?, label, y, is_click …"""
    return squeezed(name) in _LABEL_NAMES


def is_label_like(name: str) -> bool:
    """Whether a name speaks of clicks or labels in part: user_clicked_ad, target_flag."""
    return is_label_name(name) or _LABEL_PARTS.search(squeezed(name)) is not None


def is_id_name(name: str) -> bool:
    """Whether a name says id, key, uuid or index."""
    return bool(_ID_WORDS & set(words_of(name))) or squeezed(name) in ("rownumber", "unnamed0")


def is_code_name(name: str) -> bool:
    """Whether a name speaks of a code or category: type, zip, position, C14."""
    return bool(_CODE_WORDS & set(words_of(name))) or re.fullmatch(r"[cC]\d+", name) is not None


def is_number_name(name: str) -> bool:
    """Whether a name speaks of an amount: age, price, count, I7."""
    return bool(_NUMBER_WORDS & set(words_of(name))) or re.fullmatch(r"[iI]\d+", name) is not None


def is_time_name(name: str) -> bool:
    """Whether a name speaks of a moment: timestamp, created_at, hour."""
    words = set(words_of(name))
    return bool(_TIME_WORDS & words) or any(w.endswith(("time", "date")) for w in words)


def is_event_time_name(name: str) -> bool:
    """Whether a time is likely that of the impression itself, not a birthday or an expiry."""
    return not (_NOT_EVENT_WORDS & set(words_of(name)))


def names_amount(name: str) -> bool:
    """Whether the last word of a name is an amount and not a code: item_price, Area Income."""
    words = words_of(name)
    if not words or not is_number_name(name):
        return False
    return words[-1] not in _CODE_WORDS or re.fullmatch(r"[iI]\d+", name) is not None


def is_version_name(name: str) -> bool:
    """Whether a name speaks of a version, so that 14.2 is not a number."""
    return bool({"version", "ver", "os", "release", "build"} & set(words_of(name)))
