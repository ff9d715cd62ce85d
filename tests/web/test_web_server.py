"""The server behind the page of `zsk web`: what it answers, what it refuses, that it goes on."""

import io
import socket
import struct
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image
from web_photos import photo_file

from zsk.cli import web
from zsk.errors import UserError
from zsk.web import server as server_module
from zsk.web.app import App, _without_place
from zsk.web.server import Server

ASKED = {"words": "cat, sofa", "background": "", "threshold": 0, "lam": None}


def test_one_look_serves_any_words(client, segmenter) -> None:
    found = client("/look", photo_file(8, 4), name="C:\\holidays\\a.png").content
    assert (found["width"], found["height"], found["note"]) == (8, 4, "")
    asked = {**ASKED, "photo": found["photo"]}
    first = client("/segment", asked).content
    assert first["runs"] == [0, 4, 1, 4] * 4 and first["notes"] == []
    assert [(name["name"], name["share"]) for name in first["names"]] == [
        *[("cat", 0.5), ("sofa", 0.5)]
    ]
    assert all(0 <= name["point"][0] - 4 * k < 4 for k, name in enumerate(first["names"]))
    # 0.4 is below the threshold; labels from the number of names on are background
    again = client("/segment", {**asked, "words": "dog, red car", "threshold": 0.5}).content
    assert again["runs"] == [0, 4, 255, 4] * 4
    alone = client("/segment", {**asked, "words": "dog"}).content
    assert alone["runs"] == [0, 32] and "is the only name" in alone["notes"][0]
    rest = client("/segment", {**asked, "words": "dog", "background": "wall|floor"}).content
    assert rest["runs"] == [0, 4, 255, 4] * 4
    assert segmenter.model.calls == [1]
    at = client("/at", {"photo": found["photo"], "x": 1, "y": 2}).content
    assert at["name"] == "dog" and at["best"][0]["score"] == pytest.approx(0.9)
    assert client("/at", {"photo": found["photo"], "x": 7, "y": 2}).content["name"] is None


def test_files_to_download(client) -> None:
    key = client("/look", photo_file(8, 4), name="../a.png").content["photo"]
    client("/segment", {**ASKED, "photo": key})
    shown = Image.open(io.BytesIO(client("/photo.jpg", photo=key).content))
    assert shown.size == (8, 4)
    labels = Image.open(io.BytesIO(client("/result_labels.png", photo=key).content))
    assert np.asarray(labels).tolist() == [[0] * 4 + [1] * 4] * 4
    picture = client("/result_overlay.png", photo=key, opacity="0.3")
    assert picture.headers["Content-Type"] == "image/png"
    assert Image.open(io.BytesIO(picture.content)).mode == "RGB"
    summary = client("/result.json", photo=key).content
    assert summary["image"] == "a.png" and summary["shares"] == {"cat": 0.5, "sofa": 0.5}
    # what the model is, but not where it lies on this machine
    assert (summary["config"], summary["clip"]) == ("zsk_lite2.yaml", "ViT-B/16")
    assert client("/model").content["title"] == "default, CLIP ViT-B/16"
    coco = client("/result_coco.json", photo=key).content
    assert [annotation["area"] for annotation in coco["annotations"]] == [16, 16]
    assert client.sentence("/result_overlay.png", photo=key, opacity="2")[0] == 400
    assert client.sentence("/result_overlay.png", photo=key, opacity="x")[0] == 400


def test_files_keep_the_name_of_the_photo(client) -> None:
    name = "写真\u30001 " + "x" * 120 + ".jpg"
    key = client("/look", photo_file(8, 4), name=name).content["photo"]
    client("/segment", {**ASKED, "photo": key})
    assert client("/result.json", photo=key).content["image"] == name
    assert client("/result_coco.json", photo=key).content["images"][0]["file_name"] == name


