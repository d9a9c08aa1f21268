"""Learning rules: one file a family, each registered in `rules.registry` by one entry."""
