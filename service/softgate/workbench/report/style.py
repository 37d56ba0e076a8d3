"""
Colours and layout of the page.

The figures are drawn in the light colours, and each becomes a variable of the style sheet, so that they follow the
page into the dark. Blue, orange and purple stay apart for the colour-blind, and differ in lightness too.
"""

LIGHT = {
    "ground": "#fbfbfa",
    "card": "#fffffe",
    "ink": "#1d2430",
    "muted": "#5a6372",
    "line": "#e3e5e9",
    "grid": "#eceef1",
    "blue": "#1667a8",
    "orange": "#c2500b",
    "purple": "#8452a4",
    "faint": "#b9cfe2",
    "good": "#1a6b4a",
    "caution": "#8a5a00",
    "bad": "#a8322a",
}
DARK = {
    "ground": "#14171c",
    "card": "#1b1f26",
    "ink": "#e8eaee",
    "muted": "#a3acb9",
    "line": "#2f353f",
    "grid": "#2a3039",
    "blue": "#6db3ec",
    "orange": "#f0935a",
    "purple": "#c39be0",
    "faint": "#36506a",
    "good": "#6fcfa2",
    "caution": "#e5b95c",
    "bad": "#f08d84",
}


def style() -> str:
    return f":root{{{_variables(LIGHT)}}}@media(prefers-color-scheme:dark){{:root{{{_variables(DARK)}}}}}{RULES}"


def _variables(colors: dict[str, str]) -> str:
    return ";".join(f"--{name}:{color}" for name, color in colors.items())


RULES = """
:root{color-scheme:light dark}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--ink);font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,
"Noto Sans","DejaVu Sans",sans-serif;font-variant-numeric:tabular-nums;overflow-wrap:anywhere;
-webkit-text-size-adjust:100%}
main,header,footer{max-width:1160px;margin:0 auto;padding:0 20px}
header{padding-top:36px}
h1{font-size:1.6rem;line-height:1.25;margin:0 0 4px;font-weight:650;letter-spacing:-.01em}
h2{font-size:1.25rem;margin:44px 0 12px;font-weight:650;scroll-margin-top:12px}
h3{font-size:1rem;margin:0 0 2px;font-weight:600}
p{margin:0 0 10px}
.muted,footer{color:var(--muted);font-size:.875rem}
.tiles{display:grid;grid-template-columns:repeat(4,1fr);gap:14px;margin:24px 0 0;padding:0;list-style:none}
.tile{display:flex;flex-direction:column;background:var(--card);border:1px solid var(--line);
border-top:4px solid var(--tone);border-radius:10px;padding:14px 16px 16px}
.tile h3{font-size:.95rem;margin:0}
.tile h3 a{color:inherit;text-decoration:none}
.tile h3 a:hover,.tile h3 a:focus{text-decoration:underline}
.verdict{color:var(--tone);font-weight:600;font-size:.9rem;margin:2px 0 8px;min-height:1.4em}
.figure{font-size:2.1rem;line-height:1.1;font-weight:650;letter-spacing:-.02em;margin:0}
.unit{color:var(--muted);font-size:.875rem;margin:2px 0 10px}
.tile .sentence{font-size:.95rem;line-height:1.42}
.tile .detail{color:var(--muted);font-size:.82rem;line-height:1.42;margin:auto 0 0}
.good{--tone:var(--good)}.caution{--tone:var(--caution)}.bad{--tone:var(--bad)}.unknown{--tone:var(--muted)}
.notes{margin:18px 0 0;padding:12px 18px 12px 34px;border-left:3px solid var(--line);font-size:.92rem}
.notes li{margin:2px 0}
.grid{display:grid;grid-template-columns:repeat(2,minmax(0,1fr));gap:14px}
figure,.card{margin:0;background:var(--card);border:1px solid var(--line);border-radius:10px;
padding:16px 18px;min-width:0}
.wide,.grid>:only-child{grid-column:1/-1}
figure svg{display:block;width:100%;height:auto;margin:6px 0 8px;max-width:560px}
figure svg *{stroke-linejoin:round;stroke-linecap:butt}
figcaption{font-size:.9rem}
details{margin-top:8px;font-size:.875rem}
summary{cursor:pointer;color:var(--muted)}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:.875rem;margin:6px 0}
caption{text-align:left;color:var(--muted);padding-bottom:6px}
th,td{text-align:right;padding:5px 8px;border-bottom:1px solid var(--line);vertical-align:top;font-weight:400}
thead th{color:var(--muted);vertical-align:bottom}
th,td{white-space:nowrap}.text,td:first-child{white-space:normal}
th:first-child,td:first-child,.text{text-align:left}
th:first-child,td:first-child{padding-left:0}th:last-child,td:last-child{padding-right:0}
tbody tr:last-child>*{border-bottom:0}
.bar{display:inline-block;vertical-align:middle;width:72px;height:8px;border-radius:2px;background:var(--grid);
margin-right:8px}
.bar i{display:block;height:100%;border-radius:2px;background:var(--blue)}
.text.digits{white-space:nowrap}td b{display:inline-block;min-width:3.6em;font-weight:400}
.wide .bar{width:clamp(72px,22vw,280px)}
.input{color:var(--muted);white-space:pre-wrap}
dl{display:grid;grid-template-columns:minmax(120px,max-content) 1fr;gap:4px 18px;margin:0;font-size:.875rem}
dt{color:var(--muted)}dd{margin:0}
code{font-family:ui-monospace,"DejaVu Sans Mono",Menlo,Consolas,monospace;font-size:.92em}
footer{margin-top:44px;padding-top:14px;padding-bottom:36px;border-top:1px solid var(--line)}
@media(max-width:1000px){.tiles{grid-template-columns:repeat(2,1fr)}}
@media(max-width:760px){.grid{grid-template-columns:minmax(0,1fr)}}
@media(max-width:560px){main,header,footer{padding-left:14px;padding-right:14px}header{padding-top:22px}
.tiles{grid-template-columns:minmax(0,1fr)}figure,.card{padding:14px 12px}.bar{display:none}
dl{grid-template-columns:minmax(0,1fr);gap:0}dd{margin-bottom:8px}h2{margin-top:34px}
th,td{padding:5px 4px}.extra{display:none}
.stacked thead{display:none}.stacked,.stacked tbody,.stacked tr,.stacked td{display:block}.stacked tr{padding:6px 0;
border-bottom:1px solid var(--line)}
.stacked td,.stacked .extra{display:flex;justify-content:space-between;gap:12px;border:0;padding:1px 0}
.stacked td::before{content:attr(data-name);color:var(--muted)}}
@media print{.tile,figure,.card{break-inside:avoid}}
"""
