"""Just enough SVG for the pictures of the docs."""

from __future__ import annotations

from html import escape

#: Colours that can be told apart in a bright and in a dark page, on the picture's own white ground.
INK, GREY, PALE = "#1f2933", "#8896a5", "#eef2f6"
BLUE, GREEN, RED, AMBER = "#2563eb", "#15803d", "#c2410c", "#b45309"

_HEAD = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"'
    ' viewBox="0 0 {width} {height}" font-family="system-ui, sans-serif" font-size="13">'
)
_MARKER = (
    '<defs><marker id="{name}" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7"'
    ' orient="auto-start-reverse"><path d="M0 0L10 5L0 10z" fill="{colour}"/></marker></defs>'
)


class Svg:
    """A picture that grows by shapes; lengths are pixels, the origin is the upper left corner.

    Args:
        width: of the picture.
        height: of the picture.
        title: what a reader who cannot see it is told.
    """

    def __init__(self, width: int, height: int, title: str) -> None:
        self._parts = [_HEAD.format(width=width, height=height), f"<title>{escape(title)}</title>"]
        for colour in (INK, GREY, BLUE, RED):
            self._parts.append(_MARKER.format(name=colour[1:], colour=colour))
        self.rect(0, 0, width, height, fill="#ffffff", radius=8)

    def rect(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        *,
        fill: str = "#ffffff",
        line: str = "none",
        radius: float = 4,
        dashed: bool = False,
    ) -> None:
        """Add a rectangle."""
        dash = ' stroke-dasharray="4 3"' if dashed else ""
        self._parts.append(
            f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="{radius:g}"'
            f' fill="{fill}" stroke="{line}"{dash}/>'
        )

    def circle(self, x: float, y: float, radius: float, *, fill: str) -> None:
        """Add a disc."""
        self._parts.append(f'<circle cx="{x:g}" cy="{y:g}" r="{radius:.2f}" fill="{fill}"/>')

    def text(
        self,
        x: float,
        y: float,
        words: str,
        *,
        colour: str = INK,
        anchor: str = "start",
        bold: bool = False,
        size: int = 13,
    ) -> None:
        """Add a line of text, whose baseline begins (or is centred, or ends) at a point."""
        weight = ' font-weight="600"' if bold else ""
        self._parts.append(
            f'<text x="{x:g}" y="{y:g}" fill="{colour}" text-anchor="{anchor}" font-size="{size}"'
            f"{weight}>{escape(words)}</text>"
        )

    def line(
        self,
        start: tuple[float, float],
        end: tuple[float, float],
        *,
        colour: str = GREY,
        arrow: bool = False,
        bend: float = 0,
        width: float = 1.4,
        dashed: bool = False,
    ) -> None:
        """Add a line, bent sideways by so many pixels at its middle."""
        (x, y), (to_x, to_y) = start, end
        length = max(1.0, ((to_x - x) ** 2 + (to_y - y) ** 2) ** 0.5)
        # Both control points of the curve lie beside the line, a third of the way from its ends.
        over_x, over_y = 4 / 3 * bend * (to_y - y) / length, -4 / 3 * bend * (to_x - x) / length
        points = " ".join(
            f"{x + share * (to_x - x) + over_x:.1f} {y + share * (to_y - y) + over_y:.1f}"
            for share in (1 / 3, 2 / 3)
        )
        curve = f"C{points} {to_x:.1f} {to_y:.1f}" if bend else f"L{to_x:.1f} {to_y:.1f}"
        head = f' marker-end="url(#{colour[1:]})"' if arrow else ""
        dash = ' stroke-dasharray="4 3"' if dashed else ""
        self._parts.append(
            f'<path d="M{x:.1f} {y:.1f}{curve}" fill="none"'
            f' stroke="{colour}" stroke-width="{width:g}"{dash}{head}/>'
        )

    def __str__(self) -> str:
        """The file's content."""
        return "\n".join([*self._parts, "</svg>"]) + "\n"
