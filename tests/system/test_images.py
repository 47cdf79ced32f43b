"""Images on a Docker engine: made, run, seen to be out of date, built from folders, not pulled."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from docker import DockerClient
from docker.errors import ContainerError

from emulator import __version__
from emulator.catalog import Catalog, Manifest, read_manifest
from emulator.errors import LabError, MachineError, UsageError
from emulator.images import base as base_module
from emulator.images import ensure_image, ensure_pulled, image_name
from emulator.images.base import make_base
from emulator.images.store import inspect_image, is_current, list_images
from emulator.plan.model import ContainerPlan
from emulator.runtime.engine import client_of
from emulator.trying.template import write_vnf
from tests.system.terminal import ROOT, VNF

pytestmark = [pytest.mark.root, pytest.mark.docker]

MEGABYTE = 1_000_000
# What a container may do that has no right at all.
BARE: dict[str, Any] = {
    "network_mode": "none",
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges"],
    "remove": True,
    "stdout": True,
    "stderr": True,
}


@pytest.fixture
def client(docker_daemon: str) -> Iterator[DockerClient]:
    client = client_of(docker_daemon)
    yield client
    client.close()


@pytest.fixture
def own(tmp_path: Path) -> Manifest:
    return read_manifest(write_vnf("mine", language="c", folder=tmp_path) / "vnf.toml")


def last_words(client: DockerClient, image: str, *command: str) -> str:
    """What a container says that is expected to end with exit code 2."""
    with pytest.raises(ContainerError) as caught:
        client.containers.run(image, list(command), **BARE)
    assert caught.value.exit_status == 2
    assert isinstance(caught.value.stderr, bytes)
    return caught.value.stderr.decode()


@pytest.mark.parametrize("plane", ["packet", "afxdp"])
def test_a_small_image_runs_a_vnf(client: DockerClient, plane: str) -> None:
    image = ensure_image(client, Catalog.load()["forward"], plane)
    assert image.size_bytes <= 5 * MEGABYTE
    assert (image.entrypoint, image.user) == (("/vnf",), "0:0")
    words = last_words(client, image.name, "--nonsense", "1")
    assert words == "error: there is no option --nonsense\n"


@pytest.mark.dpdk
def test_so_does_one_with_dpdk(client: DockerClient) -> None:
    image = ensure_image(client, Catalog.load()["forward"], "dpdk")
    assert image.size_bytes <= 20 * MEGABYTE
    words = last_words(client, image.name, "--no-huge", "--no-pci", "--", "--nonsense", "1")
    assert words == "error: there is no option --nonsense\n"


@pytest.mark.dpdk
def test_a_ready_program_has_its_libraries_and_drivers_with_it(client: DockerClient) -> None:
    image = ensure_image(client, Catalog.load()["testpmd"], "dpdk")
    assert image.size_bytes <= 25 * MEGABYTE
    assert Path(image.entrypoint[0]).name == "dpdk-testpmd"
    command = [
        "--no-huge",
        "-m",
        "64",
        "--no-pci",
        "--vdev=net_null0",
        "--vdev=net_memif0,role=server",
    ]
    said = client.containers.run(
        image.name,
        # It ends by itself at the end of its input.
        [*command, "--", "--total-num-mbufs=2048", "--rxd=256", "--txd=256"],
        environment={"RUNTIME_DIRECTORY": "/run", "LD_PRELOAD": "/idle-shim.so"},
        tmpfs={"/run": ""},
        **BARE,
    )
    assert b"Bye..." in said
    assert b"cannot be preloaded" not in said


@pytest.mark.parametrize(
    ("vnf", "plane", "path"), [("drop", "xdp", "/vnf.bpf.o"), ("forward", "kernel", "/vnf.txt")]
)
def test_planes_of_the_kernel_run_nothing(
    client: DockerClient, vnf: str, plane: str, path: str
) -> None:
    image = ensure_image(client, Catalog.load()[vnf], plane)
    assert (image.entrypoint, image.command, image.user) == ((), (), "65534:65534")
    container = client.containers.create(image.id, ["/nothing"], network_mode="none")
    try:
        archive, found = container.get_archive(path)
        assert b"".join(archive)
    finally:
        container.remove()
    assert found["name"] == path.lstrip("/")


def test_labels_say_what_an_image_is(client: DockerClient) -> None:
    image = ensure_image(client, Catalog.load()["drop"], "packet")
    labels = client.images.get("build-vnf/drop:packet").labels
    revision = labels.pop("org.opencontainers.image.revision", None)
    assert labels == {
        "org.opencontainers.image.title": "drop",
        "org.opencontainers.image.version": __version__,
        "build-vnf.vnf": "drop",
        "build-vnf.planes": "packet",
        "build-vnf.digest": image.digest,
    }
    assert re.fullmatch("[0-9a-f]{64}", image.digest or "")
    if (ROOT / ".git").exists():
        assert re.fullmatch(r"[0-9a-f]{40}(\+changes)?", revision or "")


def test_an_image_is_made_anew_when_its_source_has_changed(
    client: DockerClient, own: Manifest
) -> None:
    first = ensure_image(client, own, "packet")
    assert ensure_image(client, own, "packet") == first
    assert is_current(own, first)
    source = own.folder / "vnf.c"
    text = source.read_text()
    source.write_text(text.replace("{", "{ /* Changes nothing. */", 1))
    assert not is_current(own, first), "a comment may change nothing, but who knows that before"
    assert ensure_image(client, own, "packet").id == first.id
    source.write_text(text + '\nconst char added[] __attribute__((used, retain)) = "mine";\n')
    second = ensure_image(client, own, "packet")
    assert second.id != first.id
    assert is_current(own, second)
    assert inspect_image(client, first.id) is None, "the one before is taken away"


def test_a_vnf_that_does_not_compile_has_no_image(client: DockerClient, own: Manifest) -> None:
    source = own.folder / "vnf.c"
    source.write_text(source.read_text() + "\nmistake\n")
    with pytest.raises(UsageError) as caught:
        ensure_image(client, own, "packet")
    assert str(source) in caught.value.where


@pytest.mark.parametrize("name", ["Odd_", "UPPER.case"])
def test_a_vnf_with_an_odd_name_has_an_image(
    client: DockerClient, tmp_path: Path, name: str
) -> None:
    manifest = read_manifest(write_vnf(name, language="c", folder=tmp_path) / "vnf.toml")
    image = ensure_image(client, manifest, "packet")
    assert (image.vnf, image.name) == (name, image_name(name, "packet"))


def test_a_dockerfile_of_a_vnf_is_used(client: DockerClient, own: Manifest) -> None:
    dockerfile = own.folder / "Dockerfile"
    dockerfile.write_text(
        "FROM scratch\nARG PLANE\nLABEL plane=$PLANE\nCOPY .build-vnf/vnf /own\n"
        'ENTRYPOINT ["/own"]\nUSER 0:0\n'
    )
    image = ensure_image(client, own, "packet")
    assert (image.vnf, image.plane, image.entrypoint) == ("mine", "packet", ("/own",))
    assert client.images.get(image.name).labels["plane"] == "packet"
    assert "there is no option" in last_words(client, image.name, "--nonsense", "1")
    assert ensure_image(client, own, "packet") == image
    dockerfile.write_text(dockerfile.read_text() + "ENV MORE=1\n")
    assert not is_current(own, image)
    assert ensure_image(client, own, "packet").environment["MORE"] == "1"


def test_a_dockerfile_of_a_vnf_has_to_say_what_runs(client: DockerClient, own: Manifest) -> None:
    (own.folder / "Dockerfile").write_text("FROM scratch\nCOPY .build-vnf/ /\n")
    for _ in range(2):
        with pytest.raises(UsageError, match="it does not say what runs on packet"):
            ensure_image(client, own, "packet")
    assert ensure_image(client, own, "xdp").entrypoint == ()


def test_an_image_is_built_from_a_folder(client: DockerClient, tmp_path: Path) -> None:
    steps = []
    (tmp_path / "Dockerfile").write_text(
        "FROM scratch\nARG WHAT\nCOPY file /file\nENV WHAT=$WHAT\n"
    )
    (tmp_path / "file").write_text("x")
    plan = ContainerPlan(image="own/host:1", build=str(tmp_path), build_arguments={"WHAT": "this"})
    image = ensure_pulled(client, plan, progress=lambda *step: steps.append(step), where="d1")
    assert (image.name, image.environment["WHAT"], image.vnf) == ("own/host:1", "this", None)
    assert steps[0][1:] == (0, 4)
    assert steps[-1] == ("building own/host:1", 4, 4)


@pytest.mark.parametrize(
    ("dockerfile", "message"),
    [
        ("FROM scratch\nCOPY missing /\n", r"Step 2/2 : COPY missing /"),
        ("FROM scratch\nRUN --mount=type=cache,target=/x true\n", "requires BuildKit"),
        ("FRM scratch\n", "unknown instruction: FRM"),
        (None, "there is no file .*/Dockerfile"),
    ],
)
def test_a_folder_that_cannot_be_built(
    client: DockerClient, tmp_path: Path, dockerfile: str | None, message: str
) -> None:
    if dockerfile is not None:
        (tmp_path / "Dockerfile").write_text(dockerfile)
    plan = ContainerPlan(image="own/broken", build=str(tmp_path))
    with pytest.raises(UsageError, match=message) as caught:
        ensure_pulled(client, plan, where="d1")
    assert caught.value.where == "d1"


def test_an_image_that_is_here_is_not_pulled(client: DockerClient) -> None:
    made = ensure_image(client, Catalog.load()["forward"], "kernel")
    for pull in ("missing", "never"):
        plan = ContainerPlan(image=made.name, pull=pull)
        assert ensure_pulled(client, plan, where="d1") == made
    # Nobody answers at this address, whatever network the machine has.
    here = "127.0.0.1:9/here:1"
    client.images.get(made.id).tag(here)
    with pytest.raises(MachineError, match="no registry answers"):
        ensure_pulled(client, ContainerPlan(image=here, pull="always"), where="d1")
    client.images.remove(here)


def test_an_image_that_is_nowhere(client: DockerClient, tmp_path: Path) -> None:
    nowhere = "127.0.0.1:9/nowhere:1"
    with pytest.raises(UsageError, match="is not on this machine"):
        ensure_pulled(client, ContainerPlan(image=nowhere, pull="never"), where="d1")
    with pytest.raises(MachineError, match=f"image {nowhere} .* no registry answers"):
        ensure_pulled(client, ContainerPlan(image=nowhere), where="d1")
    with pytest.raises(UsageError):
        ensure_pulled(client, ContainerPlan(image="UPPER"), where="d1")
    (tmp_path / "Dockerfile").write_text(f"FROM {nowhere} AS first\nRUN true\n")
    plan = ContainerPlan(image="own/broken", build=str(tmp_path))
    with pytest.raises(MachineError, match=f"image {nowhere} .* no registry answers"):
        ensure_pulled(client, plan, where="d1")


DEBOOTSTRAP = """#!/bin/sh
for word; do case $word in */root) root=$word ;; esac; done
echo "P: 0 2 UNPACKBASE" >&3
echo "PF: Unpacking the base system" >&3
mkdir -p "$root/bin" "$root/usr/share/doc/sh" "$root/var/lib/apt/lists" "$root/proc"
echo secret >"$root/etc-less"; mkdir "$root/etc"; echo here >"$root/etc/hostname"
echo paper >"$root/usr/share/doc/sh/README"; echo MIT >"$root/usr/share/doc/sh/copyright"
echo list >"$root/var/lib/apt/lists/main"
mount -t proc proc "$root/proc"
%s
"""


@pytest.fixture
def debootstrap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """In place of debootstrap, which takes a minute and a network; tests add its end."""
    workshop = tmp_path / "workshop"
    workshop.mkdir()
    monkeypatch.setattr(base_module, "_WORKSHOP", workshop)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    program = tmp_path / "debootstrap"
    program.touch(0o755)
    return program


def test_the_base_image_is_made_once(client: DockerClient, debootstrap: Path) -> None:
    debootstrap.write_text(DEBOOTSTRAP % "exit 0")
    steps: list[tuple[str, int, int]] = []
    made = make_base(client, progress=lambda *step: steps.append(step))
    assert (made.name, made.command) == ("build-vnf/base:latest", ("bash",))
    assert ("unpacking the base system", 0, 100) in steps
    container = client.containers.create(made.id, network_mode="none")
    try:
        exported = b"".join(container.export())
    finally:
        container.remove()
    assert b"usr/share/doc/sh/copyright" in exported
    for left_out in (b"usr/share/doc/sh/README", b"apt/lists/main"):
        assert left_out not in exported
    assert list((debootstrap.parent / "workshop").iterdir()) == []

    debootstrap.write_text(DEBOOTSTRAP % "exit 1")
    assert make_base(client) == made
    with pytest.raises(LabError, match="debootstrap fails: exit status 1"):
        make_base(client, packages=["more"])
    with pytest.raises(LabError):
        make_base(client, rebuild=True)
    assert list((debootstrap.parent / "workshop").iterdir()) == []
    client.images.remove(made.name)


def test_debootstrap_says_what_it_lacks(client: DockerClient, debootstrap: Path) -> None:
    end = 'printf "E: X\\nEA: nosuch\\nEF: There is no %%s\\n" >&3; echo last line; exit 1'
    debootstrap.write_text(DEBOOTSTRAP % end)
    with pytest.raises(LabError, match="debootstrap fails: There is no nosuch\n +last line"):
        make_base(client, suite="bookworm")


def test_ctrl_c_leaves_nothing_of_the_base_image(
    client: DockerClient, debootstrap: Path, alarm_as_ctrl_c: None
) -> None:
    debootstrap.write_text(DEBOOTSTRAP % "sleep 100")
    # In the middle of it, however long it takes to come so far.
    with pytest.raises(KeyboardInterrupt):
        make_base(client, progress=lambda *_: signal.raise_signal(signal.SIGALRM))
    assert list((debootstrap.parent / "workshop").iterdir()) == []


def test_what_a_killed_run_left_is_gone_after_the_next(
    client: DockerClient, debootstrap: Path
) -> None:
    workshop = debootstrap.parent / "workshop"
    debootstrap.write_text(DEBOOTSTRAP % f"touch {workshop}/ready; sleep 100")
    program = (
        "import pathlib, sys\nfrom emulator.images import base\n"
        "from emulator.runtime.engine import connect\n"
        "base._WORKSHOP = pathlib.Path(sys.argv[1])\nbase.make_base(connect())\n"
    )
    command = [VNF[0], "-c", program, str(workshop)]
    with subprocess.Popen(command, cwd=ROOT) as process:
        deadline = time.monotonic() + 20
        while not (workshop / "ready").exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.kill()
    (workshop / "ready").unlink()
    assert len(list(workshop.iterdir())) == 1
    debootstrap.write_text(DEBOOTSTRAP % "exit 0")
    deadline = time.monotonic() + 20
    while True:
        # What the killed one had started ends a moment after it.
        client.images.remove(make_base(client).name)
        if not list(workshop.iterdir()):
            break
        assert time.monotonic() < deadline


def vnf(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*VNF, *arguments], cwd=ROOT, capture_output=True, text=True)


def test_the_command_makes_lists_and_removes(client: DockerClient, own: Manifest) -> None:
    done = vnf("image", "build", str(own.folder), "--dataplane", "packet", "--json")
    assert done.returncode == 0, done.stderr
    assert [image["name"] for image in json.loads(done.stdout)] == ["build-vnf/mine:packet"]
    done = vnf("image", "build", "forward", "--dataplane", "kernel", "--rebuild")
    assert "build-vnf/forward:kernel" in done.stdout
    listed = {row["name"]: row for row in json.loads(vnf("image", "list", "--json").stdout)}
    assert listed["build-vnf/forward:kernel"]["state"] == "current"
    # It is known by its folder alone.
    assert listed["build-vnf/mine:packet"]["state"] == "VNF not found"
    assert vnf("image", "rm", "build-vnf/forward:kernel").returncode == 0
    assert inspect_image(client, "build-vnf/forward:kernel") is None
    assert vnf("image", "rm", "--all").returncode == 0
    assert list_images(client) == []
    done = vnf("image", "list")
    assert (done.returncode, done.stdout) == (0, "")
    assert "there are no images of VNFs" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("build", "nosuch"), 2, "there is no VNF nosuch"),
        (("build", "drop", "--dataplane", "kernel"), 2, "VNF drop does not run on kernel"),
        (("build", "drop", "--dataplane", "python"), 2, "the python data plane has no image"),
        (("pull", "127.0.0.1:9/nowhere"), 3, "no registry answers"),
        (("pull", "UPPER"), 2, "'UPPER' is no name of an image"),
        (("rm",), 2, "name images, or give --all"),
        (("rm", "nosuch"), 2, "there is no such image of a VNF"),
    ],
)
def test_the_command_says_what_is_wrong(
    docker_daemon: str, arguments: tuple[str, ...], code: int, words: str
) -> None:
    done = vnf("image", *arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert words in done.stderr


def test_a_vnf_that_does_not_compile_fails_alone(docker_daemon: str, own: Manifest) -> None:
    source = own.folder / "vnf.c"
    source.write_text(source.read_text() + "\nmistake\n")
    done = vnf("image", "build", str(own.folder), "forward", "--dataplane", "packet")
    assert done.returncode == 1
    assert "build-vnf/forward:packet" in done.stdout
    assert f"{source}:" in done.stderr
