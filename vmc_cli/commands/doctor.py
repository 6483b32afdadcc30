"""vmc doctor"""

from __future__ import annotations

from dataclasses import asdict

from vmc_cli import health, terminal
from vmc_cli.commands import options
from vmc_cli.errors import Partly


def command(json: options.Json = False) -> None:
    """Look at what vmc needs, and say what is wrong.

    Versions, device and memory, kernels, folders, motions, unfinished runs, leftovers, and which models there
    is memory for. The exit code is 0 when all is well, else that of the first thing that is wrong.
    """
    terminal.say("Looking at libraries, device and disk...")
    findings = list(health.examined())
    wrong = [finding for finding in findings if finding.problem]
    if json:
        terminal.emit_json({"ok": not wrong, "checks": [asdict(finding) for finding in findings]})
    else:
        terminal.emit_fields([(finding.name, _told(finding)) for finding in findings])
    if wrong:
        names = ", ".join(finding.name for finding in wrong)
        hint = next((finding.hint for finding in wrong if finding.hint), "")
        raise Partly(f"Something is wrong with {names}.", hint, wrong[0].code)


def _told(finding: health.Finding) -> str:
    if not finding.problem:
        return finding.value
    return ". ".join(part for part in (finding.value, f"WRONG: {finding.problem}", finding.hint) if part)
