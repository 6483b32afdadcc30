"""A token stands for what was learned: shown as its user wrote it, and told to the model as a rare word."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from registry.card import Card
from vmc_cli.errors import IncompatibleError, UsageError

WORDS = ("pll", "sks", "zwx", "ohwx")
"""Rare words that a model knows nothing of, the first that is free is taken (V*, and DreamBooth)."""

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


def chosen(shown: str, prompt: str, taken: Iterable[Card]) -> Token:
    """The token ``shown``, with the first word that no motion of ``taken`` has.

    Raises UsageError when it cannot be a token, or when ``prompt`` does not say it.
    """
    shown = shown.strip()
    if not 0 < len(shown) <= LONGEST or not shown.isprintable() or len(shown.split()) != 1:
        raise UsageError(f"{shown!r} cannot be a token.", 'Choose one short word, like "V*".')
    used = {token.word for token in map(of, taken) if token}
    token = Token(shown, next((word for word in WORDS if word not in used), WORDS[0]))
    if not token.is_in(prompt):
        raise UsageError(
            f"The prompt does not say {shown}.", f'Say what it stands for: "a person doing the {shown}".'
        )
    return token


def agreed(prompt: str, cards: Sequence[Card]) -> None:
    """Raise unless the tokens of all motions can be told apart, and ``prompt`` says each of them.

    UsageError where one is not said, IncompatibleError where two motions have the same token or word.
    """
    tokens = [(card, token) for card in cards if (token := of(card))]
    for number, (card, token) in enumerate(tokens):
        for other, its in tokens[:number]:
            if token.shown == its.shown or token.word == its.word:
                same = token.shown if token.shown == its.shown else token.word
                raise IncompatibleError(
                    f"The motions {other.name} and {card.name} both have the token {same}.",
                    "Learn one of them again with another --token, while the other is there.",
                )
        if not token.is_in(prompt):
            raise UsageError(
                f"The prompt does not say {token.shown}, for which {card.name} stands.",
                f'Write something like "{card.prompt_used}".',
            )


def spoken(prompt: str, tokens: Iterable[Token]) -> str:
    """``prompt`` as the model is told it: each token as its word."""
    for token in tokens:
        prompt = _pattern(token.shown).sub(lambda _, word=token.word: word, prompt)  # type: ignore[misc]
    return prompt


def _pattern(shown: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w){re.escape(shown)}(?!\w)", re.IGNORECASE)
