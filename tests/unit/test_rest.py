"""The REST interface without a lab: routes, the token, refusals, and what it says of itself."""

from __future__ import annotations

import re
import socket
from html.parser import HTMLParser
from typing import Any

import pytest
from werkzeug.test import Client

from emulator import Network
from emulator.errors import LabError
from emulator.rest import openapi
from emulator.rest.api import Api

TOKEN = "a-token-of-the-test"
NEW = {"name": "c1", "dhost": "h1", "dimage": "test/busybox"}


def client(token: str | None = TOKEN, log: list[str] | None = None) -> Client:
    """Asks the interface of a network that was never started."""
    return Client(Api(Network(), token, None if log is None else log.append))


def ask(method: str, path: str, **more: Any) -> tuple[int, Any]:
    """The status and the JSON of an answer to a request that shows the token."""
    answer = client().open(
        path, method=method, headers={"Authorization": f"Bearer {TOKEN}"}, **more
    )
    return answer.status_code, answer.get_json()


@pytest.mark.parametrize(
    "header",
    [
        pytest.param(None, id="none"),
        pytest.param("Bearer another", id="another"),
        pytest.param(f"Basic {TOKEN}", id="another scheme"),
        pytest.param(f"Bearer {TOKEN}é", id="not ASCII"),
        pytest.param("Bearer", id="empty"),
    ],
)
@pytest.mark.parametrize("operation", openapi.OPERATIONS, ids=lambda one: one.name)
def test_without_the_token_nothing_is_told_but_the_interface_itself(
    operation: openapi.Operation, header: str | None
):
    path = operation.rule.replace("<name>", "c1")
    headers = {} if header is None else {"Authorization": header}
    answer = client().open(path, method=operation.method, headers=headers)
    if operation.protected:
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert "Authorization: Bearer" in answer.get_json()["error"]["hint"]
    else:
        assert answer.status_code == 200


def test_without_any_token_web_pages_are_refused():
    free = client(token=None)
    assert free.get("/containers").get_json() == []
    assert free.get("/containers", headers={"Origin": "http://evil.example"}).status_code == 401


@pytest.mark.parametrize("operation", openapi.OPERATIONS, ids=lambda one: one.name)
def test_without_any_token_no_name_of_elsewhere_may_stand_for_the_server(
    operation: openapi.Operation,
):
    path = operation.rule.replace("<name>", "c1")
    answer = client(token=None).open(
        path, method=operation.method, headers={"Host": "evil.example:8000"}
    )
    assert answer.status_code == 401
    assert "by its address" in answer.get_json()["error"]["hint"]


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8000", 200),
        ("[::1]:8000", 200),
        ("LocalHost:8000", 200),
        (socket.gethostname(), 200),
        ("127.0.0.1.evil.example", 401),
        ("localhost.evil.example:8000", 401),
        ("[::1", 401),
    ],
)
def test_without_any_token_the_server_goes_by_its_address_or_the_machine_s_name(
    host: str, status: int
):
    answer = client(token=None).get("/containers", headers={"Host": host})
    assert answer.status_code == status


def test_an_unknown_path_and_another_method_are_refused_as_json():
    status, body = ask("GET", "/containersfoo")
    assert (status, body["error"]["message"]) == (404, "there is no /containersfoo")
    answer = client().put("/containers")
    assert answer.status_code == 405
    assert {"GET", "POST"} <= set(answer.headers["Allow"].split(", "))
    assert answer.get_json()["error"]["message"] == "/containers has no PUT"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "the body: Input should be"),
        (b'{"name": "c1", "dhost": "h1"}', "dimage: Field required"),
        (b'{"name": 1, "dhost": "h1", "dimage": "i"}', "name: Input should be a valid string"),
        (b'{"name": "c", "dhost": "h", "dimage": "i", "wat": 1}', "wat: Extra inputs"),
        (b'{"name": "c", "dhost": "h", "dimage": "i", "docker_args": 1}', "docker_args: "),
    ],
)
def test_a_body_that_makes_no_sense_is_told_so(body: bytes, said: str):
    status, answer = ask("POST", "/containers", data=body)
    assert status == 400
    assert said in answer["error"]["message"]


