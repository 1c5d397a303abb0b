"""Readers of files: .npy, .npz, IDX, tables as text, images; every byte is checked before it is used."""
