"""`zsk train` and `zsk evaluate`: calls that cannot be meant."""

import pytest

from zsk.cli.train import argument_parser, evaluate
from zsk.config import default_config
from zsk.errors import UserError
from zsk.load import check_device


def test_an_evaluation_is_of_the_weights_that_are_named(capsys):
    """Detectron2 would evaluate the last checkpoint of OUTPUT_DIR."""
    with pytest.raises(SystemExit):
        argument_parser().parse_args(["--eval-only", "--resume"])
    assert "--resume: not allowed with argument --eval-only" in capsys.readouterr().err


def test_an_evaluation_on_nothing():
    with pytest.raises(UserError, match="DATASETS.TEST is empty: name a registered data set"):
        evaluate(default_config())


@pytest.mark.parametrize("device", ["mps", "xpu", "cuda:99"])
def test_a_device_that_is_not_there(device):
    with pytest.raises(UserError, match=f"device '{device}' cannot be used"):
        check_device(device)
