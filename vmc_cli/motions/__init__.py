"""The two verbs whole: learn a motion from footage, generate a video that follows motions."""

from vmc_cli.motions.estimates import Estimate, of_generating, of_learning, require_layers
from vmc_cli.motions.footage import Footage
from vmc_cli.motions.generating import PREVIEW_STEPS, following, generate
from vmc_cli.motions.learning import Preview, file_sizes, learn
from vmc_cli.motions.reconstruction import reconstruction

__all__ = [
    "PREVIEW_STEPS",
    "Estimate",
    "Footage",
    "Preview",
    "file_sizes",
    "following",
    "generate",
    "learn",
    "of_generating",
    "of_learning",
    "reconstruction",
    "require_layers",
]
