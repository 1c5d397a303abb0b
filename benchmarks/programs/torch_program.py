"""Train the deep autoencoder with PyTorch: ``torch_program.py MODEL EPOCHS loader|index``.

``loader`` takes batches from a DataLoader, as the tutorials do; ``index`` indexes the tensor.
"""

import sys

import torch
from idx import images
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

path, epochs, way = sys.argv[1], int(sys.argv[2]), sys.argv[3]
torch.manual_seed(0)
x_train, x_test = torch.from_numpy(images("train")), torch.from_numpy(images("t10k"))
layers = []
inputs = 784
for units in (512, 256, 128, 64, 128, 256, 512, 784):
    layers.append(nn.Linear(inputs, units))
    if units not in (64, 784):
        nn.init.kaiming_normal_(layers[-1].weight, nonlinearity="relu")
        nn.init.zeros_(layers[-1].bias)
        layers.append(nn.ReLU())
    inputs = units
model = nn.Sequential(*layers)
loss_of = nn.BCEWithLogitsLoss()
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)


def batches():
    """Yield the batches of an epoch, shuffled."""
    if way == "loader":
        for (batch,) in DataLoader(TensorDataset(x_train), batch_size=256, shuffle=True):
            yield batch
    else:
        for rows in torch.randperm(len(x_train)).split(256):
            yield x_train[rows]


for _ in range(epochs):
    for batch in batches():
        optimizer.zero_grad()
        loss = loss_of(model(batch), batch)
        loss.backward()
        optimizer.step()
with torch.inference_mode():
    print(float(((torch.sigmoid(model(x_test)) - x_test) ** 2).mean()))
torch.save(model.state_dict(), path)
