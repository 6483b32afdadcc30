"""What can be run: `nox -s demo` is the main job, `nox -s tests` the tests, `nox -l` lists the rest."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import nox

nox.options.sessions = ["lint", "types", "layers", "tests"]
nox.options.reuse_existing_virtualenvs = True

HERE = Path(__file__).parent
LIMIT = 40 * 2**20  # bytes of the wheel: it carries a whole video model


def installed(session: nox.Session, *more: str) -> None:
    """vmc as it is here, with the tested versions. torch goes first, so that no other one is chosen."""
    session.install("-c", "constraints.txt", "torch")
    session.install("-c", "constraints.txt", "-e", ".", *more)


def tools(session: nox.Session, *names: str) -> None:
    session.install("-c", "constraints.txt", *names)


@nox.session
def tests(session: nox.Session) -> None:
    """The tests; arguments go to pytest."""
    installed(session, "pytest", "pytest-xdist", "hypothesis")
    threads = {"OMP_NUM_THREADS": "1"}  # the workers share the cores
    session.run("pytest", "-n", str(os.cpu_count() or 1), "--dist", "loadfile", *session.posargs, env=threads)


@nox.session
def stress(session: nox.Session) -> None:
    """The tests that take long: many kills, many mutants, many names."""
    installed(session, "pytest", "hypothesis")
    session.run("pytest", "-m", "stress", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """ruff: rules and format."""
    tools(session, "ruff")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """mypy --strict on the registry and all of vmc that needs no torch."""
    tools(session, "mypy", "typer", "numpy", "platformdirs")
    session.run("mypy")


@nox.session
def layers(session: nox.Session) -> None:
    """The import contracts of pyproject.toml."""
    tools(session, "import-linter")
    session.run("lint-imports", "--no-cache", env={"PYTHONPATH": str(HERE)})


@nox.session
def wheel(session: nox.Session) -> None:
    """Build the wheel and say how large it is."""
    tools(session, "build")
    folder = Path(session.create_tmp())
    session.run("python", "-m", "build", "--wheel", "--outdir", str(folder), str(HERE))
    (built,) = folder.glob("*.whl")
    size = built.stat().st_size
    with zipfile.ZipFile(built) as archive:
        names = archive.namelist()
    if size > LIMIT or not any(name.endswith("unet/diffusion_pytorch_model.safetensors") for name in names):
        session.error(f"{built.name} is too large ({size} bytes), or lacks its model")
    session.log(f"{built.name}: {size / 2**20:.1f} MiB, {len(names)} files")


@nox.session
def demo(session: nox.Session) -> None:
    """The main job: learn a motion from a clip in examples/, generate with it, print where the video is."""
    installed(session)
    out = HERE / "out"
    out.mkdir(exist_ok=True)
    home = {"VMC_HOME": str(out / "home")}
    clip = str(HERE / "examples" / "ladybug_circling.mp4")
    session.run("vmc", "learn", clip, "--prompt", "a ladybug is circling on the grass", "--replace", env=home)
    session.run("vmc", "list", env=home)
    video, sheet = out / "penguin.gif", out / "penguin.png"
    prompt = "a penguin is circling in the desert"
    shown = ("--seed", "3", "--out", str(video), "--sheet", str(sheet), "--force")
    session.run("vmc", "generate", "--motion", "ladybug_circle", prompt, *shown, env=home)
    session.log(f"the video is {video}, its frames side by side are {sheet}")


@nox.session
def gallery(session: nox.Session) -> None:
    """Make the pictures of docs/gallery: each thing that vmc does; arguments go to the script."""
    installed(session)
    session.run("python", "tests/benchmarks/gallery.py", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Say where the time goes here, and how much faster steps are than those of the papers."""
    installed(session)
    session.run("python", "tests/benchmarks/speed.py", *session.posargs)
    session.run("python", "tests/benchmarks/ratio.py")
    session.run("python", "tests/benchmarks/compiled.py")


@nox.session(name="bench-costs")
def bench_costs(session: nox.Session) -> None:
    """Count what a step of each published model takes, beside the step of the papers; arguments are names."""
    installed(session)
    session.run("python", "tests/benchmarks/costs.py", *session.posargs)


@nox.session(name="bench-methods")
def bench_methods(session: nox.Session) -> None:
    """Measure how well methods, noises and numbers keep a motion; arguments go to the benchmark."""
    installed(session)
    session.run("python", "tests/benchmarks/methods.py", *session.posargs)


@nox.session(name="bench-words")
def bench_words(session: nox.Session) -> None:
    """Judge what the embedded model makes of words alone; arguments go to the benchmark."""
    installed(session)
    session.run("python", "tests/benchmarks/denoising.py")
    session.run("python", "tests/benchmarks/words.py", *session.posargs)
