"""What the library costs: time, memory and arithmetic of its steps, its parts and its functions, measured in one run."""
