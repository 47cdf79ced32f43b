"""App containers of a running lab are managed over HTTP, by those who have the token."""

from __future__ import annotations

import contextlib
import http.client
import json
import stat
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from emulator import Network, UsageError
from emulator.rest.server import RestServer
from tests.system.docker_images import BUSYBOX, import_busybox

pytestmark = [pytest.mark.root, pytest.mark.docker]

DEADLINE_S = 60.0


@pytest.fixture(scope="module")
def net(docker_daemon: str) -> Iterator[Network]:
    """Two hosts in containers on a switch."""
    import_busybox(docker_daemon)
    made = Network()
    made.addSwitch("s1")
    for name in ("h1", "h2"):
        made.addDockerHost(name, dimage=BUSYBOX, dcmd="sh")
        made.addLink(name, "s1")
    with made:
        yield made


@pytest.fixture
def server(net: Network) -> Iterator[RestServer]:
    """A server on a port of its own."""
    made = net.serve_rest(port=0)
    yield made
    made.close()


def ask(
    server: RestServer, method: str, path: str = "", body: Any = None, *, token: bool = True
) -> tuple[int, Any]:
    """The status and the content of an answer."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{server.url}/containers{path}", data, method=method)
    if token:
        request.add_header("Authorization", f"Bearer {server.token}")
    try:
        with urllib.request.urlopen(request, timeout=DEADLINE_S) as answer:
            status, text, kind = answer.status, answer.read(), answer.headers["Content-Type"]
    except urllib.error.HTTPError as error:
        status, text, kind = error.code, error.read(), error.headers["Content-Type"]
    return status, json.loads(text) if kind == "application/json" else text.decode()


def new(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "dhost": "h1", "dimage": BUSYBOX, "dcmd": "sleep 1000", **more}


def test_a_container_comes_does_its_work_and_goes(net: Network, server: RestServer):
    status, made = ask(
        server, "POST", "",
        new("c1", dcmd=["sh", "-c", "echo here; sleep 1000"], docker_args={"mem_limit": "32m"}),
    )  # fmt: skip
    assert (status, made["status"], made["dhost"]) == (200, "running", "h1")
    assert ask(server, "GET") == (200, ["c1"])
    assert ask(server, "GET", "?dhost=h2") == (200, [])
    assert ask(server, "GET", "/c1") == (200, made)
    assert ask(server, "GET", "/c1/logs?lines=1") == (200, "here\n")
    status, used = ask(server, "GET", "/c1/stats")
    assert (status, used["memory_limit_bytes"]) == (200, 32 << 20)
    assert "h1-eth0" in net["c1"].cmd("ip link")
    assert ask(server, "DELETE", "/c1") == (200, {"removed": "c1"})
    assert ask(server, "GET") == (200, [])
    assert "c1" not in net


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (new("h2"), 409, "a node named h2 is there already"),
        (new("c2", dhost="nowhere"), 400, "there is no node nowhere to live in"),
        (new("c2", dhost="s1"), 400, "s1 is a switch without a container"),
        (new("c 2"), 400, "name"),
        (new("c2", docker_args={"privileged": True}), 400, "root on the machine itself"),
        (new("c2", dcmd="/nothing"), 409, "its program cannot be started: /nothing"),
        (new("c2", dimage="test/not-there"), 503, "image test/not-there"),
    ],
)
def test_what_cannot_be_had_leaves_nothing_behind(
    net: Network, server: RestServer, body: dict[str, Any], status: int, said: str
):
    given, answer = ask(server, "POST", "", body)
    assert given == status
    assert said in answer["error"]["message"]
    assert ask(server, "GET") == (200, [])
    assert sorted(net) == ["h1", "h2", "s1"]


def test_hosts_are_not_to_be_had(net: Network, server: RestServer):
    assert ask(server, "DELETE", "/h1")[0] == 404
    assert ask(server, "GET", "/h1/logs")[0] == 404
    assert "h1" in net


def test_requests_at_the_same_time_and_the_script_itself_lose_nothing(
    net: Network, server: RestServer
):
    answers: list[int] = []

    def add(name: str) -> None:
        answers.append(ask(server, "POST", "", new(name))[0])

    names = [f"p{number}" for number in range(4)]
    threads = [threading.Thread(target=add, args=(name,)) for name in (*names, "p0")]
    for thread in threads:
        thread.start()
    net.addAppContainer("mine", "h2", BUSYBOX, command="sleep 1000")
    for thread in threads:
        thread.join(DEADLINE_S)
    assert sorted(answers) == [200] * 4 + [409]
    assert sorted(ask(server, "GET")[1]) == ["mine", *names]
    with net.change() as topo:
        for name in (*names, "mine"):
            topo.removeNode(name)
    assert ask(server, "GET") == (200, [])


def test_the_token_is_in_a_file_of_root_alone_and_goes_with_the_server(net: Network):
    server = net.serve_rest(port=0)
    assert server.token_file is not None
    assert server.token_file.read_text().strip() == server.token
    assert stat.S_IMODE(server.token_file.stat().st_mode) == 0o600
    assert ask(server, "GET", token=False)[0] == 401
    assert ask(server, "POST", "", new("c1"), token=False)[0] == 401
    server.close()
    assert not server.token_file.exists()
    with pytest.raises(urllib.error.URLError):
        ask(server, "GET")


def test_programs_of_the_lab_reach_a_server_at_the_address_of_a_host(net: Network):
    address = net["h1"].IP()
    assert address is not None
    server = net.serve_rest(address, 8000, token=None)
    assert server.node == "h1"
    asked = f"wget -qO- http://{address}:8000/containers"
    assert net["h2"].cmd(asked).strip() == "[]"
    server.close()
    assert "refused" in net["h2"].cmd(asked)


def test_addresses_that_cannot_be_had_are_told(net: Network, server: RestServer):
    taken = int(server.url.rpartition(":")[2])
    for address, port, said in (
        ("127.0.0.1", taken, "another program listens there"),
        ("192.0.2.1", 8000, "neither this machine nor a node of the lab"),
        ("somewhere", 8000, "no IP address"),
        ("127.0.0.1", 70000, "a port is a number"),
    ):
        with pytest.raises(UsageError, match=said):
            net.serve_rest(address, port)
    with pytest.raises(UsageError, match="a token has"):
        net.serve_rest(port=0, token="a b")


def test_the_server_ends_with_its_lab_and_what_was_under_way_leaves_nothing(docker_daemon: str):
    import_busybox(docker_daemon)
    answers: list[int] = []

    def keep_adding(server: RestServer) -> None:
        with contextlib.suppress(OSError, http.client.HTTPException):
            while True:
                answers.append(ask(server, "POST", "", new(f"c{len(answers)}"))[0])

    with Network() as net:
        net.addDockerHost("h1", dimage=BUSYBOX, dcmd="sh")
        server = net.serve_rest(port=0)
        thread = threading.Thread(target=keep_adding, args=(server,))
        thread.start()
        deadline = time.monotonic() + DEADLINE_S
        while not answers and time.monotonic() < deadline:
            time.sleep(0.01)
    # The containers that it began meanwhile have gone with the lab: the leak check looks.
    thread.join(DEADLINE_S)
    assert not thread.is_alive()
    assert set(answers) <= {200, 409}
    assert answers[0] == 200
    with pytest.raises(urllib.error.URLError):
        ask(server, "GET")
