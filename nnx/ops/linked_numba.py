"""Compile functions that only other compiled functions call.

Numba optimizes each function and translates it to machine code. If another function calls it, Numba does both
again, for the two together, and stores both on disk. Of a function that Python never calls, only the second
is used. Without the first, compiling takes a fifth to a third less time; the results have the same bytes, and
kernels take the same time (docs/performance.md, "Starting").
"""

from __future__ import annotations

from typing import Any

from numba import _dynfunc
from numba.core.codegen import CPUCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import register_pass
from numba.core.typed_passes import NativeLowering


class _Library(CPUCodeLibrary):  # type: ignore[misc]
    """The code of a function, which is optimized and translated in the libraries that link it."""

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._verify_declare_only_symbols()
        self._finalized = True


@register_pass(mutates_CFG=True, analysis_only=False)
class _Lowering(NativeLowering):  # type: ignore[misc]
    """Make the code of a function, and show it to the functions that call it, but not to Python."""

    _name = "nnx_lowering"

    def run_pass(self, state: Any) -> bool:
        """Do as Numba's pass, with the library above."""
        context = state.targetctx
        state.library = _Library(context.codegen(), state.func_id.func_qualname)
        state.flags.no_compile = True
        super().run_pass(state)
        made = state["cr"]
        name = made.fndesc.qualname.rpartition(".")[2]
        key = _dynfunc.make_function(made.fndesc.lookup_module(), name, "", 0, made.env, (state.library,))
        context.insert_user_function(key, made.fndesc, [state.library])
        state["cr"] = made._replace(cfunc=key)
        return True


class LinkedCompiler(CompilerBase):  # type: ignore[misc]
    """Numba's passes, with the last one replaced."""

    def define_pipelines(self) -> list[Any]:
        """Return the passes."""
        manager = DefaultPassBuilder.define_nopython_pipeline(self.state)
        manager.passes = [(_Lowering if one is NativeLowering else one, said) for one, said in manager.passes]
        manager.finalize()
        return [manager]