def test_several_mistakes_in_a_body_are_all_told():
    status, answer = ask("POST", "/containers", json={"name": 1, "extra": 2})
    assert status == 400
    told = [problem["message"].partition(":")[0] for problem in answer["error"]["problems"]]
    assert told == ["name", "dhost", "dimage", "extra"]


@pytest.mark.parametrize("query", ["interval=0", "interval=inf", "interval=nan", "interval=x"])
def test_an_interval_that_makes_no_sense_is_refused(query: str):
    status, answer = ask("GET", f"/containers/c1/stats?{query}")
    assert status == 400
    assert "interval is a number of seconds above 0" in answer["error"]["message"]


@pytest.mark.parametrize("lines", ["0", "-1", "x", "1.5", "9" * 400, "9" * 5000])
def test_a_number_of_lines_that_makes_no_sense_is_refused(lines: str):
    status, answer = ask("GET", f"/containers/c1/logs?lines={lines}")
    assert status == 400
    assert "lines is a whole number above 0" in answer["error"]["message"]


def test_a_parameter_that_is_not_there_is_not_ignored():
    status, answer = ask("GET", "/containers?host=h1")
    assert status == 400
    assert answer["error"] == {
        "message": "there is no parameter host", "hint": "what there is: dhost", "where": "",
        "problems": [],
    }  # fmt: skip


@pytest.mark.parametrize("path", ["", "/stats", "/logs"])
def test_what_is_not_there_is_not_found(path: str):
    status, answer = ask("GET", f"/containers/c9{path}")
    assert (status, answer["error"]["message"]) == (404, "there is no app container c9")


def test_a_network_that_does_not_run_is_not_changed():
    net = Network()
    asked = Client(Api(net, None))
    for answer in (asked.post("/containers", json=NEW), asked.delete("/containers/c1")):
        assert answer.status_code == 409
        assert answer.get_json()["error"]["message"] == "the network is not running"
    assert net.topo.nodes() == []


def test_a_network_that_does_not_run_is_not_served():
    with pytest.raises(LabError, match="not running"):
        Network().serve_rest()


def test_requests_are_logged_without_their_token():
    log: list[str] = []
    client(log=log).get("/containers?dhost=h1", headers={"Authorization": f"Bearer {TOKEN}"})
    assert len(log) == 1
    assert log[0].endswith(" GET /containers 200")


def test_the_openapi_document_describes_each_route_and_refers_to_what_it_has():
    document = client().get("/openapi.json").get_json()
    assert document["openapi"].startswith("3.1")
    described = {
        (method.upper(), path) for path, item in document["paths"].items() for method in item
    }
    assert described == {(one.method, one.path) for one in openapi.OPERATIONS}
    schemas = document["components"]["schemas"]
    for name in re.findall(r'"#/components/schemas/(\w+)"', str(document).replace("'", '"')):
        assert name in schemas
    assert schemas["NewContainer"]["required"] == ["name", "dhost", "dimage"]
    add = document["paths"]["/containers"]["post"]
    assert set(add["responses"]) == {"200", "400", "401", "409", "503"}
    assert add["security"] == [{"token": []}]


def test_the_openapi_document_asks_for_no_token_where_there_is_none():
    document = client(token=None).get("/openapi.json").get_json()
    assert "securitySchemes" not in document["components"]
    assert not any(
        "security" in one for item in document["paths"].values() for one in item.values()
    )


class _Fetched(HTMLParser):
    """Collects what a page would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("src", "href", "action"):
                self.addresses.append(str(value))


def test_the_page_for_people_names_each_operation_and_fetches_nothing():
    answer = client().get("/docs")
    text = answer.get_data(as_text=True)
    assert answer.mimetype == "text/html"
    for one in openapi.OPERATIONS:
        assert one.path in text
    parser = _Fetched()
    parser.feed(text)
    assert parser.addresses == ["/openapi.json"]
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert TOKEN not in text
