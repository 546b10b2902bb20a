"""ARPAbet phones, silence among them, their groups, and the conversion of IPA symbols."""

from dataclasses import dataclass

SILENCE = 0
ARPABET = (
    "SIL AA AE AH AO AW AY EH ER EY IH IY OW OY UH UW B CH D DH F G HH JH K L M N NG P R S SH T TH V W Y Z ZH"
).split()
INDEX = {name: i for i, name in enumerate(ARPABET)}
VOWELS = frozenset(ARPABET[1:16])
CLOSED = frozenset("P B M".split())
LABIODENTAL = frozenset("F V".split())
OPEN = frozenset("AA AE AW AY".split())

# Phones that look alike.
VISEMES = tuple(
    frozenset(group.split())
    for group in ("SIL", "P B M", "F V", "TH DH", "T D N S Z L", "K G NG HH", "CH JH SH ZH", "R ER", "W UW UH OW OY",
                  "AA AE AH AY AW", "EH EY IH IY Y", "AO")
)  # fmt: skip


@dataclass(frozen=True)
class Phone:
    """A phone of `ARPABET` with its times in seconds, and how a vowel is stressed where that is known.

    `stress`: 1 primary, 2 secondary, 0 none, as the digits of cmudict.
    """

    name: str
    start: float
    end: float
    stress: int | None = None


# The longest prefix of a symbol decides. Sounds that English lacks map to those that look most like them on the lips.
_IPA = {
    "tʃ": "CH", "dʒ": "JH", "ts": "S", "dz": "Z", "pf": "F", "aɪ": "AY", "aʊ": "AW", "eɪ": "EY", "oʊ": "OW", "əʊ": "OW",
    "ɔɪ": "OY", "ɔø": "OY", "ɑɪ": "AY", "eə": "EH", "ɪə": "IY", "iə": "IY", "ʊə": "UH", "aɪə": "AY", "aɪɚ": "AY",
    "oːɹ": "AO", "ɔːɹ": "AO", "ɑːɹ": "AA", "ɛɹ": "EH", "ɪɹ": "IH", "ʊɹ": "UH", "əl": "L", "n̩": "N", "m̩": "M", "l̩": "L",
    "a": "AE", "æ": "AE", "ɐ": "AH", "ɑ": "AA", "ɒ": "AA", "ʌ": "AH", "ə": "AH", "ɘ": "AH", "ɚ": "ER", "ɜ": "ER",
    "ɝ": "ER", "ɞ": "ER", "ɛ": "EH", "e": "EY", "ø": "ER", "œ": "ER", "ɪ": "IH", "ᵻ": "IH", "ɨ": "IH", "i": "IY",
    "y": "UW", "ʏ": "UH", "ɯ": "IH", "o": "OW", "ɔ": "AO", "ɤ": "AH", "u": "UW", "ʉ": "UW", "ʊ": "UH", "b": "B",
    "β": "B", "p": "P", "m": "M", "ɱ": "M", "f": "F", "ɸ": "F", "v": "V", "ʋ": "V", "θ": "TH", "ð": "DH", "t": "T",
    "ʈ": "T", "d": "D", "ɖ": "D", "ɾ": "D", "n": "N", "ɳ": "N", "ɲ": "N", "ŋ": "NG", "k": "K", "c": "K", "q": "K",
    "ɡ": "G", "g": "G", "ɟ": "G", "h": "HH", "ɦ": "HH", "x": "HH", "χ": "HH", "ç": "HH", "ħ": "HH", "ɣ": "G", "s": "S",
    "z": "Z", "ʃ": "SH", "ʂ": "SH", "ɕ": "SH", "ʒ": "ZH", "ʐ": "ZH", "ʑ": "ZH", "l": "L", "ɫ": "L", "ʎ": "L", "ɬ": "L",
    "ɭ": "L", "r": "R", "ɹ": "R", "ɻ": "R", "ʀ": "R", "ʁ": "HH", "w": "W", "ʍ": "W", "ɥ": "W", "j": "Y", "ʝ": "Y",
    "ʔ": "HH", "ɵ": "UH",
}  # fmt: skip
_PREFIXES = sorted(_IPA, key=len, reverse=True)
_MARKS = str.maketrans("", "", "ˈˌːˑ̃̈̊ʰʲʷ‿͡|.'-")


def from_ipa(symbol: str) -> str | None:
    """An IPA symbol with its marks -> ARPAbet phone, SIL for a pause; None for any other symbol."""
    if symbol.strip("_:|!^;?*") == "":
        return "SIL"
    bare = symbol.translate(_MARKS)
    return next((_IPA[prefix] for prefix in _PREFIXES if bare.startswith(prefix)), None)


def from_arpabet(symbol: str) -> str | None:
    """``AE1`` -> AE; ``sp`` and ``sil`` -> SIL; None for anything else."""
    bare = symbol.rstrip("012").upper()
    if bare in ("SP", "SIL", "SPN", ""):
        return "SIL"
    return bare if bare in INDEX else None
