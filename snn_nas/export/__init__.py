"""Trained networks for other tools: weights with their genotype, NIR, activity records."""
