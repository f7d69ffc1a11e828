"""Methods of Function Vectors (Todd et al. 2024): in-context tasks, the heads that carry a task, and its function vector."""
