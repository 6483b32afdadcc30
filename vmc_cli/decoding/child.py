"""The child process: set its bounds, do one request, answer on what was stdout."""

from __future__ import annotations

import json
import os
import traceback
from contextlib import suppress
from typing import Any

from vmc_cli.errors import ClipError

# The first bytes of the pictures that Pillow reads better than FFmpeg: animated WebP at all, GIF delays as
# browsers play them, APNG with its disposal.
_PICTURES = {
    b"GIF8": "GIF",
    b"\x89PNG": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"BM": "BMP",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
}


def main(request: dict[str, Any]) -> None:
    """Answer `request` with one line of JSON and raw bytes after it; always exits with 0 when it could."""
    reply = os.dup(1)
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, 1)  # a library that prints must not get between our bytes
    _limit(request["memory"], request["seconds"])
    name = request["name"]
    body = b""
    try:
        answer, body = _do(request)
    except ClipError as error:
        answer = {"error": error.message, "hint": error.hint}
    except MemoryError:
        answer = {
            "error": f"{name} needs more memory than a clip may.",
            "hint": "Make it smaller first: ffmpeg -i IN -vf scale=-2:480 OUT.mp4",
        }
    except Exception as error:  # what libraries raise on damaged files is not theirs alone to say
        if os.environ.get("VMC_DEBUG"):
            traceback.print_exc()
        answer = {
            "error": f"{name} cannot be read: it is damaged, or not a clip ({type(error).__name__}).",
            "hint": "Play it to see; converting often helps: ffmpeg -i IN -c:v libx264 OUT.mp4",
        }
    with os.fdopen(reply, "wb") as stream:
        stream.write(json.dumps({**answer, "size": len(body)}).encode() + b"\n")
        stream.write(body)
    os._exit(0)  # nothing is worth waiting for in the libraries' own endings


def _limit(memory: int, seconds: int) -> None:
    with suppress(ImportError):  # Windows has none; the parent's clock still holds there
        import resource

        bounds = {resource.RLIMIT_AS: memory, resource.RLIMIT_CPU: seconds, resource.RLIMIT_CORE: 0}
        for what, most in bounds.items():
            with suppress(ValueError, OSError):  # macOS refuses an address space below the present one
                resource.setrlimit(what, (most, most))


def _do(request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    from . import pictures, video
    from .timeline import Wish

    path, name = request["path"], request["name"]
    kind = "folder" if os.path.isdir(path) else _picture(path)
    if request["action"] == "metadata":
        return {"text": pictures.comment(path, kind) if kind else video.comment(path, name)}, b""
    if request["action"] == "picture":
        wish = Wish(name=name, frames=1, height=request["height"], width=request["width"])
        return {}, pictures.read_picture(path, kind, wish).tobytes()
    wish = Wish(
        name=name,
        frames=request["frames"],
        height=request["height"],
        width=request["width"],
        trim=tuple(request["trim"]) if request["trim"] else None,
        sample_fps=request["sample_fps"],
    )
    if kind == "folder":
        frames, fps = pictures.read_folder(path, wish)
    elif kind:
        frames, fps = pictures.read_animation(path, kind, wish)
    else:
        frames, fps = video.read(path, wish)
    return {"fps": fps}, b"".join(frame.tobytes() for frame in frames)


def _picture(path: str) -> str:
    """The picture format by the file's first bytes, "" for anything else."""
    with open(path, "rb") as stream:
        first = stream.read(16)
    if first[:4] == b"RIFF" and first[8:12] == b"WEBP":
        return "WEBP"
    return next((kind for magic, kind in _PICTURES.items() if first.startswith(magic)), "")
