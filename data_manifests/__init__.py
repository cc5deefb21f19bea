"""The shipped manifests and lists, installed as vjepa_fer.data_manifests; README.md says where each comes from."""
