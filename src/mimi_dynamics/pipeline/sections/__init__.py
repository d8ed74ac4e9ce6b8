"""The sections of `params.yaml`, by what they are about; `pipeline.params` has all of it."""
