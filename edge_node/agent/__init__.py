"""The background agent: hears of new releases and keeps the models in use current."""
