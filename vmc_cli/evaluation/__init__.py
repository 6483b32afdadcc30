"""What was kept of the motion, of the prompt, and of nothing else."""
