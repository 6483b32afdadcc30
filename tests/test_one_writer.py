"""Rules over the syntax tree: one package writes files, and nothing ever loads a pickle."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
WRITER = "registry/files/"
# It rebuilds the embedded model's weights, which is a developer's work in a folder of their own.
WORKSHOP = "vmc_cli/backbones/sprites/"
# The child process of `vmc backbones convert`, which has no network and can start nothing.
UNPICKLER = "vmc_cli/backbones/pickled.py"
SHIPPED = sorted([*ROOT.glob("registry/**/*.py"), *ROOT.glob("vmc_cli/**/*.py")])
ALL = sorted([*SHIPPED, *ROOT.glob("tests/**/*.py"), *ROOT.glob("*.py"), *ROOT.glob("examples/**/*.py")])

# module.function
WRITING_FUNCTIONS = {
    "os": {
        *(
            "write",
            "pwrite",
            "writev",
            "fsync",
            "fdatasync",
            "link",
            "symlink",
            "rename",
            "renames",
            "replace",
        ),
        *("unlink", "remove", "removedirs", "rmdir", "mkdir", "makedirs", "mkfifo", "mknod", "truncate"),
        *("ftruncate", "chmod", "fchmod", "chown", "utime", "sendfile", "copy_file_range", "posix_fallocate"),
    },
    "shutil": {"copy", "copy2", "copyfile", "copyfileobj", "copytree", "move", "rmtree", "make_archive"},
    "tempfile": {"NamedTemporaryFile", "TemporaryFile", "mkstemp", "mkdtemp", "TemporaryDirectory"},
    "torch": {"save"},
    "numpy": {"save", "savez", "savez_compressed", "savetxt"},
    "np": {"save", "savez", "savez_compressed", "savetxt"},
    "safetensors": {"serialize_file"},
}
WRITING_NAMES = {"save_file", "serialize_file", "save_model"}
# Methods by which a Path, an array or a model writes.
WRITING_METHODS = {
    *("write_text", "write_bytes", "unlink", "rmdir", "mkdir", "touch", "symlink_to", "hardlink_to", "chmod"),
    *("tofile", "save_pretrained"),
}
WRITING_FLAGS = ("O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC", "O_APPEND")
OPENERS = {
    "",
    "io",
    "codecs",
    "gzip",
    "bz2",
    "lzma",
}  # take a path and then a mode; a Path's open() only a mode
MEMORY = {"av", "Image"}  # they read files, and encode into memory: clips are published as bytes
CAREFUL = "torch.load(weights_only=True)"
PICKLES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}


def called(call: ast.Call) -> tuple[str, str]:
    """What stands before the last dot of the called function, as far as it is a plain name, and after it."""
    if isinstance(call.func, ast.Attribute):
        owner = call.func.value
        return (owner.id if isinstance(owner, ast.Name) else "..."), call.func.attr
    return "", call.func.id if isinstance(call.func, ast.Name) else ""


def nowhere(call: ast.Call) -> bool:
    """Whether os.devnull is opened."""
    return bool(call.args) and ast.unparse(call.args[0]) == "os.devnull"


def mode_of(call: ast.Call, position: int) -> str | None:
    """The mode of an open(): None when it is not written out."""
    given = [word.value for word in call.keywords if word.arg == "mode"] + call.args[position : position + 1]
    if not given:
        return "r"
    return str(given[0].value) if isinstance(given[0], ast.Constant) else None


def written(call: ast.Call) -> str:
    """The call, when it changes the disk; "" when it does not."""
    owner, name = called(call)
    if name in WRITING_FUNCTIONS.get(owner, ()) or name in WRITING_NAMES:
        return f"{owner}.{name}"
    if name == "open" and owner not in MEMORY and not nowhere(call):
        if owner == "os":
            return "os.open to write" if any(flag in ast.dump(call) for flag in WRITING_FLAGS) else ""
        mode = mode_of(call, position=1 if owner in OPENERS else 0)
        return f"open({mode!r})" if mode is None or set(mode) & set("wax+") else ""
    if not owner or owner == "files":
        return ""
    one = len(call.args) == 1 and not call.keywords  # str.replace takes two, and so does Store.rename
    return f"{owner}.{name}" if name in WRITING_METHODS or (one and name in ("rename", "replace")) else ""


def writes(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """The lines of calls that change the disk, and what is called."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and (what := written(node)):
            yield node.lineno, what
        if isinstance(node, ast.ImportFrom) and node.module in WRITING_FUNCTIONS:
            for alias in node.names:
                if alias.name in WRITING_FUNCTIONS[node.module]:
                    yield node.lineno, f"from {node.module} import {alias.name}"


