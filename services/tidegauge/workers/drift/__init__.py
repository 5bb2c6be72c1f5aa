"""The drift worker: requests in, embeddings and sketches of what was asked out."""
