"""The template of the example: Amazon's own linter has nothing to say, and the numbers fit each other."""

import ast
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "lambda-renditions"
TEMPLATE = EXAMPLE / "template.yaml"


@pytest.fixture(scope="module")
def resources() -> dict[str, Any]:
    """The template's resources; CloudFormation's short forms (``!Ref``) as what they are of."""
    yaml = pytest.importorskip("yaml", reason="PyYAML comes with moto")

    class Loader(yaml.SafeLoader):  # type: ignore[name-defined,misc]
        pass

    Loader.add_multi_constructor("!", lambda loader, tag, node: {tag: loader.construct_scalar(node)})
    found: dict[str, Any] = yaml.load(TEMPLATE.read_text(), Loader)["Resources"]
    return found


def test_the_linter_is_content() -> None:
    """cfn-lint knows each property of each resource, also of SAM's."""
    linter = Path(sys.executable).with_name("cfn-lint")
    if not linter.exists():
        pytest.skip("cfn-lint is not installed")
    command = [str(linter), str(TEMPLATE)]
    told = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert told.returncode == 0, told.stdout + told.stderr


def test_the_numbers_fit(resources: dict[str, Any]) -> None:
    """Visibility six times the time-out; what fails is told one by one, tried often, and kept long when it is dead."""
    called, queue, dead = (resources[name]["Properties"] for name in ("Function", "Arrivals", "Failed"))
    (trigger,) = called["Events"].values()
    assert trigger["Properties"]["Queue"] == {"GetAtt": "Arrivals.Arn"}
    assert queue["VisibilityTimeout"] >= 6 * called["Timeout"]
    assert queue["RedrivePolicy"]["maxReceiveCount"] >= 5
    assert queue["RedrivePolicy"]["deadLetterTargetArn"] == {"GetAtt": "Failed.Arn"}
    assert trigger["Properties"]["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert trigger["Properties"]["ScalingConfig"]["MaximumConcurrency"] <= called["ReservedConcurrentExecutions"]
    assert dead["MessageRetentionPeriod"] >= queue["MessageRetentionPeriod"]


def test_the_margin_fits_the_timeout(resources: dict[str, Any]) -> None:
    """A photo that is begun has its seconds before the function's are over; and one of the largest fits the storage."""
    told = (EXAMPLE / "app.py").read_text()
    found = re.search(r"^SECONDS = ([\d.]+)$", told, re.MULTILINE)
    margin = re.search(r"margin=SECONDS \+ (\d+), largest=(\d+) << 20", told)
    assert found and margin
    called = resources["Function"]["Properties"]
    assert float(found[1]) + int(margin[1]) < called["Timeout"]
    assert int(margin[2]) * 2 < called["EphemeralStorage"]["Size"]


def test_no_more_rights_than_needed(resources: dict[str, Any]) -> None:
    """Three actions, each on one bucket; nothing with a star but the objects in it."""
    (policy,) = resources["Function"]["Properties"]["Policies"]
    allowed = {(one["Action"], next(iter(one["Resource"].values()))) for one in policy["Statement"]}
    assert allowed == {
        ("s3:GetObject", "${Originals.Arn}/*"),
        ("s3:ListBucket", "Originals.Arn"),
        ("s3:PutObject", "${Renditions.Arn}/*"),
    }


def test_the_handler_is_there(resources: dict[str, Any]) -> None:
    """The template names a name of the program."""
    module, _, name = resources["Function"]["Properties"]["Handler"].partition(".")
    names = {
        target.id
        for node in ast.parse((EXAMPLE / f"{module}.py").read_text()).body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    assert name in names
