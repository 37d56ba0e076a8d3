"""Bodies that mean harm: JSON that is none, JSON that parsers read in different ways, and JSON of the wrong form."""

import json

from hypothesis import strategies as st

SECRET = "hunter2"
# Each stands for one of the values below.
HOLE = b"@"
PLACES: tuple[bytes, ...] = (
    b"@",
    b'{"inputs": @}',
    b'{"inputs": [@]}',
    b'{"inputs": [[@]]}',
    b'{"inputs": [1, 2, 3, @]}',
    b'{"inputs": [[1, 2, 3, @]]}',
    b'{"inputs": {"a": @}}',
    b'{"inputs": "rain", "top_k": @}',
    b'{"inputs": "rain", "top_p": @}',
    b'{"inputs": "rain", "id": @}',
    b'{"inputs": "rain", "seed": @}',
    b'{"inputs": "rain", "select": @}',
    b'{"inputs": "rain", "profile": @}',
    b'{"inputs": "rain", "temperature": @}',
    b'{"inputs": "rain", "logits": @}',
    b'{"inputs": "rain", "hunter2": @}',
    b'{"inputs": "rain", "inputs": @}',
)
VALUES: tuple[bytes, ...] = (
    # No JSON.
    b"",
    b" ",
    b"\0",
    b"\xff\xfe",
    b"\xef\xbb\xbf1",
    b"NaN",
    b"Infinity",
    b"-Infinity",
    b"nan",
    b"undefined",
    b"True",
    b"'hunter2'",
    b"hunter2",
    b"01",
    b"+1",
    b"1.",
    b".5",
    b"1e",
    b"0x10",
    b"1_000",
    b"--1",
    b"1 2",
    b"[1,]",
    b"[,1]",
    b'{"a" 1}',
    b'{"a":}',
    b"{a: 1}",
    b"// hunter2\n1",
    b"/* hunter2 */ 1",
    b'"hunter2',
    b'"\\x41"',
    b'"\\u12"',
    b'"\\ud800"',
    b'"\\udc00\\ud800"',
    b'"\xed\xa0\x80"',
    b'"\xc0\xaf"',
    b'"\xf5\x80\x80\x80"',
    b'"a\nb"',
    b'"a\0b"',
    b'"\x1f"',
    # Numbers at the edges.
    b"0",
    b"-0",
    b"-1",
    b"-0.0",
    b"1e39",
    b"-1e39",
    b"3.4028235e38",
    b"3.5e38",
    b"1e308",
    b"1e309",
    b"-1e999999999",
    b"1e-999999999",
    b"5e-324",
    b"9" * 400,
    b"1" + b"0" * 100_000,
    b"0." + b"0" * 100_000 + b"1",
    b"2147483648",
    b"9007199254740993",
    b"9223372036854775807",
    b"9223372036854775808",
    b"-9223372036854775809",
    b"18446744073709551616",
    # Texts.
    b'""',
    b'"hunter2"',
    b'"\\u0000"',
    b'"\\ud83d\\ude00"',
    json.dumps("\u202e\u2066\ufeff\uffff\u0301" * 50, ensure_ascii=False).encode(),
    json.dumps("e\u0301" * 30_000, ensure_ascii=False).encode(),
    b'"' + b"a" * 32_768 + b'"',
    b'"' + b"a" * 32_769 + b'"',
    b'"' + b"\\u0061" * 20_000 + b'"',
    b'"__proto__"',
    b'"${jndi:ldap://hunter2}"',
    b'"\' OR 1=1 --"',
    b'"../../etc/passwd"',
    b'"1.5"',
    b'"NaN"',
    # Other kinds of values.
    b"null",
    b"true",
    b"false",
    b"[]",
    b"{}",
    b"[[]]",
    b"[null]",
    b'[""]',
    b"[{}]",
    b'["hunter2", 7]',
    b'[1, "hunter2"]',
    b'[["a", "b", "hunter2"]]',
    b'{"hunter2": "hunter2"}',
    b'{"a": 1, "a": 2}',
    b'{"": ""}',
    b'{"__class__": "hunter2"}',
    # Many and deep.
    b"[" * 100_000,
    b"[" * 50_000 + b"]" * 50_000,
    b'{"a":' * 30_000,
    b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    b"[" + b"[]," * 40_000 + b"[]]",
    b"[" + b"{}," * 40_000 + b"{}]",
    b"[" + b'"",' * 40_000 + b'""]',
    b"[" + b"1," * 60_000 + b"1]",
    b"[" + b"null," * 30_000 + b"null]",
    b"{" + b",".join(b'"k%d": 1' % number for number in range(10_000)) + b"}",
    b'{"' + b"k" * 100_000 + b'": 1}',
    b" " * 150_000 + b"1",
)
CORPUS: tuple[bytes, ...] = tuple(dict.fromkeys(place.replace(HOLE, value) for place in PLACES for value in VALUES))

# JSON that may be anything, as text with now and then a byte changed.
ANY_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from([SECRET, "rain", "send money"]),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)
FIELDS = ("inputs", "top_k", "top_p", "id", "seed", "select", "profile", "temperature", "logits")
BODIES = st.dictionaries(st.sampled_from(FIELDS), ANY_JSON).map(lambda body: {"inputs": "rain"} | body) | ANY_JSON


@st.composite
def broken(draw: st.DrawFn) -> bytes:
    """The JSON of something, with a few bytes put in place of others."""
    content = bytearray(json.dumps(draw(BODIES)).encode())
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(content)))
        content[start : start + draw(st.integers(0, 4))] = draw(st.binary(max_size=4))
    return bytes(content)
