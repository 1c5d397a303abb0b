"""Prepare data for training steps: stored rows, checked samples, batches."""
