"""Building blocks of a report page: the one place where text becomes HTML.

`Html` is a type of its own, and `text` is the only way from a string of unknown origin to it, so that forgetting to
escape is a type error. No script, no external resource: the page opens offline and shows untrusted text safely.
"""

import base64
import html
from collections.abc import Mapping, Sequence
from typing import NewType

Html = NewType("Html", str)
"""Text that is HTML already."""

_STYLE = """
:root{--ink:#1f2933;--muted:#616e7c;--line:#e4e7eb;--soft:#f5f7fa;--accent:#2f6fb0;--good:#2e8b57;--bad:#c0413b}
*{box-sizing:border-box}
body{font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;color:var(--ink);margin:0;background:#fff}
main{max-width:1020px;margin:0 auto;padding:24px 20px 64px}
h1{font-size:26px;margin:8px 0 4px}
h2{font-size:19px;margin:40px 0 10px;padding-bottom:6px;border-bottom:2px solid var(--line)}
h3{font-size:15px;margin:20px 0 6px}
nav a{color:var(--accent);text-decoration:none;margin-right:16px}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{text-align:right;padding:6px 10px;border-bottom:1px solid var(--line);white-space:nowrap}
th:first-child,td:first-child{text-align:left}
th{color:var(--muted);font-weight:600;font-size:13px}
small{color:var(--muted);font-size:12px}
img{max-width:100%;display:block;margin:16px 0}
.scroll{overflow-x:auto}
.tiles{display:flex;flex-wrap:wrap;gap:10px;margin:16px 0}
.tile{background:var(--soft);border-radius:8px;padding:10px 16px;min-width:112px}
.tile b{display:block;font-size:21px}
.tile span,.note{color:var(--muted);font-size:13px}
.note{overflow-wrap:anywhere}
.chip{display:inline-block;background:var(--soft);border:1px solid var(--line);border-radius:10px;padding:0 8px;
margin-left:6px;font-size:12px;color:var(--muted)}
.chip.good{background:var(--good);color:#fff;border:0;margin:0 8px 0 0}
.chip.bad{background:var(--bad);color:#fff;border:0;margin:0 8px 0 0}
details{border:1px solid var(--line);border-radius:8px;padding:8px 14px;margin:8px 0}
details[open]{padding-bottom:14px}
summary{cursor:pointer}
.verdict{background:#fdf3f2;border-left:3px solid var(--bad);padding:8px 12px;margin:12px 0}
.bubble{max-width:78%;width:fit-content;border-radius:12px;padding:6px 12px;margin:6px 0;background:var(--soft);
overflow-wrap:anywhere;white-space:pre-wrap}
.bubble small{display:block}
.bubble i{display:block;color:var(--muted)}
.bubble code,.bubble.tool span{font:12.5px/1.45 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
.bubble code{display:block}
.bubble.user{background:#e3edf8;margin-left:auto}
.bubble.tool{border:1px dashed #cbd2d9;background:#fff;margin-left:24px}
.bubble.system{background:#fffbe6;max-width:100%}
.bubble.refused{border-color:var(--bad)}
.bubble.cited{box-shadow:0 0 0 2px var(--bad)}
.remark{background:#fffbe6;border-left:3px solid #c9971c;padding:8px 12px;margin:12px 0}
.verdict,.remark{overflow-wrap:anywhere}
.tile.bad b{color:var(--bad)}
.tile.good b{color:var(--good)}
.gate{margin:6px 0;padding:5px 12px;background:#fff}
.numbers{width:auto;font-size:13.5px;margin:8px 0}
.numbers td{padding:3px 14px 3px 0;border:0}
.numbers .wide{width:220px}
.bar{background:var(--soft);border-radius:4px;height:9px;width:200px;overflow:hidden}
.bar i{display:block;background:var(--accent);height:100%}
.ids{columns:2;font-size:12.5px;margin:8px 0;padding-left:20px;overflow-wrap:anywhere}
code{font:12.5px/1.45 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
@media print{details{break-inside:avoid}}
"""


def text(value: str) -> Html:
    """Escape a string of any origin; half characters that UTF-8 can't write are replaced."""
    clean = value.encode("utf-8", "replace").decode("utf-8")
    return Html(html.escape(clean, quote=True))


def element(tag: str, *children: Html, css: str = "") -> Html:
    """One element; tag and class are ours, never data."""
    attribute = f' class="{css}"' if css else ""
    return Html(f"<{tag}{attribute}>{''.join(children)}</{tag}>")


def joined(parts: Sequence[Html]) -> Html:
    """Parts one after the other."""
    return Html("\n".join(parts))


def chip(label: str, kind: str = "") -> Html:
    """A small label."""
    return element("span", text(label), css=f"chip {kind}".strip())


def image(png: bytes, alternative: str) -> Html:
    """A PNG as a data URI."""
    data = base64.b64encode(png).decode("ascii")
    return Html(f'<img alt="{text(alternative)}" src="data:image/png;base64,{data}">')


def table(header: Sequence[str], lines: Sequence[Sequence[Html]]) -> Html:
    """A table, first column left, the others right."""
    head = element("tr", *(element("th", text(name)) for name in header))
    body = [element("tr", *(element("td", cell) for cell in line)) for line in lines]
    return element("div", element("table", head, *body), css="scroll")


def section(anchor: str, title: str, body: Html) -> Html:
    """A section that the page's navigation can reach."""
    return Html(f'<section id="{text(anchor)}">{element("h2", text(title))}{body}</section>')


def page(title: str, links: Mapping[str, str], sections: Sequence[Html]) -> str:
    """The whole document; its policy forbids scripts and any load from elsewhere.

    Args:
        title: Of the window and on top.
        links: Name -> `#anchor` of a section, or the file name of a page in the same folder.
        sections: What follows.
    """
    anchors = [Html(f'<a href="{text(target)}">{text(name)}</a>') for name, target in links.items()]
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{text(title)}</title><style>{_STYLE}</style></head><body><main>"
        f"{element('h1', text(title))}{element('nav', *anchors)}{joined(sections)}</main></body></html>\n"
    )
