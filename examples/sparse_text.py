"""Classify texts: scikit-learn turns them into a sparse matrix, and nnx trains on it as it is.

Run it:  python examples/sparse_text.py [EPOCHS] [TEXTS]

The texts are made here: short notes about four subjects, with common words that say nothing, and numbers.
Each becomes a row of a matrix with a column for every word and every pair of neighbouring words. Nearly all
of its numbers are 0. The matrix is never made dense.
"""

from __future__ import annotations

import sys

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline

from nnx.estimators import NetworkClassifier

SUBJECTS = {
    "sport": "goal match team coach score league ball season player stadium",
    "food": "soup bread pepper oven taste flour butter cook dinner recipe",
    "travel": "train hotel ticket border island airport luggage map coast guide",
    "music": "song guitar concert rhythm choir drum melody album singer stage",
}
COMMON = "the a of and in to is was for on with that it as at by from this we they"


def texts(count: int, rng: np.random.Generator) -> tuple[list[str], np.ndarray]:
    """Return notes and their subjects."""
    names, common = list(SUBJECTS), COMMON.split()
    labels = rng.choice(names, count)
    notes = []
    for label in labels:
        own, other = (SUBJECTS[name].split() for name in (label, rng.choice(names)))
        words = [*rng.choice(own, 3), *rng.choice(other, 2), *rng.choice(common, 12)]
        numbers = [f"n{number}" for number in rng.integers(0, 20_000, 3)]
        notes.append(" ".join(rng.permutation([*words, *numbers])))
    return notes, labels


def main(epochs: int = 10, count: int = 4000) -> None:
    notes, labels = texts(count, np.random.default_rng(0))
    train, test, y, y_test = train_test_split(notes, labels, random_state=0)
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), dtype=np.float32)
    # each step updates the weights of the words in its batch only
    network = NetworkClassifier(32, epochs=epochs, learning_rate=0.005, sparse_updates=True, random_state=0)
    model = make_pipeline(vectorizer, network).fit(train, y)
    x = model[0].transform(test)
    filled = x.nnz / (x.shape[0] * x.shape[1])
    print(f"{len(train)} texts, {x.shape[1]} columns, of which a row fills {100 * filled:.2f} %")
    print(f"test accuracy {model.score(test, y_test):.3f}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
