"""Inference runtimes: OpenVINO, ONNX Runtime and PyTorch behind one interface."""
