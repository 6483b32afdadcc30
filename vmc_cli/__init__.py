"""Learn a motion from a video clip and generate new videos with it."""

__version__ = "0.1.0"
