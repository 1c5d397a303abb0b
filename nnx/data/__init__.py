"""What goes into a training step: rows as they are stored, checked samples, batches."""
