"""Methods of Function Vectors (Todd et al. 2024): in-context tasks, the heads that carry them, and their vector."""
