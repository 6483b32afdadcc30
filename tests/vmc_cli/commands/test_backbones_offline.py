"""What was fetched once is used without a network."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.hubs import serving

ROW = "modelscope"
# Nothing but `pull` may open a socket, no import either.
DRIVER = """
import sys
from pathlib import Path
pulling = False
def hook(event, arguments):
    if not pulling and event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
        raise SystemExit(f"{event} {arguments}")
sys.addaudithook(hook)
from tests.vmc_cli.conftest import write_tiny_model
from vmc_cli import app
repository, name, *generate = sys.argv[1:]
write_tiny_model(Path(repository))
pulling = True
pulled = app.main(["backbones", "pull", name])
pulling = False
sys.exit(pulled or app.main(generate))
"""


def test_once_fetched_it_is_used_without_a_socket(here: Path, tmp_path: Path) -> None:
    wish = ["generate", "a cat", "--backbone", ROW, "--steps", "1", "--guidance", "1", "--out", "a.gif"]
    with serving(tmp_path / "repository") as hub:
        kept = {key: value for key, value in os.environ.items() if key != "HF_HUB_OFFLINE"}
        done = subprocess.run(
            [sys.executable, "-c", DRIVER, str(hub.folder), ROW, *wish],
            cwd=here,
            env={
                **kept,
                "HF_ENDPOINT": hub.url,
                "no_proxy": "127.0.0.1",
                "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            },
            capture_output=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode()
        assert hub.asked
    assert (here / "a.gif").stat().st_size
