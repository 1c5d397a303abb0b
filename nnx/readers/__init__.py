"""Read files: .npy, .npz, IDX, text tables and images. Every byte is checked before it is used."""
