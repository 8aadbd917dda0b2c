"""GPU Bring-up: make a Linux server ready for large-model inference on NVIDIA GPUs."""

__version__ = "0.1.0"
