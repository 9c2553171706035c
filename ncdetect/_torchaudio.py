"""The one door to torchaudio: `from ncdetect._torchaudio import torchaudio`.

The torchaudio wheel's compiled part wants CUDA libraries and does not load beside a CPU build of torch
(an OSError), nor beside a newer torch (a RuntimeError). Its filter banks and transforms are plain Python and
need none of it, so then that compiled part is replaced by a stub. `transformers` imports torchaudio by
itself: this module must have been imported before it.
"""

import sys
import types


def _import_torchaudio() -> types.ModuleType:
    try:
        import torchaudio
    except (OSError, RuntimeError):
        for name in [name for name in sys.modules if name.split(".")[0] == "torchaudio"]:
            del sys.modules[name]
        stub = types.ModuleType("torchaudio._extension")
        stub._IS_TORCHAUDIO_EXT_AVAILABLE = False
        stub._IS_ALIGN_AVAILABLE = False
        stub.fail_if_no_align = lambda function: function
        sys.modules["torchaudio._extension"] = stub
        import torchaudio
    return torchaudio


torchaudio = _import_torchaudio()
