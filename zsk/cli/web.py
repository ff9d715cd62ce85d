"""`zsk web`: photos segmented in the browser, on this machine."""

from __future__ import annotations

import argparse
import threading
from collections.abc import Sequence

from zsk.cli.options import add_model_options, segmenter_of
from zsk.cli.said_logs import said_logs
from zsk.terminal import say
from zsk.web.app import App
from zsk.web.server import Server, is_local

PORT = 8321


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Segment photos in the browser: type words, click on regions.",
        epilog="example: zsk web --port 8400, then open http://127.0.0.1:8400/; Ctrl-C ends it",
    )
    add = parser.add_argument
    host_help = "default: %(default)s, which only this machine reaches"
    add("--host", default="127.0.0.1", metavar="NAME", help=host_help)
    add("--port", type=int, default=PORT, metavar="N", help="default: %(default)s; 0: a free one")
    add_model_options(parser)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Serve the page until Ctrl-C; the model is loaded behind it."""
    args = parse_arguments(argv)
    with said_logs(), Server(args.host, args.port, app := App()) as server:
        if not is_local(args.host):
            say(
                f"warning: --host {args.host} lets everybody who reaches this machine use the "
                "page: it has no password and no encryption",
                error=True,
            )
        serving = threading.Thread(target=server.serve_forever, daemon=True)
        serving.start()
        say(f"{server.address} shows the page; the model is being loaded")
        app.segmenter = segmenter_of(args)
        say("the model is ready; Ctrl-C ends the program")
        serving.join()
