"""The bridge to NNI: a tuner over our strategies, the trial, a mended manager, and the experiment as a whole.

Nothing here imports torch, and only `tuner` imports `nni`, which takes its time.
"""
