"""What the models of a growth curve have in common, built once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from detectron2.config import CfgNode
from detectron2.modeling import build_backbone

from zsk import zsk_net
from zsk.classification.build import build_encoder
from zsk.profiling import replaced


class SharedParts:
    """Models with random weights by their options, and the last one's backbone and encoder.

    All points of a growth curve are held at a time: they differ in the head, or not even in that.
    """

    def __init__(self) -> None:
        self._models: dict[str, Any] = {}
        self._kept: dict[str, tuple[str, Any]] = {}

    def model(self, key: str, build: Callable[[], Any]) -> Any:
        """The model of this key; one that is built gets backbone and encoder of an earlier one."""
        if key not in self._models:
            with self._used():
                self._models[key] = build()
        return self._models[key]

    def forget_models(self) -> None:
        """Keep the last one's backbone and encoder alone."""
        self._models = {}

    @contextmanager
    def _used(self) -> Iterator[None]:
        """While it lasts, whoever builds a backbone or an encoder gets the one that is there."""
        with (
            replaced(zsk_net, "build_backbone", self._backbone),
            replaced(zsk_net, "build_encoder", self._encoder),
        ):
            yield

    def clear(self) -> None:
        """Keep nothing."""
        self._models, self._kept = {}, {}

    def _backbone(self, cfg: CfgNode) -> Any:
        nodes = ("BACKBONE", "RESNETS", "TIMM", "PIXEL_MEAN")
        return self._once("backbone", str([cfg.MODEL[n] for n in nodes]), build_backbone, cfg)

    def _encoder(self, *args: Any, **settings: Any) -> Any:
        return self._once("encoder", str([args, settings]), build_encoder, *args, **settings)

    def _once(self, name: str, key: str, build: Callable[..., Any], *args: Any, **kw: Any) -> Any:
        if self._kept.get(name, ("", None))[0] != key:
            self._kept.pop(name, None)  # before its successor takes memory
            self._kept[name] = (key, build(*args, **kw))
        return self._kept[name][1]
