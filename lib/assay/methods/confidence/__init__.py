"""Methods of confidence papers (Kadavath et al. 2022 and others): preferences, and directions at one token of a prompt."""
