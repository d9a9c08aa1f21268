"""Trials on another machine, over SSH: here one that is this machine, by an sshd of the test's own on loopback."""

from __future__ import annotations

import getpass
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from neurons.errors import UserError
from snn_nas.nni import server
from snn_nas.nni.database import finals
from snn_nas.nni.experiment import Experiment
from tests import REPOSITORY
from tests.nni.rig import TOY, left_over, write
from tests.nni.test_pairing import same
from tests.nni.test_parts import KEEPER

pytestmark = pytest.mark.nni

TRIALS = 8


@dataclass(frozen=True)
class Machine:
    """Somewhere to log in, with a key that nothing else knows."""

    port: int
    key: Path
    home: Path

    def service(self, **changes: Any) -> dict[str, Any]:
        """NNI's configuration of it."""
        machine = {
            "host": "127.0.0.1",
            "port": self.port,
            "user": getpass.getuser(),
            "sshKeyFile": str(self.key),
            "pythonPath": str(Path(sys.executable).parent),
        }
        return {"platform": "remote", "machineList": [{**machine, **changes}]}


@pytest.fixture(scope="module")
def machine(runs: Path) -> Iterator[Machine]:
    sshd = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin:/usr/local/sbin")
    if sshd is None or shutil.which("ssh-keygen") is None:
        pytest.skip("there is no sshd on this machine: install openssh-server")
    folder, port = runs / "sshd", server.free_port()
    home = folder / "home"
    home.mkdir(parents=True)
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # sshd wants it, and only the distribution's service makes it
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    settings = {
        "ListenAddress": f"127.0.0.1:{port}",
        "HostKey": folder / "host",
        "AuthorizedKeysFile": folder / "user.pub",
        "PidFile": folder / "pid",
        "StrictModes": "no",
        "UsePAM": "no",
        "PermitRootLogin": "prohibit-password",
        "PasswordAuthentication": "no",
        "Subsystem": "sftp internal-sftp",
        "SetEnv": f"HOME={home} PYTHONPATH={REPOSITORY}",
    }
    (folder / "config").write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen([sshd, "-D", "-e", "-f", folder / "config"], stderr=log) as process,
    ):
        try:
            end = time.monotonic() + 20
            while "Server listening" not in (said := (folder / "log").read_text()):
                assert process.poll() is None, said
                assert time.monotonic() < end, said
                time.sleep(0.1)
            yield Machine(port, folder / "user", home)
        finally:
            process.terminate()


def remote(runs: Path, name: str, service: dict[str, Any]) -> Path:
    """A search of toy trials there: some slow, some that crash or are out of memory."""
    (runs / "code").mkdir(exist_ok=True)
    (runs / "code" / "note").touch()  # NNI sends the folder there, and cannot send an empty one
    command = f"python -m snn_nas.nni.trial --evaluator {TOY}uneven"
    path = write(runs, name, trials=TRIALS, command=command, seed=3)
    config = yaml.safe_load(path.read_text())
    changes = {"nniManagerIp": "localhost", "trialCodeDirectory": str(runs / "code"), "trainingService": service}
    path.write_text(yaml.safe_dump({**config, **changes}))
    return path


def keepers(folder: Path) -> list[psutil.Process]:
    """NNI's keepers of trials that work in this folder."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        words = " ".join(process.info["cmdline"] or [])
        if KEEPER in words and str(folder) in words:
            found.append(process)
    return found


def test_results_stand_beside_their_parameters_there_too(runs: Path, machine: Machine) -> None:
    with Experiment(remote(runs, "remote", machine.service()), folder=runs / "runs") as experiment:
        for _ in experiment.watch():
            for keeper in keepers(machine.home):
                listening = [c.laddr.ip for c in keeper.net_connections() if c.status == psutil.CONN_LISTEN]
                assert set(listening) <= {"127.0.0.1"}
        results = experiment.results()
        jobs = experiment.running.get("trial-jobs")
        assert len(keepers(machine.home)) == 1
    assert len(results) == TRIALS == len({result.digest for result in results})
    done = {final.job: final for final in finals(experiment.folder)}
    assert len(done) >= TRIALS // 2
    for final in done.values():
        assert same(final.parameters, final.value)
    for job in jobs:
        if job["trialJobId"] in done:
            given = json.loads(job["hyperParameters"][0])["parameters"]
            assert given == done[job["trialJobId"]].parameters
    trials = [*(machine.home / "nni-experiments" / experiment.id / "environments").glob("*/trials/*")]
    assert {folder.name for folder in trials} >= {job["trialJobId"] for job in jobs}, "they ran there, not here"
    end = time.monotonic() + 20
    while left_over(machine.home):
        assert time.monotonic() < end, left_over(machine.home)
        time.sleep(0.2)


def test_a_machine_without_our_package_is_an_error_that_says_so(runs: Path, machine: Machine, tmp_path: Path) -> None:
    for name in ("python", "python3"):  # one of no environment
        (tmp_path / name).symlink_to(sys.base_prefix + "/bin/python3")
    config = remote(runs, "bare_machine", machine.service(pythonPath=str(tmp_path)))
    with (
        Experiment(config, folder=runs / "runs") as experiment,
        pytest.raises(UserError, match="import snn_nas"),
    ):
        list(experiment.watch())
    assert not keepers(machine.home)
