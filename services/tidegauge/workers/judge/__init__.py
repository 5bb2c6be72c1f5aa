"""The judge worker: samples responses, has them judged, and sums the judgments up."""
