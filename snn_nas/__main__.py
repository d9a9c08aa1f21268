"""`python -m snn_nas`."""

from snn_nas.cli import main

main()
