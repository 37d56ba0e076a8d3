"""
Text to token ids: the tokenizer that ships, and the spelling of its tokens.

The vocabulary is counted and sorted here rather than learned by a trainer of
the tokenizers library, whose result differs from run to run. Id 0 is padding.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from string import ascii_lowercase, digits

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

PADDING = "[PAD]"
UNKNOWN = "[UNK]"
CONTINUATION = "##"

MINIMUM_WORD_COUNT = 2
PREFIXES = 500
CONTINUATIONS = 1000
LONGEST_PIECE = 6


def build_tokenizer(texts: Iterable[str]) -> Tokenizer:
    """Whole words that occur twice or more, and frequent pieces to spell the others with."""
    normalizer = _normalizer()
    words = Counter(word for text in texts for word in normalizer.normalize_str(text).split())
    ids = {token: index for index, token in enumerate(_vocabulary(words))}
    tokenizer = Tokenizer(models.WordPiece(ids, unk_token=UNKNOWN, max_input_chars_per_word=64))
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return tokenizer


def tokens_of(tokenizer: Tokenizer) -> list[str]:
    """The tokens in the order of their ids."""
    vocabulary = tokenizer.get_vocab()
    return sorted(vocabulary, key=vocabulary.__getitem__)


def character_ngrams(token: str, *, shortest: int = 2, longest: int = 5) -> list[str]:
    """Spelling of a token, repeats included; a space marks where a word begins or ends."""
    if token in (PADDING, UNKNOWN):
        return [token]
    text = f"{token.removeprefix(CONTINUATION)} " if token.startswith(CONTINUATION) else f" {token} "
    return [text[i : i + n] for n in range(shortest, longest + 1) for i in range(len(text) - n + 1)]


def spellings(tokens: Sequence[str]) -> dict[int, list[int]]:
    """For each whole word, the ids of the smaller pieces that would spell it were it unknown."""
    ids = {token: index for index, token in enumerate(tokens)}
    words = [token for token in tokens if len(token) > 2 and not token.startswith((CONTINUATION, "["))]
    return {ids[word]: _pieces(word, ids) for word in words}


def _normalizer() -> normalizers.Normalizer:
    """Lower case, no accents; of punctuation only what the labels turn on: in-word apostrophes, sums, money."""
    return normalizers.Sequence(
        [
            normalizers.NFKD(),
            normalizers.StripAccents(),
            normalizers.Lowercase(),
            normalizers.Replace(Regex("[\u2018\u2019\u02bc`\u00b4]"), "'"),
            normalizers.Replace(Regex("(?<![a-z0-9])'|'(?![a-z0-9])"), " "),
            normalizers.Replace("$", " $ "),
            normalizers.Replace(Regex(r"[^\p{L}\p{N}'$%+*/= ]+"), " "),
        ]
    )


def _vocabulary(words: Counter[str]) -> list[str]:
    characters = {character for word in words for character in word} | set(ascii_lowercase + digits)
    prefixes: Counter[str] = Counter()
    continuations: Counter[str] = Counter()
    for word in (word for word in words if word.isalpha()):
        prefixes.update(word[:end] for end in range(2, min(LONGEST_PIECE, len(word) - 1) + 1))
        continuations.update(
            {
                word[start:end]
                for start in range(1, len(word))
                for end in range(start + 2, min(start + LONGEST_PIECE - 1, len(word)) + 1)
            }
        )
    whole = {word for word, count in words.items() if count >= MINIMUM_WORD_COUNT}
    first = characters | whole | _most_frequent(prefixes, PREFIXES)
    later = characters | _most_frequent(continuations, CONTINUATIONS)
    return [PADDING, UNKNOWN, *sorted(first), *sorted(CONTINUATION + piece for piece in later)]


def _most_frequent(counts: Counter[str], size: int) -> set[str]:
    # Ties are broken by spelling: a Counter would break them by order of arrival, which sets do not fix.
    return set(sorted(counts, key=lambda piece: (-counts[piece], piece))[:size])


def _pieces(word: str, ids: dict[str, int]) -> list[int]:
    """Longest match first, as WordPiece does it, with the whole word barred."""
    pieces: list[int] = []
    start = 0
    while start < len(word):
        mark = CONTINUATION if start else ""
        ends = range(len(word) if start else len(word) - 1, start, -1)
        end = next(end for end in ends if mark + word[start:end] in ids)
        pieces.append(ids[mark + word[start:end]])
        start = end
    return pieces
