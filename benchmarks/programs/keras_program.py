"""Train the deep autoencoder with Keras: ``keras_program.py MODEL EPOCHS graph|xla``."""

import sys

import keras
from idx import images
from keras import layers

path, epochs, jit = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "xla"
keras.utils.set_random_seed(0)
x_train, x_test = images("train"), images("t10k")
hidden = {"activation": "relu", "kernel_initializer": "he_normal"}
model = keras.Sequential(
    [
        keras.Input((784,)),
        *(layers.Dense(units, **hidden) for units in (512, 256, 128)),
        layers.Dense(64),
        *(layers.Dense(units, **hidden) for units in (128, 256, 512)),
        layers.Dense(784, activation="sigmoid"),
    ]
)
model.compile(
    optimizer=keras.optimizers.Adam(1e-3), loss="binary_crossentropy", jit_compile=True if jit else "auto"
)
model.fit(x_train, x_train, epochs=epochs, batch_size=256, verbose=0)
print(float(((model.predict(x_test, batch_size=1024, verbose=0) - x_test) ** 2).mean()))
model.save(f"{path}.keras")
