"""Who plays: the motions and subjects that a command line names."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from registry import names
from registry.card import Card
from registry.errors import NotFound
from registry.store import Store
from vmc_cli import backbones, foreign, lora, terminal, textual_inversion, tokens
from vmc_cli.backbones import Spec
from vmc_cli.errors import NotFoundError, UsageError
from vmc_cli.foreign import SUFFIX
from vmc_cli.lora import Lora
from vmc_cli.recipe import MOTION, SUBJECT
from vmc_cli.textual_inversion import TextualInversion

Named = tuple[tuple[str, float], ...]
"""Names with strengths."""

_OPTIONS = {MOTION: "--motion", SUBJECT: "--subject"}


@dataclass(frozen=True)
class Cast:
    """The subjects of a video: learned ones, LoRA files, words from elsewhere."""

    learned: Named = ()
    loras: tuple[tuple[Lora, float], ...] = ()
    inversions: tuple[TextualInversion, ...] = ()

    def words(self) -> list[str]:
        """Each of them, with its strength."""
        strong = [*self.learned, *((each.name, strength) for each, strength in self.loras)]
        return [
            *(f"{name}:{strength:g}" for name, strength in strong),
            *(each.name for each in self.inversions),
        ]

    def worded(self) -> str:
        """All of them in one line."""
        return " ".join(self.words())


def card_of(name: str, kind: str = MOTION) -> Card:
    """The card of what is called ``name``.

    Raises UsageError when that is of another ``kind``, NotFoundError, and as `Store.card`.
    """
    try:
        card = Store.default().card(name)
    except NotFound as error:
        if kind == MOTION:
            raise
        hint = f"vmc list shows all that was learned; files end in {SUFFIX}."
        raise NotFoundError(f"There is no {kind} {name}.", hint) from error
    if card.kind != kind:
        hint = f"Name it with {_OPTIONS[card.kind]}." if card.kind in _OPTIONS else ""
        raise UsageError(f"{name} is a {card.kind}, not a {kind}.", hint)
    return card


def with_strengths(texts: Sequence[str], strength: float, kind: str = MOTION) -> Named:
    """Name and strength of each, NAME or NAME:STRENGTH. Raises BadName, UsageError (twins too)."""
    named = tuple(_with_strength(text, strength) for text in texts)
    if len({name for name, _ in named}) < len(named):
        raise UsageError(f"A {kind} is named twice.", "Name it once, with the strength that you want.")
    return named


def _with_strength(text: str, strength: float) -> tuple[str, float]:
    """The name and strength in NAME:STRENGTH; in NAME alone it is `strength`. Raises UsageError, BadName."""
    name, colon, number = text.partition(":")
    if not colon:
        return names.check(name), strength
    try:
        given = float(number)
    except ValueError:
        given = math.nan
    if not math.isfinite(given):
        raise UsageError(f"{text!r} has no strength after the colon.", f"Write {names.check(name)}:0.8")
    return names.check(name), given


def divided(texts: Sequence[str]) -> tuple[list[str], list[str]]:
    """What --subject was given: those that name files, by their suffix, and those that are names."""
    files = [text for text in texts if text.endswith(SUFFIX) or f"{SUFFIX}:" in text]
    return files, [text for text in texts if text not in files]


def cast(learned: Named, files: Sequence[str], spec: Spec, cards: Sequence[Card]) -> Cast:
    """Read ``files``, each FILE or FILE:STRENGTH, for this backbone; their tokens get words that no card has.

    Raises UsageError, IncompatibleError, Damaged, NotFoundError.
    """
    loras, inversions = [], []
    taken = [token for card in cards if (token := tokens.of(card))]
    for text in files:
        path, strength = _file(text)
        file = foreign.read(path)
        if not textual_inversion.is_one(file):
            loras.append((lora.of(file).matched(backbones.weight_shapes(spec)), strength))
            continue
        if strength != 1:
            raise UsageError(f"{file.name} holds a word, which has no strength.", "Leave out its strength.")
        found = textual_inversion.of(file, backbones.text_width(spec), taken)
        taken.append(found.token)
        inversions.append(found)
    return Cast(learned, tuple(loras), tuple(inversions))


def _file(text: str) -> tuple[Path, float]:
    file, number = (text, "1") if text.endswith(SUFFIX) else text.rpartition(":")[::2]
    try:
        strength = float(number)
    except ValueError:
        strength = math.nan
    if not file.endswith(SUFFIX) or not math.isfinite(strength):
        raise UsageError(f"{text!r} is no subject.", f"Write FILE{SUFFIX} or FILE{SUFFIX}:0.8")
    return Path(file), strength


def tell(cast: Cast) -> None:
    """Say how many layers LoRA files change; warn of keys that are not used."""
    for file, _ in cast.loras:
        used = f"{file.name}: {len(file.factors)} layers are used"
        if file.others:
            terminal.warn(f"{used}, {len(file.others)} keys are not: {', '.join(file.others[:3])}")
        else:
            terminal.say(f"{used}, and every key.")
