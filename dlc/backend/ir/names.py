"""Names within a kernel: unique identifiers that do not clash with the functions kernels call."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable

# what kernel texts call, and Python's own words: no local may be called so
WORDS = """range parallel vector reduce threads min max select at fma radd rmul rmin rmax sqrt floor
ceil rint abs trunc copysign maximum minimum idiv imod f32 f64 i8 i16 i32 i64 u8 u16 u32 u64
mulhi_u32 random_bits chunk inf nan local_bool shared_bool thread_bool quarter_turns threefry_rounds
threefry2x32"""
RESERVED = (*keyword.kwlist, *WORDS.split())


# functions of the prelude and tiles are called so: exp_f32, f32_to_bf16, gemm_f32_14x32
_TYPED = re.compile(r"_(?=(?:b?f16|f32|f64|[iu](?:8|16|32|64))(?:_|$))")


class Names:
    """Unique Python identifiers from hints; none is what a kernel text may call."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self.used = {*RESERVED, *taken}

    def new(self, hint: str) -> str:
        word = "".join(c if c.isalnum() else "_" for c in hint).strip("_").lower() or "v"
        word = _TYPED.sub("", word if not word[0].isdigit() else f"v{word}")
        name, count = word, 1
        while name in self.used or _TYPED.search(name):
            count += 1
            name = f"{word}{count}" if not word[-1].isdigit() else f"{word}_{count}"
        self.used.add(name)
        return name
