"""Train the deep autoencoder with nnx: ``nnx_program.py MODEL EPOCHS DEVICE``."""

import sys

import nnx
from nnx import datasets

path, epochs, device = sys.argv[1], int(sys.argv[2]), sys.argv[3]
data = datasets.load_mnist()
layers = []
for units in (512, 256, 128):
    layers += [nnx.Dense(units, initializer="he_normal"), nnx.ReLU()]
layers.append(nnx.Dense(64))
for units in (128, 256, 512):
    layers += [nnx.Dense(units, initializer="he_normal"), nnx.ReLU()]
layers += [nnx.Dense(784), nnx.Sigmoid()]
network = nnx.Network(layers, device=device, seed=0)
network.fit(
    data.x_train,
    data.x_train,
    loss=nnx.BinaryCrossEntropy(),
    optimizer=nnx.Adam(1e-3),
    epochs=epochs,
    batch_size=256,
)
print(float(((network.predict(data.x_test) - data.x_test) ** 2).mean()))
network.save(path)
