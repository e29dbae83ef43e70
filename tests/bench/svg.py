# SPDX-License-Identifier: MIT
"""Bar charts as SVG, readable on a light and on a dark page, without a library."""

from xml.sax.saxutils import escape

WIDTH, LABELS, VALUES = 760, 210, 110
BAR, GAP, TOP = 20, 8, 64

STYLE = """
    .page { fill: #ffffff; }
    text { font: 13px system-ui, sans-serif; fill: #24292f; }
    .title { font-weight: 600; font-size: 15px; }
    .note { fill: #57606a; font-size: 12px; }
    .bar { fill: #8c959f; } .ours { fill: #0969da; } .floor { fill: #bf8700; }
    .range { stroke: #24292f; stroke-width: 1.5; }
    .grid { stroke: #d0d7de; }
    @media (prefers-color-scheme: dark) {
        .page { fill: #0d1117; }
        text { fill: #e6edf3; } .note { fill: #9198a1; }
        .bar { fill: #656c76; } .ours { fill: #4493f8; } .floor { fill: #d29922; }
        .range { stroke: #e6edf3; } .grid { stroke: #3d444d; }
    }
"""


class Bar:
    """kind: ours, floor or bar. least and most are drawn as a line across the bar's end."""

    def __init__(self, label, value, least, most, kind="bar"):
        self.label = label
        self.value = value
        self.least = least
        self.most = most
        self.kind = kind


def short(value):
    """Three digits and a unit: 5.02 M, 87.1 k."""
    for unit, size in ((" M", 1e6), (" k", 1e3)):
        if value >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


def _line(x1, y1, x2, y2, kind):
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _bar(bar, y, scale):
    x = LABELS + bar.value * scale
    least, most = LABELS + bar.least * scale, LABELS + bar.most * scale
    middle = y + BAR / 2
    return [
        f'<text x="{LABELS - 10}" y="{middle + 5:.1f}" text-anchor="end">{escape(bar.label)}</text>',
        f'<rect class="{bar.kind}" x="{LABELS}" y="{y}" width="{max(1.0, x - LABELS):.1f}" '
        f'height="{BAR}" rx="2"/>',
        _line(least, middle, most, middle, "range"),
        f'<text x="{max(x, most) + 8:.1f}" y="{middle + 5:.1f}">{short(bar.value)}</text>',
    ]


def chart(title, note, bars):
    """One horizontal bar for each Bar, from the most to the least."""
    bars = sorted(bars, key=lambda bar: -bar.value)
    height = TOP + len(bars) * (BAR + GAP) + GAP
    scale = (WIDTH - LABELS - VALUES) / max((bar.most for bar in bars), default=1)
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
             f'width="{WIDTH}" height="{height}" role="img" aria-label="{escape(title)}">',
             f"<style>{STYLE}</style>",
             f'<rect class="page" width="{WIDTH}" height="{height}" rx="6"/>',
             f'<text class="title" x="12" y="24">{escape(title)}</text>',
             f'<text class="note" x="12" y="44">{escape(note)}</text>',
             _line(LABELS, TOP - 6, LABELS, height - GAP / 2, "grid")]
    for index, bar in enumerate(bars):
        parts += _bar(bar, TOP + index * (BAR + GAP), scale)
    return "\n".join([*parts, "</svg>", ""])
