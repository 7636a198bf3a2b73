"""ONNX files, their parity with torch, and int8 quantization."""
