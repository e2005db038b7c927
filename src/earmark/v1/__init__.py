"""The contract `earmark.v1`, generated from proto/ by `python .ci/check_protos.py --write`."""
