"""
Text to token ids: the tokenizer that ships, and how its tokens are spelt.

The vocabulary is counted and sorted here rather than learned by a trainer of
the tokenizers library, whose result differs from run to run. Id 0 is padding.
"""

from collections import Counter
from collections.abc import Iterable
from string import ascii_lowercase

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

PADDING = "[PAD]"
UNKNOWN = "[UNK]"
CONTINUATION = "##"

MINIMUM_WORD_COUNT = 2
PREFIXES = 300
CONTINUATIONS = 600
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


def spelling(token: str, *, shortest: int = 2, longest: int = 4) -> list[str]:
    """Its character n-grams, repeats included, and the token itself; a space marks where a word begins or ends."""
    if token in (PADDING, UNKNOWN):
        return []
    text = f"{token.removeprefix(CONTINUATION)} " if token.startswith(CONTINUATION) else f" {token} "
    ngrams = [text[i : i + n] for n in range(shortest, longest + 1) for i in range(len(text) - n + 1)]
    return [*ngrams, f"token {token}"]


def _normalizer() -> normalizers.Normalizer:
    """Lower case, no accents, one digit for every number; of punctuation only apostrophes within words."""
    return normalizers.Sequence(
        [
            normalizers.NFKD(),
            normalizers.StripAccents(),
            normalizers.Lowercase(),
            normalizers.Replace(Regex("[\u2018\u2019\u02bc`\u00b4]"), "'"),
            normalizers.Replace(Regex("(?<![a-z])'|'(?![a-z])"), " "),
            normalizers.Replace(Regex(r"\p{N}+"), "0"),
            normalizers.Replace(Regex(r"[^\p{L}0' ]+"), " "),
        ]
    )


def _vocabulary(words: Counter[str]) -> list[str]:
    prefixes: Counter[str] = Counter()
    continuations: Counter[str] = Counter()
    for word in words:
        prefixes.update(word[:end] for end in range(2, min(LONGEST_PIECE, len(word) - 1) + 1))
        continuations.update(
            {
                word[start:end]
                for start in range(1, len(word))
                for end in range(start + 2, min(start + LONGEST_PIECE - 1, len(word)) + 1)
            }
        )
    characters = set(ascii_lowercase + "0'")
    whole = {word for word, count in words.items() if count >= MINIMUM_WORD_COUNT}
    first = characters | whole | _most_frequent(prefixes, PREFIXES)
    later = characters | _most_frequent(continuations, CONTINUATIONS)
    return [PADDING, UNKNOWN, *sorted(first), *sorted(CONTINUATION + piece for piece in later)]


def _most_frequent(counts: Counter[str], size: int) -> set[str]:
    # Ties are broken by spelling: a Counter would break them by order of arrival, which sets do not fix.
    return set(sorted(counts, key=lambda piece: (-counts[piece], piece))[:size])
