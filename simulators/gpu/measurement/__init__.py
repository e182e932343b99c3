"""A real GPU under known loads, sampled by NVML: `python -m simulators.gpu.measurement`.

It needs Python, PyTorch and nvidia-ml-py and nothing else, so that it runs where the rest of the project is not
installed. It reads the GPU and gives it work; it changes none of its settings.
"""
