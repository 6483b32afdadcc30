"""Several motions as one, which does what they do together."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timezone

import torch
from torch import Tensor

from registry.errors import Damaged
from vmc_cli import __version__
from vmc_cli.adapters import weights as adapted
from vmc_cli.delta import LARGEST_RANK, LARGEST_WEIGHT, Delta
from vmc_cli.errors import IncompatibleError, UsageError

_FACTOR = re.compile(r"(unet\..+)\.lora_[AB]\.weight")

_KEPT = ("start_noise", "start_latents", "preview")  # of the first

Parts = Sequence[tuple[Delta, float]]


def blended(parts: Parts, name: str) -> Delta:
    """One motion, called ``name``, that adds to a network what ``parts`` add with their strengths.

    Low-rank motions keep their factors side by side, so the ranks add up; with one of full weights among
    them, the sums are full. Start noise, preview and prompts are the first motion's.

    Raises:
        Damaged: a motion's tensors are not those that its card tells.
        UsageError: the sum cannot be stored.
    """
    _require_alike(parts)
    ranks = [delta.card.recipe.get("rank") for delta, _ in parts]
    if all(type(rank) is int for rank in ranks) and sum(ranks) <= LARGEST_RANK:
        rank, weights = sum(ranks), _side_by_side(parts)
    else:
        rank, weights = None, _summed([(_dense(delta), strength) for delta, strength in parts])
    weights = {key: value.half() for key, value in weights.items()}
    if not all(value.abs().amax() <= LARGEST_WEIGHT for value in weights.values()):  # false for NaN too
        raise UsageError("The blend has numbers that are far too large.", "Choose smaller strengths.")
    first, cards = parts[0][0], [delta.card for delta, _ in parts]
    trains = dict.fromkeys(key for card in cards for key in card.recipe.get("trains", ()))
    card = replace(
        first.card,
        name=name,
        method="blend",
        recipe={**first.card.recipe, "method": "blend", "paper": "", "rank": rank, "trains": list(trains)},
        sources=tuple(dict.fromkeys(source for card in cards for source in card.sources)),
        versions={**first.card.versions, "vmc": __version__},
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        seconds=sum(card.seconds for card in cards),
        steps=sum(card.steps for card in cards),
        extra={"blend": " ".join(f"{delta.card.name}:{strength:g}" for delta, strength in parts)},
    )
    kept = {key: first.tensors[key] for key in _KEPT if key in first.tensors}
    return Delta(card, {**weights, **kept})


def _side_by_side(parts: Parts) -> dict[str, Tensor]:
    """Factors whose product is the sum of all products: B = [s1 B1, s2 B2, ...], A = [A1; A2; ...]."""
    pairs = [_pairs(delta) for delta, _ in parts]
    found = {}
    for site in dict.fromkeys(site for each in pairs for site in each):
        down, up = next(each[site] for each in pairs if site in each)
        downs, ups = [], []
        for each, (delta, strength) in zip(pairs, parts, strict=True):
            rank = delta.card.recipe["rank"]
            nothing = down.new_zeros(rank, *down.shape[1:]), up.new_zeros(len(up), rank, *up.shape[2:])
            mine = each.get(site, nothing)
            if mine[0].shape != nothing[0].shape or mine[1].shape != nothing[1].shape:
                raise _damaged(delta, f"{site} is not of rank {rank}, or of another size than elsewhere")
            downs.append(mine[0])
            ups.append(strength * mine[1])
        found[f"{site}.lora_A.weight"] = torch.cat(downs)
        found[f"{site}.lora_B.weight"] = torch.cat(ups, dim=1)
    return found


def _summed(parts: Sequence[tuple[Mapping[str, Tensor], float]]) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for tensors, strength in parts:
        for key, value in tensors.items():
            found[key] = found[key] + strength * value if key in found else strength * value
    return found


def _require_alike(parts: Parts) -> None:
    """Raise IncompatibleError unless the tensors of all motions act in the same way."""
    (first, _), *others = parts
    for delta, _ in others:
        one, other = _way(first), _way(delta)
        if differing := [key for key in one if one[key] != other[key]]:
            names = f"{first.card.name} and {delta.card.name}"
            raise IncompatibleError(
                f"The motions {names} cannot be one: they differ in {differing[0]}.",
                "Name both with --motion when you generate.",
            )


def _way(delta: Delta) -> dict[str, object]:
    """In which way its tensors act."""
    told = {key: delta.card.recipe.get(key) or None for key in ("adapter", "blocks", "values")}
    return {**told, "where they act": delta.span}


def _dense(delta: Delta) -> dict[str, Tensor]:
    """Every weight's whole difference; motion embeddings as they are."""
    if delta.card.recipe.get("adapter") == "embedding":
        return {key: value.float() for key, value in delta.weights.items()}
    if type(delta.card.recipe.get("rank")) is int:
        return {f"{site}.diff": adapted.product(*pair) for site, pair in _pairs(delta).items()}
    if wrong := [key for key in delta.weights if not key.endswith(".diff")]:
        raise _damaged(delta, f"it holds {wrong[0]}, which does not belong to full weights")
    return {key: value.float() for key, value in delta.weights.items()}


def _pairs(delta: Delta) -> dict[str, tuple[Tensor, Tensor]]:
    """(A, B) of each module, float32."""
    found = {}
    for key in delta.weights:
        match = _FACTOR.fullmatch(key)
        sides = [f"{match[1]}.lora_{side}.weight" for side in "AB"] if match else [""]
        if match is None or not delta.tensors.keys() >= set(sides):
            raise _damaged(delta, f"{key} has no counterpart")
        found[match[1]] = (delta.tensors[sides[0]].float(), delta.tensors[sides[1]].float())
    return found


def _damaged(delta: Delta, problem: str) -> Damaged:
    return Damaged(f"The motion {delta.card.name} cannot be used: {problem}.", "Learn it again.")
