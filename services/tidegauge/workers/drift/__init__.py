"""The drift worker: requests in, embeddings and drift sketches out."""
