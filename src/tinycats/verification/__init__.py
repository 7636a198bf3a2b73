"""What `tinycats verify` checks: model directories, adapters, ONNX files."""
