"""HTML of the page's parts. Every word is escaped here; `inner` and a card's title are HTML already."""

from collections.abc import Mapping
from html import escape

from softgate.workbench.report.tables import Table
from softgate.workbench.report.words import printable


def card(title: str, inner: str, about: str = "", *, wide: bool = False) -> str:
    below = f'<p class="muted">{escape(about)}</p>' if about else ""
    return f'<div class="card{" wide" if wide else ""}"><h3>{title}</h3>{inner}{below}</div>'


def details(title: str, inner: str) -> str:
    return f"<details><summary>{escape(title)}</summary>{inner}</details>"


def table(
    content: Table, *, bars: int | None = None, stacked: bool = False, below: Mapping[int, str] | None = None
) -> str:
    """
    `bars`: the column of shares that are drawn too. `stacked`: too wide for a phone, where a row becomes a list.
    `below`: a text under a row, by the row's place.
    """
    head = "".join(
        f'<th scope="col"{_kind(content, place)}>{escape(title)}</th>' for place, title in enumerate(content.columns)
    )
    body = ""
    for number, row in enumerate(content.rows):
        body += f"<tr>{''.join(_cell(content, place, word, bar=place == bars) for place, word in enumerate(row))}</tr>"
        if below and number in below:
            said = f'<td class="text input" colspan="{len(row) - 1}">{name(below[number])}</td>'
            body += f"<tr><td></td>{said}</tr>"
    kind = ' class="stacked"' if stacked else ""
    return f'<div class="scroll"><table{kind}><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def definitions(content: Table) -> str:
    rows = "".join(f"<dt>{escape(title)}</dt><dd><code>{name(value)}</code></dd>" for title, value in content.rows)
    return f"<div class='card'><dl>{rows}</dl></div>"


def name(text: str) -> str:
    """Apart from the direction of what stands around it."""
    return f"<bdi>{escape(printable(text))}</bdi>"


def _cell(content: Table, place: int, word: str, *, bar: bool) -> str:
    drawn = f'<span class="bar" aria-hidden="true"><i style="width:{escape(word)}"></i></span>' if bar else ""
    inner = name(word) if place < content.texts else f"<b>{escape(word)}</b>" if bar else escape(word)
    kind = ' class="text digits"' if place < content.texts and word.isdigit() else _kind(content, place)
    return f'<td{kind} data-name="{escape(content.columns[place])}">{drawn}{inner}</td>'


def _kind(content: Table, place: int) -> str:
    kinds = ["text"] if place < content.texts else ["extra"] if content.columns[place] in content.extra else []
    return f' class="{kinds[0]}"' if kinds else ""
