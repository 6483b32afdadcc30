"""A token stands for what was learned: shown as its user wrote it, and told to the model as a rare word."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from registry.card import Card
from vmc_cli.errors import IncompatibleError, UsageError

WORDS = ("pll", "sks", "zwx", "ohwx")
"""Rare words that a model knows nothing of (V*, and DreamBooth)."""

LONGEST = 40


@dataclass(frozen=True)
class Token:
    """``shown`` in prompts and to people, ``word`` to the model."""

    shown: str
    word: str

    def extra(self) -> dict[str, str]:
        """As a card keeps it."""
        return {"token": self.shown, "word": self.word}

    def is_in(self, prompt: str) -> bool:
        """Whether a prompt says it."""
        return _pattern(self.shown).search(prompt) is not None


def of(card: Card) -> Token | None:
    """The token of a motion; None for one without."""
    shown, word = card.extra.get("token"), card.extra.get("word")
    return Token(shown, word) if isinstance(shown, str) and isinstance(word, str) and shown and word else None


def checked(shown: str) -> str:
    """``shown`` without white space around it. Raises UsageError when it cannot be a token."""
    shown = shown.strip()
    if not 0 < len(shown) <= LONGEST or not shown.isprintable() or len(shown.split()) != 1:
        raise UsageError(f"{shown!r} cannot be a token.", 'Choose one short word, like "V*".')
    return shown


def chosen(shown: str, taken: Iterable[Token]) -> Token:
    """The token ``shown``, with the first of the words that fewest of ``taken`` have.

    Raises UsageError when it cannot be a token.
    """
    used = [token.word for token in taken]
    return Token(checked(shown), min(WORDS, key=used.count))


def require_said(prompt: str, token: Token) -> None:
    """Raise UsageError unless ``prompt`` says the token."""
    if not token.is_in(prompt):
        raise UsageError(
            f"The prompt does not say {token.shown}.",
            f'Say what it stands for: "a person doing the {token.shown}".',
        )


def apart(named: Sequence[tuple[str, Token]]) -> None:
    """Raise IncompatibleError unless all tokens, each with the name of whose it is, can be told apart."""
    for number, (name, token) in enumerate(named):
        for other, its in named[:number]:
            if token.shown.casefold() == its.shown.casefold():
                raise IncompatibleError(
                    f"{other} and {name} both have the token {token.shown}.",
                    "Learn one of them again with another --token.",
                )
            if token.word == its.word:
                raise IncompatibleError(
                    f"{other} and {name} are both told to the model as {token.word}.",
                    f"Learn one of them again; where each of {', '.join(WORDS)} is taken, first remove what "
                    "you do not need.",
                )


def agreed(prompt: str, cards: Sequence[Card], others: Sequence[tuple[str, Token]] = ()) -> None:
    """Raise unless the tokens of ``cards`` and ``others`` can be told apart, and ``prompt`` says each.

    UsageError where one is not said, IncompatibleError as `apart` does.
    """
    said = [(card.name, token, card.prompt_used) for card in cards if (token := of(card))]
    said += [(name, token, f"a {token.shown}") for name, token in others]
    apart([(name, token) for name, token, _ in said])
    for name, token, example in said:
        if not token.is_in(prompt):
            raise UsageError(
                f"The prompt does not say {token.shown}, for which {name} stands.",
                f'Write something like "{example}".',
            )


def spoken(prompt: str, tokens: Iterable[Token]) -> str:
    """``prompt`` as the model is told it: its tokens as their words, all at once."""
    known = sorted(tokens, key=lambda token: len(token.shown), reverse=True)
    if not known:
        return prompt
    either = "|".join(f"({re.escape(token.shown)})" for token in known)
    pattern = re.compile(rf"(?<!\w)(?:{either})(?!\w)", re.IGNORECASE)
    return pattern.sub(lambda found: known[(found.lastindex or 1) - 1].word, prompt)


def _pattern(shown: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w){re.escape(shown)}(?!\w)", re.IGNORECASE)
