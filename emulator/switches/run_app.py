"""Runs OpenFlow applications by os-ken, those written for Ryu too: a program of its own.

``python -P run_app.py [OPTION]... APP...``, where an application is the path of a file or the name
of a module, and the options are os-ken's (``--observe-links``, ``--ofp-tcp-listen-port``, …). It
imports nothing of the emulator, which would slow down its start.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import os
import sys
import traceback
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

_LEARNING = "learning_app.py"
_LOOK_S = 1.0
_RYU, _OS_KEN = "ryu", "os_ken"
_EXAMPLES = frozenset(
    f"{_RYU}.app.simple_switch{version}" for version in ("", "_12", "_13", "_14", "_15")
)
"""Applications that come with Ryu and not with os-ken: learning switches, for which ours stands."""


class _Alias(MetaPathFinder, Loader):
    """Makes ``import ryu.X`` give the very module that ``import os_ken.X`` gives."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != _RYU and not fullname.startswith(f"{_RYU}."):
            return None
        if importlib.util.find_spec(_real_name(fullname)) is None:
            return None
        return ModuleSpec(fullname, self)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = importlib.import_module(_real_name(spec.name))
        # The import system is about to write its own spec into it.
        self._specs = {**getattr(self, "_specs", {}), spec.name: module.__spec__}
        return module

    def exec_module(self, module: ModuleType) -> None:
        """It has been, under its real name, which is given back to it."""
        name = module.__spec__.name if module.__spec__ is not None else module.__name__
        module.__spec__ = self._specs.get(name, module.__spec__)


def _real_name(name: str) -> str:
    return _OS_KEN + name.removeprefix(_RYU)


def main(arguments: list[str]) -> None:
    """Runs until it is ended; an application that cannot be begun ends it with its traceback."""
    sys.meta_path.insert(0, _Alias())
    try:
        _run(arguments)
    except SystemExit:
        raise
    except BaseException:  # noqa: BLE001 - threads of os-ken would keep it alive, doing nothing
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)


def _run(arguments: list[str]) -> None:
    from os_ken import cfg
    from os_ken.base import app_manager
    from os_ken.lib import hub

    # The one name that os-ken has changed.
    app_manager.RyuApp = app_manager.OSKenApp

    # Who is imported brings options of his own, and all of them have to be known before the line.
    for module in ("os_ken.controller.controller", "os_ken.topology.switches", "os_ken.log"):
        importlib.import_module(module)
    options: Any = cfg.CONF
    options.register_cli_opt(cfg.MultiStrOpt("apps", positional=True, default=[]))
    options(args=arguments, project="os_ken", version="", default_config_files=[])
    level = logging.DEBUG if options.verbose else logging.INFO
    logging.basicConfig(level=options.default_log_level or level, format="%(name)s: %(message)s")
    apps = [_application(name) for name in options.apps]
    if options.observe_links:
        # Those that look for links by themselves ask for it; the others want to be told.
        apps.append("os_ken.topology.switches")
        hub.spawn(_keep_looking)
    app_manager.AppManager.run_apps(apps)


def _keep_looking() -> None:
    """Has links be looked for every second.

    By itself os-ken waits for good when it has asked every port once: a link whose answer came
    before its port was known would never be found.
    """
    from os_ken.base import app_manager
    from os_ken.lib import hub

    while True:
        hub.sleep(_LOOK_S)
        switches = app_manager.lookup_service_brick("switches")
        if switches is not None:
            switches.lldp_event.set()


def _application(name: str) -> str:
    """What os-ken is to import for an application."""
    if name in _EXAMPLES:
        name = str(Path(__file__).with_name(_LEARNING))
    if not name.endswith(".py"):
        return name
    path = Path(name)
    # Its neighbours are what it imports by their bare names.
    if path.name != _LEARNING:
        sys.path.insert(0, str(path.parent))
    module = path.stem
    spec = importlib.util.spec_from_file_location(module, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{name} is no Python module")
    made = importlib.util.module_from_spec(spec)
    sys.modules[module] = made
    spec.loader.exec_module(made)
    return module


if __name__ == "__main__":
    main(sys.argv[1:])