@pytest.mark.parametrize(
    "text, shown",
    [
        ("ViT-B/16", "ViT-B/16"),
        ("open_clip:ViT-B-16/laion2b", "open_clip:ViT-B-16/laion2b"),
        ("hf://owner/model.pth", "hf://owner/model.pth"),
        ("vectors:/home/me/a.vec,customers/b.vec", "vectors:a.vec,b.vec"),
        ("open_clip:/home/me/a.pt", "open_clip:a.pt"),
        ("open_clip:customers/acme.pth", "open_clip:acme.pth"),
        ("open_clip:customers", "open_clip:customers"),
        ("output/acme/model.pth", "model.pth"),
        ("('/home/me/x', '../y/z')", "('x', 'z')"),
        ("customers/acme.pth", "acme.pth"),
    ],
)
def test_folders_of_the_machine_stay_on_it(tmp_path, monkeypatch, text, shown) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "customers").mkdir()
    (tmp_path / "customers/acme.pth").touch()
    assert _without_place(text) == shown


def test_a_large_photo_is_scaled_down_and_the_page_says_so(client) -> None:
    file = io.BytesIO()
    Image.new("RGB", (3000, 1500)).save(file, "JPEG")
    found = client("/look", file.getvalue()).content
    assert (found["width"], found["height"]) == (1024, 512)
    assert found["note"] == "scaled down from 3000x1500 pixels"


@pytest.mark.parametrize(
    "change, status, sentence",
    [
        ({"words": " , ;"}, 400, "there are no words: type some"),
        ({"words": "cat, " * 30_000}, 400, "over 100,000 characters"),
        ({"words": ", ".join(f"w{n}" for n in range(201))}, 400, "201 words, and the page takes"),
        ({"words": "|".join(f"w{n}" for n in range(201))}, 400, "201 words, and the page takes"),
        ({"background": "|".join(f"w{n}" for n in range(201))}, 400, "201 words for the back"),
        ({"words": "cat, cat"}, 400, "'cat' occurs twice"),
        ({"words": "@/etc/passwd"}, 400, "looks like a file"),
        ({"words": None}, 400, "no text 'words'"),
        ({"threshold": 2}, 400, "threshold is 2"),
        ({"threshold": float("nan")}, 400, "'threshold' is no number"),
        ({"lam": "x"}, 400, "'lam' is no number"),
        ({"photo": "guessed"}, 410, "no longer in memory"),
    ],
)
def test_words_that_are_refused(client, change, status, sentence) -> None:
    key = client("/look", photo_file(8, 4)).content["photo"]
    answered = client.sentence("/segment", {**ASKED, "photo": key, **change})
    assert answered[0] == status and sentence in answered[1]
    assert client("/segment", {**ASKED, "photo": key}).status == 200  # the server goes on


def test_a_click_that_is_refused(client) -> None:
    key = client("/look", photo_file(8, 4)).content["photo"]
    asked = {"photo": key, "x": 0, "y": 0}
    assert "has no words yet" in client.sentence("/at", asked)[1]
    client("/segment", {**ASKED, "photo": key})
    assert "(8, 0) is not on the photo" in client.sentence("/at", {**asked, "x": 8})[1]


@pytest.mark.parametrize(
    "content, sentence",
    [
        (b"", "no image of a known format"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "no image of a known format"),
        (photo_file(64, 64)[:60], "cannot be read"),
    ],
)
def test_a_file_that_is_no_photo(client, content, sentence) -> None:
    status, answered = client.sentence("/look", content, name="a.txt")
    assert status == 400 and answered.startswith("a.txt ") and sentence in answered


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_photo_of_100_megapixels_is_refused_before_it_is_decoded(client) -> None:
    buffer = io.BytesIO()
    Image.new("1", (10_000, 10_000)).save(buffer, "PNG")
    status, sentence = client.sentence("/look", buffer.getvalue(), name="a.png")
    assert status == 413 and "a.png has 100 million pixels, and the limit is 64" in sentence


def test_an_upload_over_the_limit(client, monkeypatch) -> None:
    monkeypatch.setattr(server_module, "MAX_UPLOAD", 2_000_000)
    status, sentence = client.sentence("/look", bytes(3_000_000))
    assert status == 413 and sentence.startswith("the file has 3 MB, and the limit is 2 MB")


