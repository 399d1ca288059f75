"""Ray: started on this machine for as long as it is needed, or a cluster that runs already; quiet in both cases."""

from __future__ import annotations

import atexit
import os
import secrets
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fittingroom.environment import cores
from fittingroom.errors import FittingRoomError, how_to_install


@dataclass(frozen=True)
class RayEngine:
    """Where Ray is: ``address`` of a running cluster, such as ``10.0.0.5:6379``, or None for this machine alone.

    A cluster's hosts need this package, and see the folders that are worked on under the same paths.

    Example:
        >>> import fittingroom as fr
        >>> fr.RayEngine(address="10.0.0.5:6379")  # fr.train("fashion-mnist", seeds=10, engine=…)
        RayEngine(address='10.0.0.5:6379')
    """

    address: str | None = None


@contextmanager
def connected(engine: RayEngine) -> Iterator[Any]:
    """Connect to Ray for the length of the block, which gets the module ``ray``.

    Without an address a Ray is started here, for all cores that this process may use, and ended with all that it left
    in its temporary folder. No dashboard, no statistics sent, no log on the terminal, no network needed. A connection
    that this process has already is used, and left as it is.

    Raises:
        FittingRoomError: Ray is not installed, or doesn't start; no cluster at the address.
    """
    check_engine(engine)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # Ray itself asks for it, in a warning
    import ray

    if ray.is_initialized():
        yield ray
        return

    # A folder of our own can be removed whole; Ray leaves logs and sockets in the one that it picks itself.
    folder = None
    quiet: dict[str, Any] = {"log_to_driver": False, "configure_logging": False, "logging_level": "ERROR"}
    quiet["job_config"] = _importing_as_here()
    try:
        if engine.address is None:
            _keep_others_out()
            folder = Path(tempfile.mkdtemp(prefix="fittingroom-ray-"))
            # At the exit once more, when Ray has ended there what failed to start, and writes into it until then.
            atexit.register(shutil.rmtree, folder, ignore_errors=True)
            with _asking_no_cloud(folder / "home"), _started():
                ray.init("local", num_cpus=cores(), include_dashboard=False, _temp_dir=str(folder), **quiet)
        else:
            try:
                ray.init(engine.address, **quiet)
            except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
                raise _unreachable(engine, str(error).strip().partition("\n")[0]) from None
        yield ray
    finally:
        ray.shutdown()
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


def _keep_others_out() -> None:
    """Have the Ray that is started next ask for a token: its ports are open to the whole network.

    The token is made here and passed on in the environment, so that none is written to the home folder. Ray reads the
    environment when it is imported, which may have been long before this; here it reads it again.
    """
    from ray._raylet import AuthenticationTokenLoader, Config  # type: ignore[attr-defined]  # a compiled module

    os.environ.setdefault("RAY_AUTH_MODE", "token")
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    Config.initialize("")
    AuthenticationTokenLoader.instance().reset_cache()


@contextmanager
def _started() -> Iterator[None]:
    """Say in one message why Ray doesn't start: one of its processes fails, or takes longer than Ray waits for it.

    It tells of either by a bare Exception.
    """
    try:
        yield
    except Exception as error:
        reason = str(error).strip().partition("\n")[0]
        raise FittingRoomError(
            f"Ray: it did not start on this machine ({reason}). Where it is busy, try again later; without an "
            "engine nothing has to start"
        ) from error


class _FoldersOfHere(list[str]):
    """Folders for workers to import from, of those that Ray wishes for the ones that this process imports from."""

    def extend(self, folders: Iterable[str]) -> None:
        known = {Path(folder).resolve() for folder in sys.path}
        super().extend(folder for folder in folders if Path(folder).resolve() in known)


def _importing_as_here() -> Any:
    """How workers look for modules: where this process does.

    Ray would have them look in the current directory first, where a stranger's torch.py may lie beside the data. A
    script's own folder, and a notebook's, are where this process looks as well.
    """
    config = import_module("ray.job_config").JobConfig()
    config._py_driver_sys_path = _FoldersOfHere()  # Ray's argument of this name takes no empty list
    return config


@contextmanager
def _asking_no_cloud(home: Path) -> Iterator[None]:
    """Have the Ray that is started in the block ask no cloud's address whose machine this is.

    One of its processes looks up Google's and connects to two others for its statistics, even where none are sent,
    unless the home folder says what the cluster is. So that process gets a home folder that does.
    """
    home.mkdir()
    (home / "ray_bootstrap_config.yaml").write_text("{}\n", encoding="utf-8")
    services: Any = import_module("ray._private.services")
    start = services.start_ray_process

    def start_at_home(command: list[str], process_type: str, *args: Any, **options: Any) -> Any:
        if process_type == "dashboard":
            options["env_updates"] = dict(options.get("env_updates") or {}) | {"HOME": str(home)}
        return start(command, process_type, *args, **options)

    services.start_ray_process = start_at_home
    try:
        yield
    finally:
        services.start_ray_process = start


def check_engine(engine: RayEngine) -> None:
    """Refuse an engine that can't be had, before anything is opened or written.

    Raises:
        FittingRoomError: Ray is missing, or nobody is at the address.
    """
    if find_spec("ray") is None:
        raise FittingRoomError(f"engine: Ray is not installed; {how_to_install('ray')}, or pass no engine")
    host, colon, port = (engine.address or "").rpartition(":")
    if colon and port.isdecimal() and "/" not in host:
        try:  # Ray itself would try for minutes
            socket.create_connection((host, int(port)), timeout=10).close()
        except OSError as error:
            raise _unreachable(engine, str(error)) from None


def _unreachable(engine: RayEngine, reason: str) -> FittingRoomError:
    return FittingRoomError(
        f"Ray at {engine.address}: the address of a running Ray cluster expected, such as 10.0.0.5:6379; "
        f"connecting to it failed: {reason}"
    )
