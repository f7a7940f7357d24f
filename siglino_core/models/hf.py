"""What ``transformers`` is told of: ``AutoConfig``, ``AutoModel``, ``AutoBackbone``, ``AutoImageProcessor``."""

from transformers import AutoBackbone, AutoConfig, AutoImageProcessor, AutoModel

from .hf_backbone import SigLinoBackbone
from .hf_config import SigLinoHFConfig
from .hf_model import SigLinoModel, SigLinoOutput
from .processor import SigLinoImageProcessor

__all__ = ["SigLinoBackbone", "SigLinoHFConfig", "SigLinoImageProcessor", "SigLinoModel", "SigLinoOutput"]


def _register() -> None:
    """Tell transformers of these classes; an exported copy of this file is named in its folder's config instead."""
    AutoConfig.register("siglino", SigLinoHFConfig, exist_ok=True)
    AutoModel.register(SigLinoHFConfig, SigLinoModel, exist_ok=True)
    AutoBackbone.register(SigLinoHFConfig, SigLinoBackbone, exist_ok=True)
    backends = {"pil": SigLinoImageProcessor, "torchvision": SigLinoImageProcessor}
    AutoImageProcessor.register(SigLinoHFConfig, image_processor_classes=backends, exist_ok=True)


if __name__ == "siglino_core.models.hf":
    _register()
else:
    SigLinoHFConfig.register_for_auto_class()
    SigLinoModel.register_for_auto_class("AutoModel")
    SigLinoBackbone.register_for_auto_class("AutoBackbone")
    SigLinoImageProcessor.register_for_auto_class("AutoImageProcessor")
