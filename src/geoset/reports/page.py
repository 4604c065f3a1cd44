"""Self-contained HTML pages: no network, no scripts, readable on a phone."""

import base64
import html
import io
import re
from collections.abc import Sequence

from PIL import Image

STYLE = """
:root { color-scheme: light dark; --ink: #1c2430; --soft: #667; --line: #d8dde5; --mark: #2f6fde;
  --paper: #fff; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ef; --soft: #9aa4b2; --line: #333b48;
  --mark: #7aa7ff; --paper: #14181f; } }
body { font: 16px/1.55 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 62rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { font-size: 1.7rem; margin: 0 0 .3rem; } h2 { font-size: 1.2rem; margin: 2.4rem 0 .5rem; }
p, figcaption { max-width: 46rem; } figcaption, .soft { color: var(--soft); font-size: .9rem; }
figure { margin: 1rem 0; overflow-x: auto; }
img { width: 100%; height: auto; }
.chart { background: #fff; border-radius: 6px; width: fit-content; min-width: 100%; }
.chart svg { width: 100%; height: auto; display: block; }
summary { cursor: pointer; color: var(--mark); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; margin: .8rem 0; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .8rem; border-bottom: 1px solid var(--line); text-align: right;
  white-space: nowrap; }
th, td:first-child, td.words { white-space: normal; } td.words { min-width: 9rem; }
th:first-child, td:first-child { text-align: left; min-width: 7rem; }
pre { background: color-mix(in srgb, var(--line) 35%, transparent); padding: .7rem 1rem;
  overflow-x: auto; border-radius: 6px; font-size: .85rem; }
"""
LONGEST_FIGURE = 24  # letters, such as "61.3 ± 0.4 (5) [61.7]"
SMALLEST = 0.6  # of the size that a picture is drawn at: its words stay readable, it scrolls


def page(title: str, lead: str, sections: Sequence[tuple[str, Sequence[str]]]) -> str:
    """Build a page from (heading, HTML blocks) sections; `lead` is plain text."""
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
        "<meta name='viewport' content='width=device-width, initial-scale=1'>",
        f"<title>{html.escape(title)}</title><style>{STYLE}</style></head><body>",
        f"<h1>{html.escape(title)}</h1>{text(lead)}",
    ]
    for heading, blocks in sections:
        parts += [f"<h2>{html.escape(heading)}</h2>", *blocks]
    return "\n".join([*parts, "</body></html>\n"])


def folded(summary: str, blocks: Sequence[str]) -> str:
    """Blocks that a click on their summary shows."""
    inside = "\n".join(blocks)
    return f"<details><summary>{html.escape(summary)}</summary>{inside}</details>"


def text(words: str) -> str:
    """A paragraph."""
    return f"<p>{html.escape(words)}</p>"


def code(words: str) -> str:
    """A block of literal text."""
    return f"<pre>{html.escape(words)}</pre>"


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table."""
    head = "".join(f"<th>{html.escape(heading)}</th>" for heading in headings)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    return f"<div class='wide'><table><tr>{head}</tr>{body}</table></div>"


def _cell(words: str) -> str:
    """A cell; only what is longer than a figure is broken into lines."""
    kind = " class=words" if len(words) > LONGEST_FIGURE else ""
    return f"<td{kind}>{html.escape(words)}</td>"


def picture(image: Image.Image, caption: str) -> str:
    """An image, stored inside the page."""
    stream = io.BytesIO()
    image.save(stream, format="PNG", optimize=True)
    data = base64.b64encode(stream.getvalue()).decode()
    caption = html.escape(caption)
    size = f"style='min-width:{SMALLEST * image.width:.0f}px'"
    source = f"<img {size} src='data:image/png;base64,{data}' alt='{caption}'>"
    return f"<figure>{source}<figcaption>{caption}</figcaption></figure>"


def chart(svg: str, caption: str) -> str:
    """An SVG drawing, stored inside the page."""
    caption, width = html.escape(caption), re.search(r'width="([\d.]+)pt"', svg)
    if width:  # 1 pt = 4/3 px
        size = f"style='min-width:{SMALLEST * 4 / 3 * float(width[1]):.0f}px'"
        svg = svg.replace("<svg", f"<svg {size}", 1)
    return f"<figure><div class='chart'>{svg}</div><figcaption>{caption}</figcaption></figure>"
