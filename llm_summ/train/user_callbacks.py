"""A user's own callbacks (`train.callbacks`): import them, and forward the events of the training to them.

A callback is a class of transformers' `TrainerCallback` that is called without arguments. Every method of it gets
``(args, state, control, **more)``. In `more` are `run` (the path of the run's folder), `rank` (the number of this
process, from 0), `model`, `optimizer`, `lr_scheduler` and `processing_class` (the tokenizer), and::

    on_train_begin, on_train_end
    on_epoch_begin, on_epoch_end
    on_step_begin, on_step_end     state.global_step is the number of finished steps
    on_pre_optimizer_step          the model's gradients are those of the whole step, clipped
    on_log                         logs: the loss, the learning rate …, or the figures of an evaluation
    on_save                        a checkpoint was written
    on_evaluate                    metrics: dev_score, dev_loss, dev_rouge1, dev_rouge2, dev_rougeL, dev_by_length,
                                   dev_rows

A step ends with on_step_end, on_log, on_save and on_evaluate, as far as they are due. `control.should_save` and
`control.should_training_stop` have an effect; a stop saves a checkpoint first. With several processes each has
callbacks of its own, and a flag that is set in one of them is set in all.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from transformers import TrainerCallback

from llm_summ.core.errors import LlmSummError, RecipeError, TrainingError, first_line
from llm_summ.core.files import file_sha256
from llm_summ.core.formatting import did_you_mean
from llm_summ.core.progress import say
from llm_summ.runs.run import Run
from llm_summ.train.checkpoint import how_to_resume
from llm_summ.train.process_group import ALONE, ProcessGroup

__all__ = ["EVENTS", "UserCallback", "UserCallbacks", "load_user_callbacks"]

EVENTS = tuple(name for name, value in vars(TrainerCallback).items() if name.startswith("on_") and callable(value))
"""The names of the methods of a callback."""

# After these the library looks at `control`.
_DECIDING = frozenset({"on_step_end", "on_epoch_end", "on_log", "on_save", "on_evaluate"})
_FLAGS = ("should_training_stop", "should_epoch_stop", "should_save", "should_log")


@dataclass(frozen=True, slots=True)
class UserCallback:
    """A callback of the user.

    Attributes:
        name: of the class, as the recipe has it.
        callback: an instance.
        source: the file or module of the class, as the recipe has it.
        sha256: of that file; empty: the module has no file.
    """

    name: str
    callback: TrainerCallback
    source: str
    sha256: str


class UserCallbacks(TrainerCallback):  # type: ignore[misc]
    """Forwards events to the user's callbacks, in the recipe's order.

    An exception of a callback ends the training with one line.

    Args:
        callbacks: at least one.
    """

    def __init__(self, callbacks: Sequence[UserCallback]) -> None:
        self.callbacks = tuple(callbacks)
        self._run: Run | None = None
        self._processes = ALONE
        for event in EVENTS:
            setattr(self, event, partial(self._forward, event))

    @property
    def hashes(self) -> dict[str, str]:
        """The SHA-256 of each file or module that callbacks come from."""
        return {user.source: user.sha256 for user in self.callbacks if user.sha256}

    def attach(self, run: Run, processes: ProcessGroup) -> None:
        """Set the run that is trained, and the processes that train it."""
        self._run, self._processes = run, processes

    def note_changed_files(self, hashes: dict[str, str]) -> None:
        """Print a line for each file that has changed since the training began; `hashes` are the manifest's."""
        for source, sha256 in self.hashes.items():
            if hashes.get(source) != sha256:
                say(
                    f"note: {source}: was changed after the training began; the training continues with the "
                    "new file"
                )

    def _forward(self, event: str, args: Any, state: Any, control: Any, **more: Any) -> Any:
        """Call the method of every callback, and act on the flags that they set.

        Raises:
            TrainingError: one of them failed.
        """
        stopped = control.should_training_stop
        for user in self.callbacks:
            control = self._call(user, event, args, state, control, **more)
        if event in _DECIDING and self._processes.world > 1:
            counts = self._processes.sum(*(float(getattr(control, flag)) for flag in _FLAGS))
            for flag, count in zip(_FLAGS, counts, strict=True):
                setattr(control, flag, count > 0)
        # The library ends its loop at once, before the last step's checkpoint would be due.
        if control.should_training_stop and state.global_step < state.max_steps:
            if event == "on_step_end" or (event in {"on_log", "on_epoch_end"} and not stopped):
                control.should_save = True
            if not stopped:
                say(f"train.callbacks: {event} stops the training at step {state.global_step}")
        return control

    def _call(self, user: UserCallback, event: str, args: Any, state: Any, control: Any, **more: Any) -> Any:
        assert self._run is not None
        try:
            result = getattr(user.callback, event)(
                args, state, control, run=self._run.path, rank=self._processes.rank, **more
            )
        except LlmSummError:
            raise
        except Exception as error:
            raise TrainingError(
                f"train.callbacks: {user.name}: {event} failed at step {state.global_step}: {_reason(error)}; "
                f"correct it, then {how_to_resume(self._run, self._processes.world)}"
            ) from error
        control = control if result is None else result
        if control.should_evaluate:
            raise TrainingError(
                f"train.callbacks: {user.name}: {event} set control.should_evaluate, which has no effect here; "
                "set evaluation.every in the recipe instead"
            )
        return control


