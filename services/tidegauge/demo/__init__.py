"""``tidegauge demo``: the whole pipeline on one machine, and a scenario of changes to notice."""