def pickles(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """The lines that could load a pickle, and how."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules = [alias.name.split(".")[0] for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules = [(node.module or "").split(".")[0]]
            if modules == ["torch"] and any(alias.name == "load" for alias in node.names):
                yield node.lineno, "from torch import load"
        else:
            modules = []
        for module in set(modules) & PICKLES:
            yield node.lineno, f"import {module}"
        if isinstance(node, ast.Call):
            owner, name = called(node)
            if (owner, name) == ("torch", "load"):
                careful = any(ast.unparse(word) == "weights_only=True" for word in node.keywords)
                yield node.lineno, CAREFUL if careful else "torch.load"
            if any(word.arg == "allow_pickle" for word in node.keywords):
                yield node.lineno, "allow_pickle"
            if owner == "importlib" and any(word in ast.dump(node) for word in PICKLES):
                yield node.lineno, "importlib of a pickle"


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", SHIPPED, ids=relative)
def test_only_one_package_writes(path: Path) -> None:
    if relative(path).startswith((WRITER, WORKSHOP)):
        return
    found = list(writes(ast.parse(path.read_text(encoding="utf-8"))))
    assert not found, "files are written by registry.files alone"


def test_the_writer_is_seen_writing() -> None:
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / WRITER).glob("*.py")]
    seen = {what for source in sources for _, what in writes(ast.parse(source))}
    assert {"os.write", "os.fsync", "os.link", "os.replace", "os.rename", "os.unlink", "os.mkdir"} <= seen
    assert "os.open to write" in seen


@pytest.mark.parametrize("path", ALL, ids=relative)
def test_nothing_loads_a_pickle(path: Path) -> None:
    found = [what for _, what in pickles(ast.parse(path.read_text(encoding="utf-8")))]
    assert found == ([CAREFUL] if relative(path) == UNPICKLER else [])


@pytest.mark.parametrize(
    "line",
    [
        'open(p, "w")',
        'open(p, mode="ab")',
        "open(p, mode)",
        'p.open("wb")',
        'Path(p).open("x")',
        "p.write_text(t)",
        "Path(p).write_bytes(b)",
        "p.unlink(missing_ok)",
        "p.rename(q)",
        "p.replace(q)",
        "p.mkdir()",
        "os.open(p, os.O_WRONLY)",
        "os.remove(p)",
        "os.makedirs(p)",
        "from os import unlink",
        "shutil.rmtree(p)",
        "torch.save(x, p)",
        "np.savez(p, x)",
        "save_file(t, p)",
        "tempfile.mkstemp()",
        "array.tofile(p)",
        "p.mkdir(parents=True)",
        "open(os.path.join(a, os.devnull), 'w')",
    ],
)
def test_this_rule_sees_what_writes(line: str) -> None:
    assert list(writes(ast.parse(line)))


@pytest.mark.parametrize(
    "line",
    [
        "open(p)",
        'open(p, "rb")',
        'open(p, encoding="utf-8")',
        'text.replace("a", "b")',
        "dataclasses.replace(card, name=n)",
        "moment.replace(tzinfo=None)",
        "store.rename(old, new)",
        "items.remove(x)",
        "os.open(p, os.O_RDONLY)",
        'sys.stdout.write("x")',
        "delta.save(slot)",
        "av.open(p)",
        'open(os.devnull, "w")',
        "files.rename(a)",
    ],
)
def test_this_rule_lets_pass_what_does_not(line: str) -> None:
    assert not list(writes(ast.parse(line)))


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "import marshal as m",
        "from pickle import loads",
        "torch.load(p)",
        "torch.load(p, weights_only=True)",
        "from torch import load",
        "np.load(p, allow_pickle=True)",
        'importlib.import_module("pickle")',
    ],
)
def test_this_rule_sees_a_pickle(line: str) -> None:
    assert list(pickles(ast.parse(line)))
