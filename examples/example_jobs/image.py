"""image.resize: a photograph made smaller. It needs Pillow."""

import hashlib
import io
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from headrace.jobs import File, JobContext, job


@job("image.resize")
def resize(ctx: JobContext, file: str, width: int = 32, height: int = 32, output: str | None = None) -> File:
    """Make an image fit into width x height, with its proportions kept.

    An image that fits already stays as it is.

    file and output are paths on the machine of the worker. Without output, the result lies beside
    the file, under a name that ends in its size, such as photo-32x21.jpg.
    """
    if min(width, height) < 1:
        ctx.fail("BAD_SIZE", f"width and height are at least 1, not {width} and {height}")
    source = Path(file)
    ctx.set_total(3)
    with ctx.step("read"):
        try:
            image = Image.open(source)
            image.load()
        except (FileNotFoundError, UnidentifiedImageError) as error:
            ctx.fail("NO_IMAGE", str(error))
        ctx.advance()
    kind = image.format or "PNG"
    with ctx.step("resize"):
        before = image.size
        image.thumbnail((width, height), Image.Resampling.LANCZOS)
        ctx.message("info", f"{before[0]}x{before[1]} is now {image.width}x{image.height}")
        ctx.advance()
    with ctx.step("write"):
        made = io.BytesIO()
        image.save(made, kind)
        default = source.with_name(f"{source.stem}-{image.width}x{image.height}{source.suffix}")
        target = Path(output) if output else default
        target.write_bytes(made.getvalue())
        ctx.advance()
    ctx.set_result("width", image.width)
    ctx.set_result("height", image.height)
    return File(
        uri=target.resolve().as_uri(),
        media_type=Image.MIME.get(kind, ""),
        size=target.stat().st_size,
        digest=f"sha256:{hashlib.sha256(made.getvalue()).hexdigest()}",
    )
