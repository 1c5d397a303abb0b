"""Twenty usual mistakes of task 15, and words of the hint for each (None: it only must be caught)."""

PAD = "images = np.pad(x, ((0, 0), sides, sides, (0, 0)))"
CORNER = "top, left = stride * i, stride * j"
DW = "dW += np.tensordot(window, slope, (0, 0))"
DX = "left : left + k] += np.tensordot(slope, W, (1, 3))"
WHOLE = "            dimages[:, top : top + k, " + DX
CUT = "dx = dimages[:, padding : padding + x.shape[1], padding : padding + x.shape[2]]"
DB = "db = dy.sum(axis=(0, 1, 2))"

MISTAKES = [
    (DX, "left : left + k] = np.tensordot(slope, W, (1, 3))", "only the last window"),
    (DX, "left : left + k] += np.tensordot(slope, W[::-1, ::-1], (1, 3))", "flipped in dx"),
    (DX, "left : left + k] += np.tensordot(slope, W.swapaxes(0, 1), (1, 3))", "transposed in dx"),
    (DX, "left : left + k] += np.tensordot(slope, W, (1, 3)) / len(x)", "divided by the number of images"),
    (DX, "left : left + k] += slope[:, None, None, :1] * W[..., 0]", "only the first filter"),
    (WHOLE, "            dimages[:, i : i + k, j : j + k] += np.tensordot(slope, W, (1, 3))",
     "no stride in dx"),
    (CUT, "dx = dimages", "still has the padding"),
    (CUT, "dx = dimages[:, : x.shape[1], : x.shape[2], :]", "wrong side"),
    (CUT, "dx = dimages[:, padding:-padding, padding:-padding]", "dx is empty"),
    (CUT, "dx = -dimages[:, padding : padding + x.shape[1], padding : padding + x.shape[2]]", "wrong sign"),
    (DW, "dW = np.tensordot(window, slope, (0, 0))", "only the last window"),
    (DW, "dW += np.tensordot(window, slope, (0, 0)) / len(x)", "divided by the number of images"),
    (DW, "dW += np.tensordot(window[:, ::-1, ::-1], slope, (0, 0))", "dW is flipped"),
    (DW, "dW += np.tensordot(window.transpose(0, 2, 1, 3), slope, (0, 0))", "Rows and columns"),
    (DW, "dW += np.tensordot(window[0], slope[0], 0)", "only the first image"),
    (DW, "dW += np.tensordot(window.sum(axis=0), slope.sum(axis=0), 0)", "image by image"),
    (PAD, "images = np.pad(x, ((0, 0), (0, 2 * padding), (0, 2 * padding), (0, 0)))",
     "padding is missing in dW"),
    (DB, "db = dy.mean(axis=0).mean(axis=0).mean(axis=0)", "db is a mean"),
    (DB, "db = np.sum(dy)", "one sum for all filters"),
    (DB, "db = dy.sum(0)", "images only"),
]  # fmt: skip
