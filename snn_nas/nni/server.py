"""NNI's manager as a process: start it mended and on loopback, ask it, end it with everything that it started."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from neurons.errors import UserError

MANAGER = Path(__file__).with_name("manager.js")
LOOPBACK = "127.0.0.1"
_ID = re.compile(r"Experiment ID:\s*(?:\x1b\[\d+m)?(\w+)")
_COLOUR = re.compile(r"\x1b\[\d*m")


def address(host: str) -> str:
    """Of a host as a user names it: this machine itself is `LOOPBACK`, where alone the page is safe."""
    return LOOPBACK if host in ("localhost", "::1") else host


@dataclass(frozen=True)
class Server:
    """A running manager."""

    id: str
    port: int
    host: str
    process: psutil.Process

    @property
    def url(self) -> str:
        """The web page."""
        shown = "localhost" if self.host == LOOPBACK else self.host
        return f"http://{shown}:{self.port}"

    def get(self, path: str) -> Any:
        """Ask the manager; None if it does not answer."""
        host = LOOPBACK if self.host == "0.0.0.0" else self.host
        try:
            with urllib.request.urlopen(f"http://{host}:{self.port}/api/v1/nni/{path}", timeout=20) as response:
                return json.load(response)
        except (OSError, ValueError):
            return None

    def alive(self) -> bool:
        """Whether the process runs."""
        try:
            return bool(self.process.is_running() and self.process.status() != psutil.STATUS_ZOMBIE)
        except psutil.NoSuchProcess:
            return False

    def stop(self, patience: float = 20.0) -> None:
        """End the experiment as `nnictl stop` does, then whatever is left of its processes."""
        try:
            family = [self.process, *self.process.children(recursive=True)]
        except psutil.NoSuchProcess:
            return
        _signal(self.process, psutil.Process.terminate)
        psutil.wait_procs([self.process], timeout=patience)
        _, left = psutil.wait_procs(family, timeout=2.0)
        for process in left:
            _signal(process, psutil.Process.kill)
        psutil.wait_procs(left, timeout=5.0)


def environment(host: str = LOOPBACK) -> dict[str, str]:
    """The environment in which `nnictl` starts a mended manager that listens on `host`."""
    here = str(Path(sys.executable).parent)
    options = os.environ.get("NODE_OPTIONS", "")
    require = f"--require={json.dumps(str(MANAGER))}"
    return {
        **os.environ,
        "NODE_OPTIONS": options if str(MANAGER) in options else f"{options} {require}".strip(),
        "SNN_NAS_HOST": host,
        "PATH": here + os.pathsep + os.environ.get("PATH", os.defpath),
    }


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def nnictl(*words: str, env: dict[str, str] | None = None) -> str:
    """Run `nnictl` of this environment and return what it printed.

    Raises:
        UserError: it failed; the message is its last error, or what our manager.js said.
    """
    command = [sys.executable, "-m", "snn_nas.nni.nnictl", *words]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    text = _COLOUR.sub("", done.stdout + done.stderr)
    if done.returncode:
        lines = [line for line in text.splitlines() if line.strip()]
        ours = [line for line in lines if line.startswith("snn-nas:")]
        errors = ours or [line for line in lines if "rror" in line] or lines or ["no reason given"]
        raise UserError(f"nnictl {words[0]}: {errors[-1].strip()}")
    return text


def create(config: Path, *, host: str = LOOPBACK, port: int | None = None, env: dict[str, str] | None = None) -> Server:
    """Start an experiment; it goes on by itself.

    Raises:
        UserError: NNI refused the configuration or could not start.
    """
    env = environment(host) if env is None else env
    port = _usable(host, port)
    with _ending_on_failure(port):
        text = nnictl("create", "--config", str(config), "--port", str(port), env=env)
        return _server(text, port, host, env)


def resume(experiment: str, *, host: str = LOOPBACK, port: int | None = None) -> Server:
    """Continue a stopped experiment.

    Raises:
        UserError: there is no such experiment, or it runs.
    """
    return _again("resume", experiment, host, port)


def view(experiment: str, *, host: str = LOOPBACK, port: int | None = None) -> Server:
    """Start a server that shows a stopped experiment.

    Raises:
        UserError: there is no such experiment, or it runs.
    """
    return _again("view", experiment, host, port)


def _again(verb: str, experiment: str, host: str, port: int | None) -> Server:
    env = environment(host)
    port = _usable(host, port)
    with _ending_on_failure(port):
        text = nnictl(verb, experiment, "--port", str(port), env=env)
        return _server(f"Experiment ID: {experiment}\n{text}", port, host, env)


def _usable(host: str, port: int | None) -> int:
    """The port that was asked for, or a free one.

    Raises:
        UserError: somebody listens there.
    """
    if port is None:
        return free_port()
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise UserError(f"port {port} of {host}: {reason}; name another, or none to take a free one") from error
    return port


@contextlib.contextmanager
def _ending_on_failure(port: int) -> Iterator[None]:
    """End the manager that nnictl leaves behind when it fails or is interrupted, and none that was there before."""
    before = _managers(port)
    try:
        yield
    except BaseException:
        for manager in _managers(port) - before:
            Server("", port, "", manager).stop(patience=5.0)
        raise


def _server(text: str, port: int, host: str, env: dict[str, str]) -> Server:
    found = _ID.search(text)
    if found is None:
        raise UserError(f"nnictl did not name the experiment: {text.strip().splitlines()[-1:]}")
    known = Path(env.get("HOME", str(Path.home()))) / "nni-experiments" / ".experiment"
    pid = json.loads(known.read_text(encoding="utf-8"))[found[1]]["pid"]
    try:
        return Server(found[1], port, host, psutil.Process(int(pid)))
    except psutil.NoSuchProcess as error:
        raise UserError(f"experiment {found[1]} ended at once; see its log folder") from error


def _managers(port: int) -> set[psutil.Process]:
    """The managers, of whatever experiment, that were started for this port."""
    found = set()
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if any(word.endswith("nni_node/main.js") for word in words) and f"--port {port} " in " ".join(words):
            found.add(process)
    return found


def _signal(process: psutil.Process, action: Any) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        action(process)
