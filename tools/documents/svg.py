"""How drawings look, and their bytes: the same figure gives the same ones.

Matplotlib takes most of a second to import, so only what draws does so.
"""

import io
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["BLUE", "GREEN", "GREY", "ORANGE", "PURPLE", "as_svg", "blank"]

BLUE, ORANGE, GREEN, PURPLE, GREY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#555555"
"""Colours of Okabe and Ito's palette, which people with any colour vision can tell apart."""

STYLE: dict[str, Any] = {
    "svg.hashsalt": "safeact-env",  # ids of the drawing are made from it instead of at random
    "svg.fonttype": "path",  # so that it looks the same wherever it is shown
    "font.family": "DejaVu Sans",  # comes with matplotlib
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.axisbelow": True,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "figure.facecolor": "white",  # a page may be dark
    "savefig.facecolor": "white",
}


LETTERS = 9
"""How many letters of a title an inch surely takes."""


@contextmanager
def blank(width: float, height: float, title: str) -> Iterator["Figure"]:
    """A figure of this size, in inches, with its title and nothing else, to be drawn in `STYLE`."""
    from matplotlib import style
    from matplotlib.figure import Figure

    with style.context(["default", STYLE]):
        figure = Figure(figsize=(width, height), layout="constrained")
        lines = textwrap.fill(title, int(LETTERS * width))
        figure.suptitle(lines, x=0.01, ha="left", fontsize=11, fontweight="bold")
        yield figure


def as_svg(figure: "Figure") -> bytes:
    """The bytes of a figure that was made in `STYLE`, without a date."""
    import matplotlib

    out = io.BytesIO()
    title = " ".join(figure.get_suptitle().split())
    about = {"Date": None, "Creator": f"matplotlib {matplotlib.__version__}", "Title": title}
    figure.savefig(out, format="svg", metadata=about)
    return b"".join(line.rstrip() + b"\n" for line in out.getvalue().splitlines())
