"""The page's server in a thread of the tests, around a model of three lines."""

import http.client
import json
from collections.abc import Iterator
from types import SimpleNamespace
from urllib.parse import urlencode

import pytest
from halves import use_halves
from web_photos import serving

from zsk.segmenter import Segmenter
from zsk.web.app import App
from zsk.web.server import Server


@pytest.fixture(scope="session")
def segmenter() -> Segmenter:
    with pytest.MonkeyPatch.context() as patch:
        use_halves(patch)
        return Segmenter(device="cpu")


class Client:
    """Asks a server as a browser would."""

    def __init__(self, server: Server) -> None:
        self.port = server.server_address[1]

    def __call__(self, path, body=None, headers=(), **query):
        """Status, headers and content; JSON content as an object."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        if isinstance(body, dict):
            body = json.dumps(body)
        address = f"{path}?{urlencode(query)}" if query else path
        connection.request("GET" if body is None else "POST", address, body, dict(headers))
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        if answer.headers["Content-Type"] == "application/json":
            content = json.loads(content)
        return SimpleNamespace(status=answer.status, headers=answer.headers, content=content)

    def sentence(self, *arguments, **keywords):
        """Status and sentence of a refusal."""
        answer = self(*arguments, **keywords)
        return answer.status, answer.content["error"]


@pytest.fixture
def app(segmenter: Segmenter) -> App:
    segmenter.model.calls.clear()
    return App(segmenter)


@pytest.fixture
def client(app: App) -> Iterator[Client]:
    with serving(app) as server:
        yield Client(server)
