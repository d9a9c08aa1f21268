"""A trial that may die before it has asked for its parameters, then our trial with the toy evaluator."""

import os
import sys
import zlib

from snn_nas.nni.trial import main

if zlib.crc32(os.environ["NNI_TRIAL_JOB_ID"].encode()) % 6 == 0:
    os._exit(7)
sys.exit(main(["--evaluator", "tests.contracts.toy:uneven"]))
