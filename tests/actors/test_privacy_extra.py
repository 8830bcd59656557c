"""The extra for sensitive fields: missed when a system is composed that needs it, and of no matter to any other."""

import json
import os
import subprocess
import sys
from typing import Any

PLAIN = """
import json, sys
import tallystick as ts
from tests.actors.workshop import Desk, Ledger, Workshop
with ts.System(runtime=ts.SteppedRuntime()) as system:
    with system.bracket("Import") as operation:
        operation.note("checkpoint", "here")
    calls = []
    sys.setprofile(lambda frame, event, _: calls.append(frame.f_code.co_filename) if event == "call" else None)
    system.operations.start("Import")
    sys.setprofile(None)
inside = sorted({call.rsplit("/", 1)[1] for call in calls if call.endswith(("vault.py", "sealing.py", "keys.py", "key_file.py"))})
print(json.dumps({"cryptography": "cryptography" in sys.modules, "key_file": "tallystick.store.key_file" in sys.modules, "called": inside}))
"""
WITHOUT = """
import json, sys
sys.modules["cryptography"] = None
import tallystick as ts
from tests.actors.register import compose
said = []
for given in ({}, {"keys": ts.MemoryKeys()}):
    try:
        compose(**given)
    except ts.DefinitionError as error:
        said.append(str(error))
ts.System(runtime=ts.SteppedRuntime())
print(json.dumps(said))
"""


def run(program: str) -> Any:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment)  # noqa: S603 - our own program
    return json.loads(done.stdout)


def test_a_program_without_sensitive_fields_neither_imports_nor_calls_what_seals() -> None:
    assert run(PLAIN) == {"cryptography": False, "key_file": False, "called": []}


def test_a_program_that_needs_the_extra_and_does_not_have_it_is_told_when_it_is_composed() -> None:
    said = run(WITHOUT)
    assert len(said) == 2
    assert all("pip install 'tallystick[privacy]'" in each for each in said)
