"""Audio-deepfake detection by neural-collapse sampling: train, explain, and show the verdict.

Importing this package loads no weights and imports neither gradio, umap nor ray.
"""

from ncdetect.labels import Label

__all__ = ["Label"]
__version__ = "0.1.0"
