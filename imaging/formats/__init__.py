"""Decoders of single file formats, for what Pillow does not read or reads as something else."""
