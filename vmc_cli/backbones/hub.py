"""Ask a model hub: which files a repository has, and their bytes from any place on.

`HF_ENDPOINT` chooses the hub, `HF_HUB_OFFLINE` forbids to ask, `HF_HUB_DOWNLOAD_TIMEOUT` (seconds) is how
long it may be silent: the names that its own library uses. No token is ever sent. What comes back is a
stranger's.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import vmc_cli
from vmc_cli.backbones import folders
from vmc_cli.backbones.cache import File, Record, is_inside
from vmc_cli.backbones.spec import Origin
from vmc_cli.errors import IncompatibleError, NetworkError

LONGEST_WAIT = 30.0
"""Seconds that a hub may ask us to wait; when it asks for more, the user decides."""

_LISTS = "/api/models/"
_CHUNK = 1 << 20
_LARGEST_LIST = 8 << 20
_SILENCE = 10.0
_LATER = "What was fetched is kept: the same command goes on from there."
_CHECK = f"Check the network, or let HF_ENDPOINT name a mirror. {_LATER}"
_SETTINGS = re.compile(
    r"(?:(?:scheduler|tokenizer|processor|preprocessor)_)?config\.json"
    r"|tokenizer\.json|vocab\.json|merges\.txt|special_tokens_map\.json|added_tokens\.json"
    r"|[^/]+\.index(?:\.\w+)?\.json"
)
_CLOSED = (401, 403, 404)  # any of them where there is nothing, and where there is something for some only


class TryAgain(Exception):
    """A fault that may be over in `wait` seconds; `sentence` says what it was."""

    def __init__(self, sentence: str, wait: float = 1.0) -> None:
        super().__init__(sentence)
        self.sentence, self.wait = sentence, wait

    def final(self) -> NetworkError:
        """As what the user is told when it was not over."""
        return NetworkError(self.sentence, _CHECK)


class Unlisted(NetworkError):
    """The hub has no repository of that name, or not for everybody."""


class Unusable(IncompatibleError):
    """A repository lacks what is needed, or has it as pickles only."""


def endpoint() -> str:
    """The address of the hub."""
    return (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")


def resolve(origin: Origin) -> Record:
    """The commit of ``origin`` and those of its files that are used.

    Raises NetworkError (Unlisted is one), Unusable, TryAgain.

    Of weights that are there in half precision too, only those are taken. Pickles are taken where a part has
    no safetensors.
    """
    path = f"{_LISTS}{origin.repository}/revision/{origin.revision or 'main'}?blobs=true"
    with _answer(path, 0) as response:
        text = response.read(_LARGEST_LIST)
    try:
        found = json.loads(text)
        commit, siblings = str(found["sha"]), list(found["siblings"])
        listed = {str(each["rfilename"]): _file(each) for each in siblings}
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise NetworkError(
            f"{endpoint()} does not answer as a model hub does.",
            "Is there a proxy that wants a login, or a wrong HF_ENDPOINT?",
        ) from error
    if not re.fullmatch(r"[0-9a-f]{40}", commit) or origin.revision not in (None, commit):
        raise NetworkError(f"{endpoint()} has another commit of {origin.repository} than was asked for.")
    wanted, pickles = _wanted(origin, listed)
    for name, digest in origin.sha256.items():
        if name not in wanted or wanted[name].sha256 != digest:
            raise NetworkError(
                f"{name} of {origin.repository} at {endpoint()} is not the published file.",
                "Do not use this mirror." if os.environ.get("HF_ENDPOINT") else "Please report this.",
            )
    return Record(commit, wanted, pickles)


def read(origin: Origin, commit: str, path: str, begin: int) -> Iterator[bytes]:
    """The bytes of a file from ``begin`` on. Raises NetworkError, TryAgain; may end too early."""
    quoted = urllib.parse.quote(path)
    with _answer(f"/{origin.repository}/resolve/{commit}/{quoted}", begin) as response:
        ahead = begin
        if response.status == http.client.PARTIAL_CONTENT:
            span = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
            if not span or int(span[1]) != begin:
                raise NetworkError(f"{endpoint()} sends another part of {path} than was asked for.")
            ahead = 0
        while chunk := response.read(_CHUNK):
            if len(chunk) > ahead:  # a server that knows no ranges begins at the beginning
                yield chunk[ahead:]
            ahead = max(0, ahead - len(chunk))


@contextmanager
def _answer(path: str, begin: int) -> Iterator[Any]:
    """The hub's answer to a GET. What goes wrong while it is read counts too."""
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        raise NetworkError("Files are missing, and HF_HUB_OFFLINE forbids to fetch them.", "Unset it first.")
    headers = {"User-Agent": f"vmc/{vmc_cli.__version__}", "Accept-Encoding": "identity"}
    if begin:
        headers["Range"] = f"bytes={begin}-"
    address = endpoint()
    if not address.startswith(("https://", "http://")):
        raise NetworkError(f"HF_ENDPOINT {address} is no web address.", "It looks like https://hub.example")
    try:
        request = urllib.request.Request(address + path, headers=headers)
        with urllib.request.urlopen(request, timeout=_silence()) as response:
            yield response
    except urllib.error.HTTPError as error:
        raise _refusal(error, path) from error
    except (OSError, http.client.HTTPException) as error:
        raise _breakdown(error) from error


