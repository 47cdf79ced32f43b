"""Pictures inside a page: SVG that follows the page's colours and shares no names with others."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape, quoteattr

from emulator.experiment.canvas import COLOURS, GRID, INK, PAPER, SOFT

if TYPE_CHECKING:
    from emulator.experiment.canvas import Picture

_VARIABLES = {
    **{colour.lower(): f"--c{number}" for number, colour in enumerate(COLOURS)},
    INK: "--ink",
    SOFT: "--soft",
    GRID: "--grid",
    PAPER: "--paper",
}
_COLOUR = re.compile("|".join(map(re.escape, _VARIABLES)))
_HEAD = re.compile(r"<svg[^>]*>", re.DOTALL)
_VIEW = re.compile(r'viewBox="([^"]*)"')
_ID = re.compile(r'\sid="([^"]*)"')
_PATH = re.compile(r'\sd="[^"]*"')
_DIGITS = re.compile(r"(\.\d\d)\d+")
_REFERENCE = re.compile(r"#([A-Za-z_][\w.-]*)")


def inline_svg(picture: Picture) -> str:
    """The picture as an element of HTML; its colours are the variables of the page's style."""
    file = io.BytesIO()
    picture.save(file, "svg", title=False)
    text = file.getvalue().decode()
    head = _HEAD.search(text)
    view = _VIEW.search(text)
    assert head is not None
    assert view is not None
    body = text[head.end() : text.rindex("</svg>")]
    body = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", body, flags=re.DOTALL)
    # A hundredth of a point is finer than any screen, and the page half as large.
    body = _PATH.sub(lambda found: _DIGITS.sub(r"\1", found.group()), body)
    body = _own_names(body, picture.name)
    body = _COLOUR.sub(lambda found: f"var({_VARIABLES[found.group()]})", body)
    return (
        f'<svg viewBox="{view.group(1)}" role="img" aria-label={quoteattr(picture.alt)} '
        f'xmlns:xlink="http://www.w3.org/1999/xlink">'
        f"<title>{escape(picture.title)}</title>{body}</svg>"
    )


def _own_names(body: str, prefix: str) -> str:
    """Names made unique by a prefix, and those that nobody refers to left out."""
    used = set(_REFERENCE.findall(re.sub(r"#[0-9a-f]{6}\b", "", body)))

    def renamed(found: re.Match[str]) -> str:
        name = found.group(1)
        return f' id="{prefix}-{name}"' if name in used else ""

    body = _ID.sub(renamed, body)
    return re.sub(r"(url\(#|href=\"#)", rf"\g<1>{prefix}-", body)