def test_only_addresses_of_the_table_exist(client) -> None:
    for path in ("/../pyproject.toml", "/page.js/../../app.py", "//etc/passwd", "/%2e%2e/app.py"):
        assert client(path).status == 404
        assert client("/result" + path).status == 404
    assert client("/segmentation", {}).status == 404
    assert client("/segment", b"[1]").status == client("/segment", b"{").status == 400
    page = client("/")
    assert page.status == 200 and b"page.js" in page.content
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert not [name for name in page.headers if name.lower().startswith("access-control")]


def test_another_page_in_the_same_browser_is_kept_out(client) -> None:
    for host in ("attacker.example", f"attacker.example:{client.port}", "", "[", "localhost.evil"):
        assert client("/model", headers={"Host": host}).status == 403
    for host in (f"localhost:{client.port}", "192.168.0.7:8321", "[::1]:8321"):
        assert client("/model", headers={"Host": host}).status == 200
    other_port = f"http://127.0.0.1:{client.port + 1}"
    for origin in ("http://attacker.example", "null", "http://[", other_port):
        assert client("/look", photo_file(8, 4), {"Origin": origin}).status == 403
    own = f"http://127.0.0.1:{client.port}"
    assert client("/look", photo_file(8, 4), {"Origin": own}).status == 200


def test_the_least_recently_used_photo_is_dropped(client, app) -> None:
    app.photos.limit = 2
    first, second = (client("/look", photo_file(8, 4)).content["photo"] for _ in range(2))
    client("/segment", {**ASKED, "photo": first})
    third = client("/look", photo_file(8, 4)).content["photo"]
    status, sentence = client.sentence("/segment", {**ASKED, "photo": second})
    assert status == 410 and sentence.endswith("give it again")
    # a browser with another photo gives its own place for it
    client("/look", photo_file(8, 4), instead=third)
    assert client("/segment", {**ASKED, "photo": first}).status == 200


def test_two_browsers_at_once(client) -> None:
    def use(words: str) -> set:
        key = client("/look", photo_file(8, 4)).content["photo"]
        answers = [client("/segment", {**ASKED, "photo": key, "words": words}) for _ in range(5)]
        return {name["name"] for answer in answers for name in answer.content["names"]}

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(use, ["a, b", "c, d", "e, f", "g, h"]))
    assert found == [{"a", "b"}, {"c", "d"}, {"e", "f"}, {"g", "h"}]


def test_a_connection_that_is_cut_off(client, capfd) -> None:
    with socket.create_connection(("127.0.0.1", client.port)) as connection:
        connection.sendall(
            b"POST /look HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\nabc"
        )
    with socket.create_connection(("127.0.0.1", client.port)) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.sendall(b"GET /page.js HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert client("/model").status == 200
    assert "Traceback" not in capfd.readouterr().err


def test_while_the_model_is_loaded_and_where_it_fails(client, app, segmenter, capfd) -> None:
    app.segmenter = None
    assert client("/model").content["ready"] is False
    status, sentence = client.sentence("/look", photo_file(8, 4))
    assert status == 503 and "still being loaded" in sentence
    app.segmenter = segmenter
    about = client("/model").content
    assert about["ready"] and about["lam"] == segmenter.cfg.MODEL.ENSEMBLE.LAMBDA
    for error, said in ((MemoryError(), "not enough memory"), (KeyError("x"), "a defect")):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(segmenter, "look", lambda image: (_ for _ in ()).throw(error))
            status, sentence = client.sentence("/look", photo_file(8, 4))
            assert status == 500 and said in sentence
    assert "KeyError" in capfd.readouterr().err
    assert client("/look", photo_file(8, 4)).status == 200


def test_options_of_the_command(monkeypatch, capsys) -> None:
    with Server("127.0.0.1", 0, App()) as server:
        with pytest.raises(UserError, match="cannot be served .*another --port"):
            web.main(["--port", str(server.server_address[1])])
    with pytest.raises(UserError, match="port 70000"):
        web.main(["--port", "70000"])
    # the model is missing: the program ends, whatever the thread of the page does
    with pytest.raises(UserError, match="no-such.yaml"):
        web.main(["--port", "0", "--config-file", "no-such.yaml", "--host", "0.0.0.0"])
    said = capsys.readouterr()
    assert "http://localhost:" in said.out
    assert said.err.startswith("warning: --host 0.0.0.0 lets everybody")
