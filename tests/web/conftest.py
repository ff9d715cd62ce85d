"""The page's server in a thread of the tests, around a model of three lines."""

import http.client
import json
from collections.abc import Iterator
from types import SimpleNamespace
from urllib.parse import urlencode

import pytest
from halves import Halves
from web_photos import serving

from zsk import segmenter as module
from zsk.config import default_config
from zsk.engine import trained_model
from zsk.segmenter import Segmenter
from zsk.web.app import App
from zsk.web.server import Server


@pytest.fixture(scope="session")
def segmenter() -> Segmenter:
    def load_config(config_file, opts):
        cfg = default_config()
        cfg.MODEL.WEIGHTS, cfg.MODEL.DEVICE = "halves.pth", "cpu"
        cfg.MODEL.ENSEMBLE.MODE = "ensemble"
        return cfg

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "load_config", load_config)
        patch.setattr(trained_model, "build_model", lambda cfg: Halves())
        patch.setattr(trained_model, "load_weights", lambda model, path: {})
        patch.setattr(trained_model, "check_network_settings", lambda *arguments: None)
        patch.setattr(module, "trained_names", lambda *_, **__: ())
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
