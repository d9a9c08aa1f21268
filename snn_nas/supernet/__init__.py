"""Weight-sharing supernets: every network of a space on shared weights, one weight for each place, operation and rule.

`bank` holds the weights and lends them to one network at a time; `mixture` runs all networks of a space at once, each
choice weighted by its probability. `bilevel` trains architecture weights by first-order DARTS, `evolve` by CMA-ES.
`process` runs either in a process of its own, for searches are free of torch. See `docs/search.md`.
"""
