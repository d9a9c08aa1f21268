"""`python -m snn_nas.cli`."""

from snn_nas.cli import main

main()
