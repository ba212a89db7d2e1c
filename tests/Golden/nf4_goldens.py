"""Writes nf4/layers.safetensors: 4-bit layers as bitsandbytes stores them, and their values before and after.

A second implementation of the format in plain Python, sharing no code with the library: nearest code by search over
all sixteen, nearest scale code by search over all 256, IEEE single rounding after every operation. Run it without
arguments; it needs nothing but Python and the tables, which it reads from kernels/Simd/QuantTables.cs.
"""

import json
import math
import pathlib
import random
import re
import struct

HERE = pathlib.Path(__file__).parent
TABLES = (HERE / "../../kernels/Simd/QuantTables.cs").read_text()


def f32(x):
    return struct.unpack("<f", struct.pack("<f", x))[0]


def bf16(x):
    bits = struct.unpack("<I", struct.pack("<f", x))[0]
    bits += 0x7FFF + (bits >> 16 & 1)
    return struct.unpack("<f", struct.pack("<I", bits & 0xFFFF0000))[0]


def table(name):
    text = re.search(name + r" => Floats\(\s*\[(.*?)\]\)", TABLES, re.S).group(1)
    return [struct.unpack("<f", struct.pack("<I", int(h, 16)))[0] for h in re.findall("0x([0-9A-F]{8})", text)]


NF4, FP4, DYNAMIC = table("Nf4"), table("Fp4"), table("SignedDynamic")


def nearest(x, values):
    return min(range(len(values)), key=lambda i: (abs(values[i] - x), i))


def layer(out, name, shape, block, book, kind, nested, scale, seed):
    n = shape[0] * shape[1]
    draw = random.Random(seed)
    w = [bf16(draw.gauss(0, scale)) for _ in range(n)]
    w[:block] = [0.0] * min(block, n) if name.startswith("zero") else w[:block]
    scales, codes = [], []
    for first in range(0, n, block):
        part = w[first:first + block]
        top = max(abs(x) for x in part)
        scales.append(top)
        inverse = f32(1 / top) if top else 0
        codes += [nearest(f32(x * inverse), book) for x in part]
    state = {"quant_type": kind, "blocksize": block, "dtype": "bfloat16", "shape": list(shape)}
    key = name + ".weight"
    used = scales
    if nested:
        offset = f32(math.fsum(scales) / len(scales))
        rest = [f32(s - offset) for s in scales]
        groups, bytes8, used = [], [], []
        for first in range(0, len(rest), 256):
            part = rest[first:first + 256]
            top = max(abs(x) for x in part)
            groups.append(top)
            for x in part:
                code = nearest(f32(x * f32(1 / top)) if top else 0.0, DYNAMIC)
                bytes8.append(code)
                used.append(f32(f32(DYNAMIC[code] * top) + offset))
        state |= {"nested_blocksize": 256, "nested_dtype": "float32", "nested_offset": offset}
        out[key + ".absmax"] = ("U8", [len(bytes8)], bytes(bytes8))
        out[key + ".nested_absmax"] = floats(groups)
        out[key + ".nested_quant_map"] = floats(DYNAMIC)
    else:
        out[key + ".absmax"] = floats(scales)
    packed = codes + [7] * (n % 2)
    out[key] = ("U8", [len(packed) // 2, 1], bytes(packed[i] << 4 | packed[i + 1] for i in range(0, len(packed), 2)))
    out[key + ".quant_map"] = floats(book)
    text = json.dumps(state).encode()
    out[key + ".quant_state.bitsandbytes__" + kind] = ("U8", [len(text)], text)
    out["before." + name] = floats(w, shape)
    out["after." + name] = floats([f32(book[c] * used[i // block]) for i, c in enumerate(codes)], shape)


def floats(values, shape=None):
    return ("F32", list(shape or [len(values)]), struct.pack(f"<{len(values)}f", *values))


def write(path, tensors):
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name, (dtype, shape, content) in sorted(tensors.items(), key=lambda t: (t[1][0] != "F32", t[0])):
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


tensors = {}
layer(tensors, "plain", (20, 64), 64, NF4, "nf4", False, 0.02, 1)
layer(tensors, "nested", (150, 128), 64, NF4, "nf4", True, 0.02, 2)
layer(tensors, "ragged", (21, 33), 32, NF4, "nf4", True, 1.5, 3)
layer(tensors, "zero", (8, 64), 128, NF4, "nf4", True, 0.1, 4)
layer(tensors, "fp4", (9, 40), 64, FP4, "fp4", False, 0.3, 5)
write(HERE / "nf4/layers.safetensors", tensors)
