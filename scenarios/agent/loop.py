"""The loop: ask the model, call the tool that it names, tell it the result, until it answers. Each step is an operation of its own.

What the model has said and what a tool has answered are in the log, by the number of the step. A run that is begun again after a crash
goes through the same steps, and finds them done: the model is not asked twice, which would decide otherwise, and no tool is called twice.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

import tallystick as ts

Json = str | int | float | bool | None
Arguments = Mapping[str, Json]
STEPS_LIMIT: Final = 50
ATTEMPTS: Final = 3


class ToolCall(NamedTuple):
    """The model wants a tool to be called."""

    tool: str
    arguments: Arguments


class Answer(NamedTuple):
    """The model is done."""

    text: str


Model = Callable[[Sequence[str]], ToolCall | Answer]
"""Decides on the next step, given all results so far."""
Tool = Callable[[Arguments, str], str]
"""Does something, given arguments and a key that is the same whenever this very call is made again."""


class Stopped(Exception):
    """Somebody has canceled the run."""


class TooManySteps(RuntimeError):
    """The model does not come to an end."""


class Agent:
    """Runs one model with its tools."""

    def __init__(self, system: ts.System, model: Model, tools: Mapping[str, Tool]) -> None:
        self._system = system
        self._model = model
        self._tools = tools

    def run(self, name: str) -> str:
        """Carry a run to its end, from wherever it stands; the model's answer.

        Raises:
            Stopped: the run was ended from outside, by `operations.cancel`.
            TooManySteps: it was asked for more than there may be; the run has failed.
        """
        with self._system.bracket("Agent.Run", idempotency_key=f"agent {name}") as run:
            if run.ended and run.found is not None:
                return str(run.found.data.get("answer", ""))
            results: list[str] = []
            for number in range(1, STEPS_LIMIT + 1):
                if run.cancelled():
                    raise Stopped(name)
                step = self._decide(f"agent {name}, step {number}", results)
                if isinstance(step, Answer):
                    run.data = {"answer": step.text}
                    return step.text
                results.append(self._call(f"agent {name}, call {number}", step))
            raise TooManySteps(name)

    def _decide(self, key: str, results: Sequence[str]) -> ToolCall | Answer:
        """What the model says, or has said."""
        with self._system.bracket("Agent.Decide", idempotency_key=key) as operation:
            if operation.ended and operation.found is not None:
                said = operation.found.data
            else:
                step = self._model(results)
                said = operation.data = (
                    {"answer": step.text}
                    if isinstance(step, Answer)
                    else {"tool": step.tool, "arguments": json.dumps(dict(step.arguments))}
                )
        return Answer(str(said["answer"])) if "answer" in said else ToolCall(str(said["tool"]), json.loads(str(said["arguments"])))

    def _call(self, key: str, call: ToolCall) -> str:
        """A tool's result, or what it has answered; its failure is a result too, after so many attempts, for the model to deal with."""
        with self._system.bracket("Agent.ToolCall", idempotency_key=key, tags={"tool": call.tool}) as operation:
            if operation.ended and operation.found is not None:
                return str(operation.found.data.get("result", f"error: {operation.found.status}"))
            result = self._attempted(operation, call, key)
            operation.data = {"result": result}
            return result

    def _attempted(self, operation: ts.Operation, call: ToolCall, key: str) -> str:
        tool = self._tools.get(call.tool)
        if tool is None:
            return f"error: there is no tool {call.tool}"
        failed = ""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return tool(call.arguments, key)
            except Exception as error:  # noqa: BLE001 - whatever a tool raises is for the model to hear
                failed = f"error: {type(error).__name__}: {error}"
                operation.note("error", failed, {"attempt": attempt})
        return failed
