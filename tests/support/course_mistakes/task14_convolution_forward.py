"""Twenty usual mistakes of task 14, and words of the hint for each (None: it only must be caught)."""

PAD = "images = np.pad(x, ((0, 0), sides, sides, (0, 0)))"
HEIGHT = "height = (images.shape[1] - k) // stride + 1"
SIZES = HEIGHT + "\n    width = (images.shape[2] - k) // stride + 1"
CORNER = "top, left = stride * i, stride * j"
SUM = "y[:, i, j] = np.tensordot(window, W, 3)"

MISTAKES = [
    (SUM, "y[:, i, j] = np.tensordot(window, np.flip(W, (0, 1)), 3)", "kernel is flipped"),
    (SUM, "y[:, i, j] = np.tensordot(window, W.transpose(1, 0, 2, 3), 3)", "kernel is transposed"),
    (SUM, "y[:, i, j] = np.tensordot(window, W, 3) / (k * k)", "size of the window"),
    (SUM, "y[:, i, j] = np.tensordot(window, W, 3) / W[..., 0].size", "averaged"),
    (SUM, "y[:, i, j] = np.tensordot(window[..., :1], W[:, :, :1], 3)", "first channel"),
    (SUM, "y[:, i, j] = np.tensordot(window, W, 3).sum(axis=1, keepdims=True)", "filters are added"),
    (SUM, "y[:, i, j] = window.reshape(len(x), -1) @ W.transpose(2, 0, 1, 3).reshape(-1, filters)",
     "different orders"),
    (SUM, "for m in range(len(x)):\n                y[m, i, j] = np.tensordot(window[0], W, 3)",
     "first image"),
    (PAD, "images = x + 0.0", "padding is missing"),
    (PAD, "images = np.pad(x, ((0, 0), (padding, 0), (padding, 0), (0, 0)))", "only above and on the left"),
    (PAD, "images = np.pad(x, padding)", "wrong axes"),
    (PAD, "images = np.pad(x, ((0, 0), sides, sides, (0, 0)), 'edge')", "repeats the border"),
    (SIZES, "height = int((images.shape[1] - k) / stride)\n    width = int((images.shape[2] - k) / stride)",
     "+ 1"),
    (SIZES, "height = (x.shape[1] - k) // stride + 1\n    width = (x.shape[2] - k) // stride + 1",
     "without padding"),
    (SIZES,
     "height = -(-(images.shape[1] - k) // stride) + 1\n    width = -(-(images.shape[2] - k) // stride) + 1",
     "round down"),
    (CORNER, "left, top = j, i", "stride is not used"),
    (CORNER, "left, top = i * stride, j * stride", "changed places"),
    (CORNER, "left, top = j * k, i * k", "side by side"),
    ("return y + b", "return y", "b is missing"),
    ("return y + b", "return y + b * W[..., 0].size", "to each product"),
]  # fmt: skip
