/* Types of elements: what they are called in dlc, in safetensors files and in NumPy. */

#include "internal.h"

const struct dtype DTYPES[DTYPE_COUNT] = {
    [DLCNET_F64] = {"f64", "F64", "float64", 8},
    [DLCNET_F32] = {"f32", "F32", "float32", 4},
    [DLCNET_F16] = {"f16", "F16", "float16", 2},
    [DLCNET_BF16] = {"bf16", "BF16", "bfloat16", 2},
    [DLCNET_I64] = {"i64", "I64", "int64", 8},
    [DLCNET_I32] = {"i32", "I32", "int32", 4},
    [DLCNET_I16] = {"i16", "I16", "int16", 2},
    [DLCNET_I8] = {"i8", "I8", "int8", 1},
    [DLCNET_U64] = {"u64", "U64", "uint64", 8},
    [DLCNET_U32] = {"u32", "U32", "uint32", 4},
    [DLCNET_U16] = {"u16", "U16", "uint16", 2},
    [DLCNET_U8] = {"u8", "U8", "uint8", 1},
    [DLCNET_BOOL] = {"bool", "BOOL", "bool", 1},
};
