"""Methods of Hopping Too Late (Biran et al. 2024): two-hop queries, where they are solved, and back-patching."""
