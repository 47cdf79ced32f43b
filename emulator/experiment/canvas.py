"""What every picture of ours has in common: colours, line styles, fonts, and the way to a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette ("Color Universal Design", 2008) without its yellow, which vanishes on
# white: told apart by colour-blind readers, and by the line styles in a black and white print.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
STYLES: tuple[str | tuple[int, tuple[float, ...]], ...] = (
    "solid",
    (0, (6, 1.5)),
    (0, (1.2, 1.2)),
    (0, (6, 1.5, 1.2, 1.5)),
    (0, (3, 1, 1, 1, 1, 1)),
)
INK, SOFT, GRID, PAPER = "#222222", "#5c5c5c", "#dcdcdc", "#ffffff"

WIDTH = 4.5
"""Inches, of a picture in a page: on a phone its letters are large enough still, and on paper two
of them stand side by side."""

FileFormat = Literal["png", "pdf", "svg"]
_DPI = 160


@dataclass(frozen=True)
class Picture:
    """Something that can be drawn.

    Attributes:
        name: of its file, without the ending.
        title: what it shows, in a few words.
        alt: the same and what there is to see, for who cannot see it.
        caption: how it is to be read.
        width, height: in inches.
        draw: draws it on a figure of that size.
    """

    name: str
    title: str
    alt: str
    caption: str
    width: float
    height: float
    draw: Callable[[Figure], None]

    def save(self, file: BinaryIO, file_format: FileFormat, *, title: bool = True) -> None:
        """Draw it, and write it to an open file.

        Args:
            file: open for writing.
            file_format: of the file.
            title: whether the title stands in the picture.
        """
        with canvas(self.width, self.height) as figure:
            if title:
                figure.suptitle(self.title, x=0.01, ha="left", weight="bold", fontsize=11)
            self.draw(figure)
            # Without its date a picture of the same numbers is the same file.
            metadata = {"Date": None} if file_format == "svg" else None
            figure.savefig(file, format=file_format, metadata=metadata, dpi=_DPI)


@contextmanager
def canvas(width: float, height: float, *, layout: Any = "constrained") -> Iterator[Figure]:
    """A figure of that size in inches; draw on it and save it inside.

    The object interface and not pyplot: no global state, no display, and the caller's own figures
    stay as they are.
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with rc_context(
        {
            "font.family": "DejaVu Sans",
            "font.size": 10,
            "text.color": INK,
            "axes.edgecolor": SOFT,
            "axes.labelcolor": INK,
            "legend.frameon": False,
            # A name may hold a dollar sign, which is no formula.
            "text.parse_math": False,
            "svg.hashsalt": "build-vnf",
        }
    ):
        figure = Figure(figsize=(width, height), dpi=_DPI, layout=layout, facecolor=PAPER)
        FigureCanvasAgg(figure)
        yield figure


def look(number: int) -> dict[str, Any]:
    """Colour and line style of the line of that number; 35 of them differ."""
    return {
        "color": COLOURS[number % len(COLOURS)],
        "linestyle": STYLES[number % len(STYLES)],
    }


def plain(axes: Axes) -> None:
    """Axes with a light grid and no frame."""
    axes.grid(True, which="major", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(which="both", color=SOFT, labelcolor=INK)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def logarithmic(axes: Axes, which: Literal["x", "y"]) -> None:
    """A logarithmic axis with plain numbers, more of them where it spans little."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

    from emulator.experiment.words import grouped

    (axes.set_xscale if which == "x" else axes.set_yscale)("log")
    axis = axes.xaxis if which == "x" else axes.yaxis
    low, high = axes.get_xlim() if which == "x" else axes.get_ylim()
    narrow = high / low < 5000 if which == "x" else high / low < 100
    subs = (1.0, 2.0, 5.0) if narrow else (1.0,)
    axis.set_major_locator(LogLocator(base=10, subs=subs, numticks=12 if which == "x" else 6))
    # Each mark costs time, and on a small vertical axis they are too near to each other.
    minor = LogLocator(base=10, subs=tuple(range(2, 10)), numticks=99)
    axis.set_minor_locator(minor if which == "x" else NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: grouped(value)))
    axis.set_minor_formatter(NullFormatter())


def legend_text(label: str, longest: int = 32) -> str:
    """A label for a legend: in several lines where it is long."""
    text = label if len(label) <= longest else label.replace(",", ",\n")
    # Labels that begin so are kept out of a legend.
    return f" {text}" if text.startswith("_") else text
