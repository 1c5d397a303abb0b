"""A team of threads that share the segments of a launch, and sleep while there is nothing to do.

TBB's threads, on which Numba's ``prange`` is built, give their time slice away while they wait
(``sched_yield``). Next to busy processes, they therefore hardly ever run when there is work. A thread of this
team spins for a moment, and then sleeps until it is woken. The thread that calls takes segments too. It
computes all that no other thread has begun, and waits only for segments that another thread computes. See
benchmarks/busy.py. Threads sleep on a futex of Linux. On other systems, `nnx.ops.share_numba` uses TBB's.

All threads share these words of memory. Each word has a separate cache line:

- TICKET: the number of the launch (32 bits), of its segments (16), and of the next segment (16). A thread
  takes a segment by adding 1. This fails if the launch is over, so a thread that is late changes nothing.
- WORK, DATA: the function of the launch, and its argument.
- DONE: how many segments are finished. CALLER: 1 while the caller sleeps until all are.
- LAUNCH: the number of the launch, which threads watch. ASLEEP: how many of them sleep.
- TAKEN: 1 during a launch. A launch by another Python thread then computes its segments alone.
- END: 1 when the threads must end.
"""

from __future__ import annotations

import atexit
import ctypes
import functools
import inspect
import os
import platform
import signal
import sys
from typing import Any

import numpy as np
from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from nnx.ops.base_numba import compiled, inner

LINE = 16  # words of 8 bytes: two cache lines, because some processors fetch them in pairs
TICKET, WORK, DATA, DONE, CALLER, LAUNCH, ASLEEP, TAKEN, END = range(0, 9 * LINE, LINE)
SYMBOL, WORDS = "nnx_launch", "nnx_launch_words"  # names for compiled code
MOST = 2**15  # segments of a launch
SPINS = 2000  # pauses, together 30 to 90 µs: longer than the time between two operations of a step
FUTEX, WAIT, WAKE = 202, 128, 129  # the system call, and its operations within one process
AVAILABLE = sys.platform == "linux" and platform.machine() == "x86_64"  # where it was tested

for_threads = compiled(no_cfunc_wrapper=False, no_cpython_wrapper=True)  # only called from C
_libc: Any = ctypes.CDLL(None) if AVAILABLE else None
_words = np.zeros(9 * LINE, np.int64)
_threads: list[ctypes.c_ulong] = []
binding.add_symbol(WORDS, _words.ctypes.data)


def _place(builder: Any, index: Any) -> Any:
    """Return the address of a word."""
    name = builder.module.globals.get(WORDS)
    return builder.gep(name or ir.GlobalVariable(builder.module, ir.IntType(64), WORDS), [index])


def _operation(generate: Any) -> Any:
    """Return an operation of compiled code on integers; `generate(builder, ...)` makes its code."""

    def typed(*arguments: Any) -> Any:
        signature = types.int64(*[types.int64] * len(arguments))
        return signature, lambda context, builder, _, values: generate(builder, *values)

    forms: list[Any] = [
        lambda _: typed(),
        lambda _, a: typed(a),
        lambda _, a, b: typed(a, b),
        lambda _, a, b, c: typed(a, b, c),
    ]
    return intrinsic(forms[len(inspect.signature(generate).parameters) - 1])


@_operation
def load(builder: Any, index: Any) -> Any:
    """Return a word."""
    return builder.load_atomic(_place(builder, index), "seq_cst", 8)


@_operation
def store(builder: Any, index: Any, value: Any) -> Any:
    """Change a word; return the new value."""
    builder.store_atomic(value, _place(builder, index), "seq_cst", 8)
    return value


@_operation
def add(builder: Any, index: Any, value: Any) -> Any:
    """Add to a word; return its value before."""
    return builder.atomic_rmw("add", _place(builder, index), value, "seq_cst")


@_operation
def exchange(builder: Any, index: Any, old: Any, new: Any) -> Any:
    """Change a word if it is `old`; return 1 if it was, else 0."""
    pair = builder.cmpxchg(_place(builder, index), old, new, "seq_cst", "seq_cst")
    return builder.zext(builder.extract_value(pair, 1), ir.IntType(64))


@_operation
def futex(builder: Any, index: Any, operation: Any, value: Any) -> Any:
    """Sleep if the lower half of a word is `value`, or wake up to `value` threads that sleep on it."""
    number, pointer = ir.IntType(64), cgutils.voidptr_t
    form = ir.FunctionType(number, [number], var_arg=True)
    call = cgutils.get_or_insert_function(builder.module, form, "syscall")
    return builder.call(call, [number(FUTEX), _place(builder, index), operation, value, pointer(None)])


