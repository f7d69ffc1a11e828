"""Methods of the confidence papers (Kadavath et al. 2022 and others): preferences, and directions at a place of a prompt."""
