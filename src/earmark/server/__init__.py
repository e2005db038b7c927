"""The gRPC server: servicers translate between protos and the engine; they decide nothing about credits."""
