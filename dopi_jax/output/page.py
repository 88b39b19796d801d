"""A page that shows a prediction in a browser: a flip book, a cloud of points to turn, and the camera's path."""

import base64
import html
import io
import json
import pathlib
import string
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image

from dopi_jax import formats

_MOST_POINTS = 120_000  # of the page; all of them are in cloud.ply


def write_page(
    path: pathlib.Path,
    title: str,
    facts: Mapping[str, str],
    files: Mapping[str, str],
    pictures: Sequence[str],
    cloud: tuple[np.ndarray, np.ndarray] | None,
    trajectory: np.ndarray | None,
) -> None:
    """Writes the page; but for the pictures, which lie beside it, it needs nothing else.

    Args:
      path: The file.
      title: Its headline.
      facts: What is told in a table.
      files: What the files are, by name.
      pictures: Places of the flip book's pictures, relative to the page.
      cloud: Points float32 [N, 3] and colours uint8 [N, 3].
      trajectory: Plot of the camera's path, uint8 [H, W, 3].
    """
    template = string.Template((pathlib.Path(__file__).parent / "page.html").read_text(encoding="utf-8"))
    page = template.substitute(
        title=html.escape(title),
        facts=_rows(facts),
        files=_rows(files),
        pictures=json.dumps(list(pictures)),
        path=json.dumps(trajectory is not None),
        trajectory="" if trajectory is None else _data_url(trajectory),
        cloud=json.dumps(None if cloud is None or not len(cloud[0]) else _cloud(*cloud)),
    )
    formats.write_bytes(path, page.encode())


def _rows(table: Mapping[str, str]) -> str:
    return "".join(f"<tr><td>{html.escape(name)}</td><td>{html.escape(text)}</td></tr>" for name, text in table.items())


def _data_url(picture: np.ndarray) -> str:
    encoded = io.BytesIO()
    Image.fromarray(picture).save(encoded, "PNG")
    return f"data:image/png;base64,{base64.b64encode(encoded.getvalue()).decode()}"


def _cloud(points: np.ndarray, colours: np.ndarray) -> dict:
    step = max(1, -(-len(points) // _MOST_POINTS))
    points, colours = points[::step], colours[::step]
    centre = np.median(points, axis=0)
    return {
        "count": len(points),
        "points": base64.b64encode(points.astype("<f4").tobytes()).decode(),
        "colours": base64.b64encode(colours.tobytes()).decode(),
        "centre": centre.tolist(),
        "reach": float(np.percentile(np.linalg.norm(points - centre, axis=1), 80)),
    }
