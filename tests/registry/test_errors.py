from __future__ import annotations

from registry import errors


def test_exit_codes_are_the_published_ones() -> None:
    published = {
        "BadName": 2,
        "Damaged": 4,
        "NotFound": 5,
        "Exists": 6,
        "Busy": 6,
        "Incompatible": 7,
        "DiskError": 8,
    }
    found = {kind.__name__: kind.code for kind in errors.RegistryError.__subclasses__()}
    assert found == published


def test_an_error_is_its_sentence() -> None:
    error = errors.Exists("There is one already.", "Choose another name.")
    assert (str(error), error.message, error.hint) == (error.message, "There is one already.", error.hint)
    assert errors.Busy("x").hint == ""