def load_user_callbacks(names: Sequence[str]) -> UserCallbacks:
    """Import the classes of `train.callbacks`, and make one of each.

    Args:
        names: ``FILE.py:Class`` or ``module:Class``; at least one.

    Raises:
        RecipeError: a line for each that cannot be imported or made.
    """
    loaded, errors, modules = [], list[str](), dict[str, ModuleType]()
    for name in names:
        source, _, kind = name.rpartition(":")
        try:
            if source not in modules:
                modules[source] = _import(source)
            loaded.append(_make(name, source, modules[source], kind))
        except RecipeError as error:
            errors.append(f"train.callbacks: {error}")
    if errors:
        raise RecipeError("\n".join(dict.fromkeys(errors)))
    return UserCallbacks(loaded)


def _import(source: str) -> ModuleType:
    """Import a file, or a module by its name.

    Raises:
        RecipeError: it cannot be imported.
    """
    if not source.endswith(".py"):
        return _run_import(source, lambda: importlib.import_module(source))
    path = Path(source)
    if not path.is_file():
        raise RecipeError(
            f"{source}: {'is a folder' if path.is_dir() else 'no such file'}; expected a file next to the recipe, "
            "or a path from the working directory"
        )
    return _run_import(source, lambda: _import_file(path))


def _import_file(path: Path) -> ModuleType:
    name = f"llm_summ_callbacks_{file_sha256(path)[:16]}"
    spec = importlib.util.spec_from_file_location(name, path.resolve())
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.append(folder)  # last, so that modules next to the file are found and hide none
    sys.modules[name] = module  # a dataclass looks up its module there
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _run_import(source: str, work: Callable[[], ModuleType]) -> ModuleType:
    """Return the module, or explain why it cannot be imported.

    Raises:
        RecipeError: the reason, with the line of the file if there is one.
    """
    try:
        return work()
    except SyntaxError as error:
        where = f"{error.filename or source}:{error.lineno}" if error.lineno else error.filename or source
        raise RecipeError(f"{where}: not valid Python ({error.msg}); correct it") from error
    except (Exception, SystemExit) as error:
        raise RecipeError(
            f"{_place(error, source)}: cannot be imported: {_reason(error, place=False)}; correct it"
        ) from error


def _make(name: str, source: str, module: ModuleType, kind: str) -> UserCallback:
    """Make an instance of a class of a module.

    Raises:
        RecipeError: there is no such class, it is no callback, or its constructor fails.
    """
    classes = {
        other: value
        for other, value in vars(module).items()
        if inspect.isclass(value) and issubclass(value, TrainerCallback) and value is not TrainerCallback
    }
    if kind not in classes:
        known = f"found the callbacks: {', '.join(classes)}" if classes else "found no callback in it"
        what = "not a class of transformers.TrainerCallback" if hasattr(module, kind) else "no such class"
        raise RecipeError(f"{name}: {what}; {did_you_mean(kind, classes, known)}")
    try:
        callback = classes[kind]()
    except Exception as error:
        raise RecipeError(
            f"{name}: its constructor failed: {_reason(error, at=classes[kind])}; it is called without arguments"
        ) from error
    file = getattr(module, "__file__", None)
    return UserCallback(name, callback, source, file_sha256(Path(file)) if file else "")


def _reason(error: BaseException, *, place: bool = True, at: type[TrainerCallback] | None = None) -> str:
    """Return the error's class and first line, and where it was raised.

    Args:
        error: what was raised.
        place: whether to add the place.
        at: the class whose constructor is the place, if its arguments were refused before it ran.
    """
    last = traceback.extract_tb(error.__traceback__)[-1:]
    where = f" ({Path(last[0].filename).name}:{last[0].lineno})" if place and last else ""
    if last and last[0].filename == __file__:
        code = getattr(at.__init__, "__code__", None) if at is not None else None
        where = "" if code is None else f" ({Path(code.co_filename).name}:{code.co_firstlineno})"
    text = first_line(error)
    name = type(error).__name__
    return f"{name if text == name else f'{name}: {text}'}{where}"


def _place(error: BaseException, source: str) -> str:
    """Return the line of the user's file that an import stopped at."""
    resolved = Path(source).resolve()
    lines = [
        frame.lineno for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) == resolved
    ]
    return f"{source}:{lines[-1]}" if lines else source
