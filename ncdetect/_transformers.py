"""The one door to transformers, which is optional: `import_transformers` imports it where it is needed."""

from types import ModuleType

import ncdetect._torchaudio  # noqa: F401  transformers imports torchaudio by itself


def import_transformers() -> ModuleType:
    """The package.

    Raises:
        ImportError: If it is not installed.
    """
    try:
        import transformers
    except ImportError as error:
        raise ImportError(
            "this model needs the package transformers (the extra `transformers` of ncdetect): "
            "pip install 'transformers>=5,<6'"
        ) from error
    return transformers
