# ---
# jupyter:
#   jupytext:
#     formats: py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # From digits to codes to classes
#
# An autoencoder learns to encode an image of a digit in a few numbers and to draw the image again from them.
# It never sees a label. A support-vector machine then classifies the digits by these numbers alone.
#
# This notebook is saved as a script. Open it with Jupyter and the jupytext extension, or convert it to a
# notebook: `jupytext --to ipynb examples/notebook.py`. You can also run it: `python examples/notebook.py`.

# %% [markdown]
# ## Imports

# %%
# ruff: noqa: D100
import os

import matplotlib.pyplot as plt
from sklearn.metrics import accuracy_score, confusion_matrix
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

import nnx
from nnx import datasets, metrics, reports

EPOCHS = int(os.environ.get("EPOCHS", "20"))
SVM_ROWS = int(os.environ.get("SVM_ROWS", "10000"))  # of the training set; more take longer

# %% [markdown]
# ## Data
#
# MNIST if it is available, otherwise scikit-learn's 8×8 digits. Pixels lie in [0, 1]; each image is a row.

# %%
data = datasets.load("auto", on_fallback=print)
assert data.image_shape is not None
print(data)

figure, axes = plt.subplots(1, 8, figsize=(8, 1.4), layout="constrained")
for axis, image, label in zip(axes, data.x_train, data.y_train, strict=False):
    axis.imshow(image.reshape(data.image_shape), cmap="gray_r")
    axis.set_title(label)
    axis.axis("off")

# %% [markdown]
# ## Model
#
# The encoder makes the image smaller, step by step, down to a linear code; the decoder mirrors it.
# `network.encoder_length` says how many layers encode.

# %%
hidden, code = ((512, 256, 128), 64) if data.name == "mnist" else ((64, 32), 16)
layers: list[nnx.Layer] = []
for units in hidden:
    layers += [nnx.Dense(units, initializer="he_normal"), nnx.ReLU()]
layers.append(nnx.Dense(code, initializer="he_normal"))
encoder_length = len(layers)
for units in reversed(hidden):
    layers += [nnx.Dense(units, initializer="he_normal"), nnx.ReLU()]
layers += [nnx.Dense(data.features), nnx.Sigmoid()]

network = nnx.Network(layers, seed=0).build(data.features)
network.encoder_length = encoder_length  # saved with the network
print(network.summary())

# %% [markdown]
# ## Training
#
# The target is the image itself. Binary cross-entropy treats a grey pixel as the probability of being black.

# %%
batch_size = 256 if data.name == "mnist" else 32
steps = EPOCHS * -(-len(data.x_train) // batch_size)
history = network.fit(
    data.x_train,
    data.x_train,
    loss=nnx.BinaryCrossEntropy(),
    optimizer=nnx.Adam(nnx.Cosine(1e-3, steps)),
    epochs=EPOCHS,
    batch_size=batch_size,
    validation=(data.x_test, data.x_test),
    callbacks=[nnx.Progress()],
)

# %%
reports.learning_curve(history, title="Binary cross-entropy")

# %% [markdown]
# ## Reconstructions

# %%
reconstructed = network.predict(data.x_test)
print(f"test mean squared error per pixel: {metrics.mean_squared_error(data.x_test, reconstructed):.5f}")
reports.reconstructions(data.x_test[:10], reconstructed[:10], data.image_shape, labels=data.y_test[:10])

# %% [markdown]
# ## Codes
#
# A slice of a network is a network with the same parameters. So `network[:network.encoder_length]` is the
# encoder.

# %%
encoder = network[: network.encoder_length]
codes, test_codes = encoder.predict(data.x_train[:SVM_ROWS]), encoder.predict(data.x_test)
reports.code_map(test_codes[:2000], data.y_test[:2000], title="Test codes in the plane")

# %% [markdown]
# ## A support-vector machine on the codes

# %%
classifier = make_pipeline(StandardScaler(), SVC(C=10.0, cache_size=1000))
classifier.fit(codes, data.y_train[:SVM_ROWS])
predicted = classifier.predict(test_codes)
print(f"test accuracy from {len(codes)} training codes: {accuracy_score(data.y_test, predicted):.4f}")

# %%
reports.confusion_matrix(confusion_matrix(data.y_test, predicted), range(10))

# %%
reports.prediction_gallery(data.x_test, data.y_test, predicted, data.image_shape)