def _silence() -> float:
    try:
        return max(0.1, float(os.environ["HF_HUB_DOWNLOAD_TIMEOUT"]))
    except (KeyError, ValueError):
        return _SILENCE


def _refusal(error: urllib.error.HTTPError, path: str) -> Exception:
    where = f"{endpoint()} answers {error.code} ({error.reason}) to {path.partition('?')[0]}"
    if error.code == http.client.TOO_MANY_REQUESTS or error.headers.get("Retry-After"):
        wait = _seconds(error.headers.get("Retry-After"))
        if wait > LONGEST_WAIT:
            return NetworkError(f"{where} and asks to wait for {wait:.0f} s.", f"Try again then. {_LATER}")
        return TryAgain(f"{where}.", wait)
    if error.code >= 500:
        return TryAgain(f"{where}.")
    kind = Unlisted if path.startswith(_LISTS) and error.code in _CLOSED else NetworkError
    return kind(
        f"{where}.", "The repository may have been renamed, closed or taken down; HF_ENDPOINT names a mirror."
    )


def _breakdown(error: Exception) -> Exception:
    """What to make of a connection that failed. One that was there and broke may come back."""
    reason = getattr(error, "reason", error)
    if isinstance(reason, TimeoutError):
        return NetworkError(f"{endpoint()} has been silent for {_silence():g} s.", _CHECK)
    if isinstance(error, urllib.error.URLError):
        return NetworkError(f"{endpoint()} cannot be reached: {reason}.", _CHECK)
    return TryAgain(f"The connection to {endpoint()} broke: {reason or type(reason).__name__}.")


def _seconds(text: str | None) -> float:
    """A Retry-After. A date in it counts as longer than we wait."""
    if text is None:
        return 1.0
    return float(text) if re.fullmatch(r"\d{1,6}", text.strip()) else LONGEST_WAIT + 1


def _file(sibling: dict[str, Any]) -> File:
    large = sibling.get("lfs")
    if large:
        return File(int(large["size"]), sha256=_hex(large["sha256"], 64))
    return File(int(sibling["size"] or 0), git=_hex(sibling["blobId"], 40))


def _hex(text: str, digits: int) -> str:
    if not re.fullmatch(rf"[0-9a-f]{{{digits}}}", text):
        raise ValueError(text)
    return text


def _wanted(origin: Origin, listed: dict[str, File]) -> tuple[dict[str, File], dict[str, File]]:
    """The files that are used as they are, and the pickles that are not."""
    found: dict[str, File] = {}
    pickles: dict[str, File] = {}
    for part in origin.parts:
        prefix = "" if part == "." else f"{part}/"
        inside = [name for name in listed if is_inside(name) and name.rpartition("/")[0] == prefix[:-1]]
        names = [name.removeprefix(prefix) for name in inside]
        settings = [name for name in names if _SETTINGS.fullmatch(name)]
        weights = [name for name in names if folders.WEIGHTS.fullmatch(name)]
        pickled = [name for name in names if folders.PICKLES.fullmatch(name) and name.endswith(".bin")]
        if not settings or (not weights and not pickled and part in (*folders.WEIGHED, ".")):
            what = "weights" if settings else "files"
            where = "" if part == "." else f" for {part}"
            message = f"{origin.repository} has no {what}{where} that can be used."
            raise Unusable(message, "Another revision may.")
        found |= {prefix + name: listed[prefix + name] for name in (*settings, *_smallest(weights))}
        if not weights:
            pickles |= {prefix + name: listed[prefix + name] for name in _smallest(pickled)}
    return dict(sorted(found.items())), dict(sorted(pickles.items()))


def _smallest(weights: list[str]) -> list[str]:
    """Those in half precision, or else all."""
    return [name for name in weights if ".fp16" in name] or weights
