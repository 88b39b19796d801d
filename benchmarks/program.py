"""A function compiled for its arguments, and what is known of it then: operations, compile time, memory, arithmetic."""

import contextlib
import dataclasses
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
from jax.experimental.compilation_cache import compilation_cache

from benchmarks.row import Row
from dopi_jax.forms import accelerator_forms

_CACHE_OPTIONS = {
    "jax_persistent_cache_min_compile_time_secs": 0.0,
    "jax_persistent_cache_min_entry_size_bytes": -1,
}


@dataclasses.dataclass(frozen=True)
class Program:
    """A compiled function and its arguments.

    Attributes:
      run: The compiled function; it takes the arguments that it was compiled for.
      operations: Of the program that is given to XLA, without constants.
      compile_seconds: From the Python function to the executable, with nothing known of either before.
      peak_bytes: Arguments, results and temporaries together; what an argument gives to a result is counted once.
      flops: Floating-point operations by XLA's count of the compiled program; None where it has no count.
      moved_bytes: Bytes that its instructions read and write by XLA's count; None likewise.
      result_bytes: Size of the results.
    """

    run: Callable[..., Any]
    operations: int
    compile_seconds: float
    peak_bytes: int
    flops: float | None
    moved_bytes: float | None
    result_bytes: int

    def row(self, case: str, what: str, **numbers: Any) -> Row:
        """Returns a line about the program, before it has been timed."""
        return Row(
            case,
            what,
            operations=self.operations,
            compile_seconds=self.compile_seconds,
            peak_bytes=self.peak_bytes,
            flops=self.flops,
            moved_bytes=self.moved_bytes,
            **numbers,
        )


@contextlib.contextmanager
def fresh_cache() -> Iterator[None]:
    """Gives JAX an empty persistent cache of its own inside, so that a first compilation is cold and a second is not."""
    options = {name: getattr(jax.config, name) for name in ("jax_compilation_cache_dir", *_CACHE_OPTIONS)}
    with tempfile.TemporaryDirectory(prefix="dopi_jax_benchmark_") as folder:
        try:
            _configure({"jax_compilation_cache_dir": folder, **_CACHE_OPTIONS})
            yield
        finally:
            _configure(options)


def _configure(options: dict[str, Any]) -> None:
    for name, value in options.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()  # the folder is otherwise read once a process


def compile_program(function: Callable[..., Any], *arguments: Any) -> Program:
    """Compiles a function for its arguments, which leaves it in the persistent cache.

    Args:
      function: What `jax.jit` or `parallel.data_parallel` returns.
      *arguments: Trees of arrays, as later calls will give them.

    Returns:
      The `Program`.
    """
    operations, compiled, compile_seconds = _compile(function, arguments)
    memory = compiled.memory_analysis()
    costs = compiled.cost_analysis() or {}
    held = memory.argument_size_in_bytes + memory.output_size_in_bytes + memory.temp_size_in_bytes
    return Program(
        compiled,
        operations,
        compile_seconds,
        held - memory.alias_size_in_bytes,
        costs.get("flops"),
        costs.get("bytes accessed"),
        memory.output_size_in_bytes,
    )


def cached_compile_seconds(function: Callable[..., Any], *arguments: Any) -> float:
    """Returns how long compiling takes once more in another process: tracing, and reading the executable back.

    Args:
      function: As in `compile_program`, which was called before, inside the same `fresh_cache`.
      *arguments: Likewise.
    """
    return _compile(function, arguments)[-1]


def count_operations(program: str) -> int:
    """Returns how many operations a StableHLO program has, given as text: without constants, a function counted once."""
    return len(re.findall(r' = "?(?:stablehlo|chlo|func)\.(?!constant)| = call ', program))


def cuda_operations(function: Callable[..., Any], *arguments: Any) -> int:
    """Returns how many operations a program has where it is lowered for an NVIDIA GPU, which need not be there.

    Args:
      function: As in `compile_program`.
      *arguments: Likewise; shapes suffice.
    """
    jax.clear_caches()
    with accelerator_forms():
        lowered = jax.jit(lambda *given: function(*given)).trace(*arguments).lower(lowering_platforms=("cuda",))
    return count_operations(lowered.as_text())


def _compile(function: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[int, Any, float]:
    jax.clear_caches()  # of traces and executables in memory
    start = time.perf_counter()
    lowered = function.lower(*arguments)
    lowered_in = time.perf_counter() - start
    operations = count_operations(lowered.as_text())
    start = time.perf_counter()
    compiled = lowered.compile()
    return operations, compiled, lowered_in + time.perf_counter() - start
