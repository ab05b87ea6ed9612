"""The policy for runtimes other than eager torch: an ONNX file, int8 weights, TensorRT, ``torch.compile``."""
