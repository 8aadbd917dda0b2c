"""NVML and CUDA, asked in child processes: a sick driver hangs whoever asks it."""