@_operation
def spin(builder: Any, index: Any, value: Any) -> Any:
    """Wait a moment for a word to change; return 1 if it is still `value`, else 0.

    It is written in the compiler's own terms, because Numba would compile the same in Python once for each
    of its calls.
    """
    form = ir.FunctionType(ir.VoidType(), [])
    pause = cgutils.get_or_insert_function(builder.module, form, "llvm.x86.sse2.pause")
    same = cgutils.alloca_once(builder, ir.IntType(1))
    with cgutils.for_range(builder, ir.IntType(64)(SPINS)) as loop:
        now = builder.load_atomic(_place(builder, index), "seq_cst", 8)
        builder.store(builder.icmp_signed("==", now, value), same)
        with builder.if_then(builder.not_(builder.load(same))):
            loop.do_break()
        builder.call(pause, [])
    return builder.zext(builder.load(same), ir.IntType(64))


@_operation
def compute(builder: Any, work: Any, segment: Any, data: Any) -> Any:
    """Call `work` for one segment, in the form that `nnx.ops.share_numba.share` gives it."""
    number, pointer = ir.IntType(64), cgutils.voidptr_t
    first = cgutils.alloca_once(builder, pointer)
    builder.store(builder.inttoptr(segment, pointer), first)
    one = cgutils.alloca_once_value(builder, number(1))
    form = [pointer.as_pointer(), *[number.as_pointer()] * 2, pointer]
    function = builder.inttoptr(work, ir.FunctionType(ir.VoidType(), form).as_pointer())
    builder.call(function, [first, one, one, builder.inttoptr(data, pointer)])
    return number(0)


@inner
def take(number: int) -> bool:
    """Compute the next segment of a launch; return whether there was one."""
    while True:
        ticket = load(TICKET)
        count, segment = (ticket >> 16) & 0xFFFF, ticket & 0xFFFF
        if ticket >> 32 != number or segment >= count:
            return False
        work, data = load(WORK), load(DATA)  # of this launch, if the exchange succeeds
        if exchange(TICKET, ticket, ticket + 1):
            compute(work, segment, data)
            if add(DONE, 1) + 1 == count and load(CALLER):
                futex(DONE, WAKE, 1)
            return True


@for_threads
def launch(work: int, data: int, count: int) -> None:
    """Compute all segments, together with the team; `work` and `data` are addresses."""
    if count > MOST or not exchange(TAKEN, 0, 1):
        for segment in range(count):
            compute(work, segment, data)
        return
    store(WORK, work)
    store(DATA, data)
    store(DONE, 0)
    number = (load(LAUNCH) + 1) & 0x7FFFFFFF
    store(TICKET, number << 32 | count << 16)
    store(LAUNCH, number)
    if load(ASLEEP):
        futex(LAUNCH, WAKE, count - 1)
    while take(number):
        pass
    done = load(DONE)
    while done < count:
        if spin(DONE, done):
            store(CALLER, 1)
            if load(DONE) < count:
                futex(DONE, WAIT, done)
            store(CALLER, 0)
        done = load(DONE)
    store(TAKEN, 0)


@for_threads
def serve(_: int) -> int:
    """Take segments of each launch, until the team ends; the loop of a thread."""
    seen = 0
    while True:
        while load(LAUNCH) == seen:
            if spin(LAUNCH, seen):
                add(ASLEEP, 1)
                futex(LAUNCH, WAIT, seen)
                add(ASLEEP, -1)
        if load(END):
            return 0
        seen = load(LAUNCH)
        while take(seen):
            pass


@functools.cache
def _address(kernel: Any, arguments: int) -> int:
    """Return the address of a compiled function in the form of C; all its arguments are integers."""
    kernel.compile((types.int64,) * arguments)
    (found,) = kernel.overloads.values()
    return int(found.library.get_pointer_to_function(found.fndesc.llvm_cfunc_wrapper_name))


def start(count: int) -> None:
    """Let the team have at least `count` threads, together with the one that calls."""
    if not AVAILABLE or count - 1 <= len(_threads):
        return
    address = ctypes.c_void_p(_address(serve, 1))
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())  # Python's threads get them
    try:
        while len(_threads) < count - 1:
            thread = ctypes.c_ulong()
            if _libc.pthread_create(ctypes.byref(thread), None, address, None):
                return  # the system allows no more threads: fewer compute the same
            _threads.append(thread)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end() -> None:
    """End the threads: none may run compiled code while the interpreter ends."""
    _words[[END, LAUNCH]] += 1
    _libc.syscall(FUTEX, ctypes.c_void_p(_words[LAUNCH:].ctypes.data), WAKE, 2**31 - 1, None)
    while _threads:
        _libc.pthread_join(_threads.pop(), None)
    _words[END] = 0


def _after_fork() -> None:
    """Start again: a child process has the memory of its parent, but not its threads."""
    count = len(_threads) + 1
    _threads.clear()
    _words[:] = 0
    start(count)


if AVAILABLE:
    binding.add_symbol(SYMBOL, _address(launch, 3))
    os.register_at_fork(after_in_child=_after_fork)
    atexit.register(end)
