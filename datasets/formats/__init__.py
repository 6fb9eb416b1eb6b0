"""Image files whose samples or colours Pillow does not read as they are meant."""
