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
# # Find outliers, and say why
#
# An autoencoder learns to restore rows of a table. It learns what most rows have in common, so it restores
# a row badly that is unlike the others. The error of a row is its score, and the share of each feature in the
# error says why the row is unusual. No labels are needed. Here, labels only check the result.
#
# This notebook is saved as a script. Open it with Jupyter and the jupytext extension, or run it:
# `python examples/outliers.py`.

# %%
# ruff: noqa: D100
import os

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_wine
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score

from nnx.estimators import AutoencoderOutlier

EPOCHS = int(os.environ.get("EPOCHS", "50"))

# %% [markdown]
# ## Data
#
# Thirteen measurements of wines: 119 wines of two cultivars, and 10 of a third one among them. The collection
# ODDS has this set under the name "wine".

# %%
data = load_wine()
third = np.random.default_rng(0).permutation(np.flatnonzero(data.target == 0))[:10]
rows = np.concatenate([np.flatnonzero(data.target != 0), third])
x, outlier = data.data[rows], data.target[rows] == 0
print(f"{len(x)} rows, {x.shape[1]} features, {outlier.sum()} outliers")

# %% [markdown]
# ## Fit, and score each row
#
# The detector scales the features itself. `contamination` is the share of rows to call outliers. It only sets
# the threshold, and no score depends on it. With the default, `"auto"`, the threshold follows from the
# quartiles of the errors.

# %%
detector = AutoencoderOutlier(epochs=EPOCHS, contamination=10 / 129, random_state=0).fit(x)
errors = -detector.score_samples(x)
found = detector.predict(x) == -1
print(f"ROC-AUC of the autoencoder: {roc_auc_score(outlier, errors):.3f}")
forest = IsolationForest(random_state=0).fit(x)
print(f"ROC-AUC of an isolation forest: {roc_auc_score(outlier, -forest.score_samples(x)):.3f}")
print(f"{found.sum()} rows are called outliers, {(found & outlier).sum()} of them are of the third cultivar")

# %%
figure, axis = plt.subplots(figsize=(7, 3), layout="constrained")
bins = np.geomspace(errors.min(), errors.max(), 40)
axis.hist([errors[~outlier], errors[outlier]], bins, stacked=True, label=["two cultivars", "third cultivar"])
axis.axvline(-detector.offset_, color="black", linestyle="--", label="threshold")
axis.set(xscale="log", xlabel="error of a row", ylabel="rows")
axis.legend()

# %% [markdown]
# ## Why is a row unusual?
#
# The shares of a row add up to 1. A large share belongs to a feature that does not fit the others.

# %%
worst = int(np.argmax(errors))
shares = detector.error_shares(x[worst : worst + 1])[0]
print(f"the most unusual row, {'third cultivar' if outlier[worst] else 'of the two cultivars'}:")
for feature in np.argsort(-shares)[:5]:
    usual = np.median(x[:, feature])
    print(
        f"  {shares[feature]:4.0%} {data.feature_names[feature]}: {x[worst, feature]:.4g}, median {usual:.4g}"
    )

# %% [markdown]
# ## New rows
#
# The fitted detector also takes rows that it has not seen. It works in pipelines and searches like other
# estimators of scikit-learn, and can be stored with joblib.

# %%
new = x[:3].copy()
new[2, 6] *= 3.0  # three times the flavanoids, and everything else as before
print("decisions, below 0 for outliers:", detector.decision_function(new).round(2))
plt.close("all")
