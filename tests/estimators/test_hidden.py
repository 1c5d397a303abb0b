"""Hidden layers of estimators: widths, and texts for convolutions, on images and on flat rows."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from support.estimated import DIGITS, LABELS

import nnx
from nnx.estimators import Autoencoder, NetworkClassifier, NetworkRegressor, TabularClassifier

pytestmark = pytest.mark.usefixtures("on_cpu")

LAYERS = ["conv2d 8 3 padding=same", "max_pool2d", 16]
FLAT, Y = DIGITS[:300].astype(np.float32), LABELS[:300]
IMAGES = FLAT.reshape(-1, 8, 8, 1)


def kinds(model):
    return [type(layer).__name__ for layer in model.network_]


def test_images_and_flat_rows_give_the_same_classifier():
    how = {"epochs": 10, "learning_rate": 0.01, "random_state": 0}
    images = NetworkClassifier(LAYERS, **how).fit(IMAGES, Y)
    flat = NetworkClassifier(LAYERS, image_shape=(8, 8, 1), **how).fit(FLAT, Y)
    grey = NetworkClassifier(",".join(map(str, LAYERS)), image_shape=(8, 8), **how).fit(FLAT, Y)
    hidden = ["Conv2D", "ReLU", "MaxPool2D", "Flatten", "Dense", "ReLU"]
    assert kinds(images) == [*hidden, "Dense", "Softmax"]
    assert kinds(flat) == ["Reshape", *kinds(images)]
    assert images.score(IMAGES, Y) > 0.5
    for other in (flat, grey):
        np.testing.assert_allclose(
            other.predict_proba(FLAT), images.predict_proba(IMAGES), rtol=1e-4, atol=1e-6
        )
    assert flat.n_features_in_ == 64


@pytest.mark.parametrize(("rows", "image"), [((8, 8), (8, 8, 1)), ((8, 8, 1), (8, 8))])
def test_a_grey_image_may_have_an_axis_of_channels_or_none(rows, image):
    how = {"image_shape": image, "epochs": 2, "random_state": 0}
    x = FLAT.reshape(-1, *rows)
    shaped, flat = NetworkClassifier(LAYERS, **how).fit(x, Y), NetworkClassifier(LAYERS, **how).fit(FLAT, Y)
    np.testing.assert_array_equal(shaped.predict_proba(x), flat.predict_proba(FLAT))
    coder = Autoencoder(4, ["conv2d 4 3"], **how).fit(x)
    assert coder.inverse_transform(coder.transform(x)).shape == x.shape


@pytest.mark.parametrize(
    ("fitted", "given"),
    [
        (FLAT, IMAGES),
        (IMAGES, FLAT),
        (IMAGES, IMAGES[..., 0]),
        (IMAGES, IMAGES.transpose(0, 3, 1, 2)),
        (IMAGES, IMAGES[:, :, :5]),
    ],
)
def test_rows_with_other_axes_than_in_fit_are_compared_as_a_whole(fitted, given):
    model = NetworkClassifier(LAYERS, image_shape=(8, 8, 1), epochs=1).fit(fitted, Y)
    shapes = f"X has rows of shape {given.shape[1:]}, but .* rows of shape {fitted.shape[1:]}"
    with pytest.raises(nnx.DataError, match=shapes.replace("(", r"\(").replace(")", r"\)")):
        model.predict(given)
    with pytest.raises(nnx.DataError, match="X has rows of shape"):
        model.partial_fit(given, Y)


def test_activation_is_that_of_every_layer_that_names_none():
    layers = ["conv2d 4 3", "8 sigmoid", 8]
    model = NetworkClassifier(layers, activation="tanh", dropout=0.1, epochs=1).fit(IMAGES, Y)
    assert kinds(model) == [
        *("Conv2D", "Tanh", "Flatten", "Dense", "Sigmoid", "Dropout", "Dense", "Tanh", "Dropout"),
        *("Dense", "Softmax"),
    ]  # fmt: skip


def test_a_regressor_of_images():
    target = 10.0 * FLAT.mean(axis=1)
    model = NetworkRegressor(LAYERS, epochs=30, batch_size=30, learning_rate=0.005, random_state=0).fit(
        IMAGES, target
    )
    assert model.score(IMAGES, target) > 0.7


@pytest.mark.parametrize("flat", [False, True])
def test_an_autoencoder_reverses_its_convolutions(flat):
    layers = ["conv2d 8 3 strides=2 padding=same", 32]
    x, shape = (FLAT, (8, 8)) if flat else (IMAGES, None)
    model = Autoencoder(
        8, layers, image_shape=shape, epochs=30, batch_size=30, learning_rate=0.005, random_state=0
    ).fit(x)
    codes = model.transform(x)
    assert codes.shape == (300, 8)
    assert model.inverse_transform(codes).shape == x.shape
    assert model.score(x) > 0.5
    assert "Conv2DTranspose" in kinds(model)
    encoder = model.network_[: model.network_.encoder_length]
    assert kinds_of(encoder)[-4:] == ["Flatten", "Dense", "ReLU", "Dense"]


def kinds_of(network):
    return [type(layer).__name__ for layer in network]


def test_texts_can_be_cloned_pickled_and_searched():
    model = NetworkClassifier(LAYERS, image_shape=[8, 8], epochs=1, random_state=0)
    assert clone(model).get_params() == model.get_params()
    search = GridSearchCV(model, {"hidden_layer_sizes": [LAYERS, (16,)]}, cv=2).fit(FLAT, Y)
    again = pickle.loads(pickle.dumps(search.best_estimator_))
    np.testing.assert_array_equal(again.predict(FLAT), search.predict(FLAT))


def test_a_network_continues_only_with_the_same_image_shape():
    model = NetworkClassifier(LAYERS, image_shape=(8, 8), epochs=1, warm_start=True).fit(FLAT, Y)
    model.fit(FLAT, Y)
    model.set_params(image_shape=(4, 16))
    with pytest.raises(nnx.ConfigurationError, match="image_shape"):
        model.fit(FLAT, Y)


@pytest.mark.parametrize(
    ("parameters", "x", "part"),
    [
        ({"hidden_layer_sizes": LAYERS}, FLAT, "give image_shape=(height, width, channels)"),
        ({"image_shape": (8, 9)}, FLAT, "image_shape=(8, 9) needs rows of this shape, or flat rows of 72"),
        ({"image_shape": (4, 16, 1)}, IMAGES, "X has rows of shape (8, 8, 1)"),
        ({"image_shape": "8x8"}, FLAT, "image_shape must be (height, width)"),
        ({"image_shape": (64,)}, FLAT, "image_shape must be (height, width)"),
        ({"image_shape": (8, 0)}, FLAT, "image_shape must be a positive integer"),
        ({"hidden_layer_sizes": ["conv2d 8"]}, IMAGES, "write 'conv2d FILTERS KERNEL_SIZE', not 'conv2d 8'"),
        ({"hidden_layer_sizes": ["conv2d 8 9"]}, IMAGES, "does not fit"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_said_in_a_line(parameters, x, part):
    with pytest.raises((nnx.DataError, nnx.ConfigurationError)) as caught:
        NetworkClassifier(**parameters, epochs=1).fit(x, Y)
    assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_each_hidden_layer_may_have_its_own_activation():
    x = FLAT[:60]
    model = NetworkClassifier((8, 6), activation=["relu", "selu"], epochs=1).fit(x, Y[:60])
    assert kinds(model) == ["Dense", "ReLU", "Dense", "SELU", "Dense", "Softmax"]
    images = NetworkClassifier(LAYERS, activation=("mish", "tanh"), epochs=1).fit(IMAGES, Y)
    assert kinds(images)[:6] == ["Conv2D", "Mish", "MaxPool2D", "Flatten", "Dense", "Tanh"]
    coder = Autoencoder(2, (8, 6), activation=["relu", "hard_sigmoid"], epochs=1).fit(x)
    assert [kind for kind in kinds(coder) if kind != "Dense"] == [
        *("ReLU", "HardSigmoid"), *("HardSigmoid", "ReLU")
    ]  # fmt: skip
    search = GridSearchCV(model, {"activation": [["relu", "tanh"], "elu"]}, cv=2).fit(x, Y[:60])
    assert pickle.loads(pickle.dumps(search.best_estimator_)).predict(x).shape == (60,)


def test_widths_and_texts_start_with_the_same_weights():
    x, y = FLAT[:60], Y[:60]
    for activation, kind in (
        ("selu", nnx.initializers.LeCunNormal),
        ("relu", nnx.initializers.GlorotUniform),
    ):
        models = [
            NetworkClassifier(sizes, activation=activation, epochs=1, random_state=0).fit(x, y)
            for sizes in ((8, 6), "8, 6", [f"8 {activation}", 6])
        ]
        assert isinstance(models[0].network_.layers[0].initializer, kind)
        for other in models[1:]:
            np.testing.assert_array_equal(other.predict_proba(x), models[0].predict_proba(x))
    table = TabularClassifier((8,), activation="selu", epochs=1, random_state=0).fit(x, y)
    drawn = [one.initializer for one in table.network_.layers if isinstance(one, nnx.Dense)]
    assert isinstance(drawn[0], nnx.initializers.LeCunNormal)


@pytest.mark.parametrize(
    ("sizes", "activation", "text"),
    [
        ((8, 6), ["relu"], "activation=['relu'] has 1 names, but hidden_layer_sizes=[8, 6] has 2 layers"),
        (["8 tanh", 6], ["relu", "elu"], "names the activations of all layers: leave those in hidden_layer"),
        ((8, 6), ["relu", "rellu"], "unknown activation 'rellu': did you mean 'relu'?"),
        ((8, 6), 3, "activation must be a name, or a list of names, not 3"),
    ],
)
def test_activations_that_do_not_fit_the_layers_are_refused(sizes, activation, text):
    with pytest.raises(nnx.ConfigurationError) as caught:
        NetworkClassifier(sizes, activation=activation, epochs=1).fit(FLAT, Y)
    assert text in str(caught.value)


def test_residual_blocks_are_one_argument():
    x = FLAT[:100]
    model = NetworkClassifier((16, 16, 8), residual=True, dropout=0.1, epochs=2, random_state=0)
    model.fit(x, Y[:100])
    blocks = [layer for layer in model.network_ if isinstance(layer, nnx.Residual)]
    assert [len(block.branches[1]) for block in blocks] == [0, 1]
    assert kinds(model)[:3] == ["Dense", "ReLU", "Dropout"]
    assert pickle.loads(pickle.dumps(model)).score(x, Y[:100]) == model.score(x, Y[:100])
    coder = Autoencoder(3, (16, 16), residual=True, epochs=2).fit(x)
    assert coder.transform(x).shape == (100, 3)
    assert kinds(coder).count("Residual") == 2
    images = Autoencoder(
        3, ["conv2d 4 3 padding=same", "conv2d 4 3 padding=same", 8, 8], residual=True, epochs=1
    )
    assert images.fit(IMAGES[:50]).inverse_transform(np.zeros((2, 3))).shape == (2, 8, 8, 1)
    with pytest.raises(nnx.ConfigurationError, match="residual=True needs two hidden layers"):
        NetworkRegressor(16, residual=True).fit(x, Y[:100])
    with pytest.raises(nnx.ConfigurationError, match="residual must be True or False"):
        NetworkRegressor((16, 16), residual="yes").fit(x, Y[:100])
