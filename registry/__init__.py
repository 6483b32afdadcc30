"""The motions that were learned on this machine. Nothing here imports torch or numpy."""
